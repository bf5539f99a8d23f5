"""The times of all trials in one table."""

import pandas as pd

from iblnm.config import SESSIONS_FPATH, TRIAL_TIMING_FPATH
from iblnm.data import PhotometrySessionGroup
from iblnm.util import df2pqt

group = PhotometrySessionGroup.from_catalog(
    SESSIONS_FPATH, targetnms=False, min_performance=False, required_contrasts=False
)
timings = [table for table in group.process("get_trial_timings") if table is not None]
if not timings:
    raise SystemExit("no session has trials: nothing is written")
timing = pd.concat(timings, ignore_index=True)
if not TRIAL_TIMING_FPATH.exists():
    df2pqt(timing, TRIAL_TIMING_FPATH)
print(f"{len(timing)} trials of {timing['eid'].nunique()} sessions")
