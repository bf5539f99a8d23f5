"""The first block of the document that the software was asked for, as it is written there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

# `ONE()` of the document stands for what a laboratory has set up: here, the demo archive
PRELUDE = """
import sys
import one.api
from functools import partial
one.api.ONE = partial(one.api.ONE, mode='local', cache_dir=sys.argv[1], tables_dir=sys.argv[1])
"""
LOAD = """
import pandas as pd
from one.api import ONE
from iblnm.config import SESSIONS_FPATH
from iblnm.data import PhotometrySession
one = ONE()
df_sessions = pd.read_parquet(SESSIONS_FPATH)
session_row = df_sessions.iloc[0]
ps = PhotometrySession(session_row, one=one)
ps.load_trials() # → ps.trials (DataFrame with signed_contrast, contrast added)
ps.load_photometry() # → ps.photometry dict: {'GCaMP': ..., 'Isosbestic': ...}
"""
LOADED = """
assert {'signed_contrast', 'contrast'} <= set(ps.trials), list(ps.trials)
assert {'GCaMP', 'Isosbestic'} <= set(ps.photometry), list(ps.photometry)
"""
STORED = """
from iblnm.config import SESSIONS_H5_DIR
ps = PhotometrySession(session_row, one=one)
ps.load_h5(SESSIONS_H5_DIR / f'{ps.eid}.h5')
# → ps.photometry['GCaMP_preprocessed'], ps.trials, ps.responses, ps.wheel_velocity
"""
STORED_IS_ALL = """
assert list(ps.photometry['GCaMP_preprocessed']) == ['VTA']
assert ps.responses['VTA'].dims == ('event', 'trial', 'time')
assert len(ps.wheel_velocity) == len(ps.trials)
"""
PROCESS = """
ps.validate_trials_in_photometry_time() # raises TrialsNotInPhotometryTime
ps.validate_n_trials() # raises InsufficientTrials
ps.validate_event_completeness() # raises IncompleteEventTimes
ps.validate_block_structure() # raises BlockStructureBug
ps.run_raw_qc() # n_band_inversions, n_early_samples → ps.qc
ps.validate_qc() # raises BandInversion or EarlySamples
ps.run_sliding_qc() # sliding-window signal quality metrics → ps.qc
ps.validate_few_unique_samples() # raises FewUniqueSamples (non-fatal)
from iblnm.config import RESPONSE_EVENTS
ps.preprocess() # bleach → isosbestic → zscore → resample to 30 Hz
# → ps.photometry['GCaMP_preprocessed']
ps.extract_responses(events=RESPONSE_EVENTS)
# → ps.responses: dict[str, xr.DataArray] keyed by brain region,
# each DataArray has dims (event, trial, time)
ps.save_h5() # saves all available data groups
region_responses = ps.responses['VTA'] # dims: (event, trial, time)
# Baseline subtraction (mean of [-0.1, 0] window)
responses = ps.subtract_baseline(region_responses)
# Mask time points after the next event in a trial sequence
responses = ps.mask_subsequent_events(
region_responses,
event_order=['stimOn_times', 'firstMovement_times', 'feedback_times']
)
perf = ps.basic_performance()
block_perf = ps.block_performance() # per-block psychometrics (biased/ephys only)
fit = ps.fit_psychometric() # {bias, threshold, lapse_left, lapse_right, r_squared, n_trials}
"""
PROCESSED = """
assert responses.shape == region_responses.shape == (3, len(ps.trials), 60)
assert perf['fraction_correct'] > 0.7, perf
assert {'bias', 'threshold', 'lapse_left', 'lapse_right', 'r_squared', 'n_trials'} <= set(fit)
print(ps.eid)
"""


WITH_STORED = """
import numpy as np
responses = ps.subtract_baseline(ps.responses['VTA'])
assert np.nanmax(np.abs(responses)) < 100
print(ps.eid)
"""
BLOCKS = {
    "from the archive": LOAD + LOADED + PROCESS + PROCESSED,
    "from what is stored": LOAD + STORED + STORED_IS_ALL + WITH_STORED,
}


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_the_first_block_runs_on_the_first_session_of_the_demo(faulty, tmp_path, block):
    eid = pd.read_parquet(faulty.settings.metadata_dir / "sessions.pqt")["eid"].iloc[0]
    stored = faulty.settings.sessions_h5_dir / f"{eid}.h5"
    # the block writes to the session's file
    copy = tmp_path / stored.relative_to(faulty.settings.root)
    copy.parent.mkdir(parents=True)
    shutil.copy(stored, copy)
    shutil.copytree(faulty.settings.metadata_dir, tmp_path / "metadata")
    script = tmp_path / "block.py"
    script.write_text(PRELUDE + block, encoding="utf-8")
    cache = str(faulty.settings.cache_dir)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), cache],
        env={**os.environ, "IBLNM_ROOT": str(tmp_path), "IBLNM_ONE_CACHE_DIR": cache},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [eid]
