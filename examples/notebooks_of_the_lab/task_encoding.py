"""Regressions of each recording, their components, and their relation to behavior."""

import numpy as np

from iblnm.analysis import pca_subject_score_stats
from iblnm.config import PERFORMANCE_FPATH, SESSIONS_FPATH
from iblnm.data import PhotometrySessionGroup

group = PhotometrySessionGroup.from_catalog(
    SESSIONS_FPATH, targetnms=False, min_performance=False, required_contrasts=False
)
group.get_response_magnitudes()
result = group.pca_glm_coefficients(
    event_name="stimOn_times", contrast_coding="log", n_components=2
)
if result is not None:
    second = result.scores[:, 1]
    strongest = [result.feature_names[i] for i in np.abs(result.components).argmax(axis=1)]
    of_target = {name: result.scores[result.target_labels == name] for name in set(result.targets)}
    means, statistics = pca_subject_score_stats(result, group.recordings)
group.load_performance(PERFORMANCE_FPATH)
behavior = None if group.performance is None else group.get_psychometric_features()
n_recordings = 0 if result is None else len(result.scores)
print(f"{n_recordings} recordings, behavior of {0 if behavior is None else len(behavior)}")
