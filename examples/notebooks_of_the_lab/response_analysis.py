"""Responses by target: magnitudes, vectors, similarity, decoding, mixed models, ANOVA."""

import numpy as np
import pandas as pd

from iblnm.analysis import kruskal_wallis_groups, pairwise_mannwhitney
from iblnm.config import RESPONSE_EVENTS, RESPONSES_FPATH, SESSIONS_FPATH
from iblnm.data import PhotometrySessionGroup
from iblnm.util import df2pqt

group = PhotometrySessionGroup.from_catalog(
    SESSIONS_FPATH, session_types=("training", "biased", "ephys"), targetnms=False,
    min_performance=False, required_contrasts=False,
)  # fmt: skip
group.get_response_magnitudes()
if not RESPONSES_FPATH.exists():
    df2pqt(group.responses_with_times(), RESPONSES_FPATH)
features = group.get_response_features(nan_handling="drop_features", nan_threshold=0.5)
similarity = group.response_similarity_matrix()
models = group.fit_lmm(re_formulas=("1",))
tables = group.anova_response_magnitudes(min_subjects=2, min_trials=1)
coefficients = pd.DataFrame(group.lmm_coefficients)[["target_NM", "event", "term", "Coef."]]

feedback = group.response_magnitudes.query("event == 'feedback_times'")
means = feedback.groupby(["subject", "target_NM"], as_index=False)["response_early"].mean()
h, p, by_target = kruskal_wallis_groups(means, "target_NM", "response_early")
pairs = pairwise_mannwhitney(by_target)
group.load_response_traces()
mean_trace = {
    (target, event): [] for target in group.recordings["target_NM"] for event in RESPONSE_EVENTS
}
for (_, _, event), of in group.response_traces.items():
    rewarded = of["trials"]["feedbackType"].to_numpy() == 1
    mean_trace[of["meta"]["target_NM"], event].append(np.nanmean(of["traces"][rewarded], axis=0))
group.flush_response_traces()
print(f"{len(features)} recordings, {len(models)} models, {len(pairs)} pairs, H = {h:.2f}")
