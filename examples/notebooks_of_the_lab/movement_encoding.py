"""What the response at the stimulus tells of the movement, beyond the contrast."""

import numpy as np

from iblnm.analysis import fit_movement_lmm_per_contrast, loso_cv_movement_lmm
from iblnm.config import SESSIONS_FPATH
from iblnm.data import PhotometrySessionGroup

group = PhotometrySessionGroup.from_catalog(
    SESSIONS_FPATH, targetnms=False, min_performance=False, required_contrasts=False
)
group.get_response_magnitudes()
group.enrich_peak_velocity()
trials = group.response_magnitudes.merge(group.trial_timing, on=["eid", "trial"])
trials = trials.query("event == 'stimOn_times' and reaction_time > 0").copy()
trials["log_rt"] = np.log10(trials["reaction_time"])

held_out, slopes = {}, {}
for target, own in trials.groupby("target_NM"):
    held_out[target] = loso_cv_movement_lmm(
        own, "response_early", "log_rt", min_subjects=2, min_trials=5
    )
    for contrast, at_contrast in own.groupby("contrast"):
        slopes[target, contrast] = fit_movement_lmm_per_contrast(
            at_contrast, "response_early", "log_rt"
        )
fitted = {key: slope["timing_coef"] for key, slope in slopes.items() if slope is not None}
wheel = group.fit_wheel_lmm()
print(f"{len(fitted)} of {len(slopes)} slopes, {len(wheel)} models of the wheel")
