"""Raw frames of which a time or a state is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.errors import MalformedFileError
from iblnm.io.photometry import read_raw_frames


def test_a_few_missing_times_and_states_cost_their_frames_alone(tmp_path):
    path = tmp_path / "_neurophotometrics_fpData.raw.pqt"
    table = pd.DataFrame({"SystemTimestamp": np.arange(400) / 60, "LedState": [9.0, 10.0] * 200})
    table.loc[7, "SystemTimestamp"] = np.nan
    table.loc[9, "LedState"] = np.nan
    table.to_parquet(path)
    frames = read_raw_frames(path, max_missing_share=0.01)
    assert np.flatnonzero(frames["times"].isna()).tolist() == [7]
    assert frames["led"].iloc[6:11].tolist() == [1, 2, 1, 0, 1]
    table.loc[:20, "SystemTimestamp"] = np.nan
    table.to_parquet(path)
    with pytest.raises(MalformedFileError, match=r"21 of 400 .* at most 1\.0% may be"):
        read_raw_frames(path, max_missing_share=0.01)
