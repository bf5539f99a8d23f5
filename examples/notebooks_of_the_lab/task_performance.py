"""Performance of every session, and how many sessions each stage took."""

import pandas as pd

from iblnm.config import PERFORMANCE_FPATH, SESSIONS_FPATH
from iblnm.data import PhotometrySessionGroup
from iblnm.task import count_sessions_to_stage
from iblnm.util import df2pqt


def performance_of(ps):
    return {"eid": ps.eid, **ps.basic_performance(), **ps.block_performance()}


group = PhotometrySessionGroup.from_catalog(
    SESSIONS_FPATH, targetnms=False, min_performance=False, required_contrasts=False
)
results = group.process(performance_of)
performance = pd.DataFrame([row for row in results if row is not None])
if performance.empty:
    raise SystemExit("no session has a performance: nothing is written")
if not PERFORMANCE_FPATH.exists():
    df2pqt(performance, PERFORMANCE_FPATH)
stages = count_sessions_to_stage(group.sessions)
print(f"{len(performance)} sessions, {len(stages)} subjects, {len(results.failures)} failures")
