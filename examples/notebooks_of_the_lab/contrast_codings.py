"""Which coding of the contrast describes the responses best."""

from iblnm.analysis import fit_response_lmm
from iblnm.config import ANALYSIS_CONTRASTS, SESSIONS_FPATH
from iblnm.data import PhotometrySessionGroup
from iblnm.util import contrast_transform, get_contrast_coding

group = PhotometrySessionGroup.from_catalog(
    SESSIONS_FPATH, targetnms=False, min_performance=False, required_contrasts=False
)
group.get_response_magnitudes()
trials = group.response_magnitudes
trials = trials[trials["contrast"].isin(ANALYSIS_CONTRASTS) & (trials["choice"] != 0)]
fits = {}
for target, own in trials.query("event == 'feedback_times'").groupby("target_NM"):
    for coding in ("log", "linear", "rank"):
        fits[target, coding] = fit_response_lmm(own, "response_early", contrast_coding=coding)
logarithms = contrast_transform(ANALYSIS_CONTRASTS)
encode, decode = get_contrast_coding("log")
for (target, coding), fit in fits.items():
    if fit is not None:
        marginal = fit.variance_explained["marginal"]
        slope = fit.summary_df.loc[fit.contrast_col, "Coef."]
        print(target, coding, round(fit.result.aic, 1), round(marginal, 3), round(slope, 3))
