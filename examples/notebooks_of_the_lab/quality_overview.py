"""Quality of the signals of all sessions, and which pass."""

from iblnm.config import N_UNIQUE_SAMPLES_THRESHOLD, SESSIONS_FPATH, SESSIONS_H5_DIR
from iblnm.data import PhotometrySessionGroup
from iblnm.util import aggregate_qc_per_session, collect_errors, collect_qc

quality = collect_qc(SESSIONS_H5_DIR)
errors = collect_errors(SESSIONS_H5_DIR)
group = PhotometrySessionGroup.from_catalog(
    SESSIONS_FPATH, qc_blockers=False, targetnms=False, min_performance=False,
    required_contrasts=False,
)  # fmt: skip
passing = aggregate_qc_per_session(quality) if len(quality) else quality
measured = quality.reindex(columns=["eid", "n_unique_samples"])["n_unique_samples"]
few = (measured < N_UNIQUE_SAMPLES_THRESHOLD).sum()
print(
    f"{len(quality)} signals, {few} of few values, {len(passing)} sessions, {len(errors)} errors"
)
