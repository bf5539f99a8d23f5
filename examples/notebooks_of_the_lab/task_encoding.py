"""Regressions of each recording, their components, and their relation to behavior."""

from iblnm.config import PERFORMANCE_FPATH, SESSIONS_FPATH
from iblnm.data import PhotometrySessionGroup

group = PhotometrySessionGroup.from_catalog(
    SESSIONS_FPATH, targetnms=False, min_performance=False, required_contrasts=False
)
group.get_response_magnitudes()
result = group.pca_glm_coefficients(
    event_name="stimOn_times", contrast_coding="log", n_components=2
)
group.load_performance(PERFORMANCE_FPATH)
behavior = None if group.performance is None else group.get_psychometric_features()
n_recordings = 0 if result is None else len(result.scores)
print(f"{n_recordings} recordings, behavior of {0 if behavior is None else len(behavior)}")
