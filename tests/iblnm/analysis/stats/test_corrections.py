from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis import correct_p


@pytest.mark.slow
def test_families_are_apart_and_missing_values_no_tests():
    table = pd.DataFrame(
        {"event": ["a", "a", "a", "b", "b"], "p": [0.01, 0.04, np.nan, 0.03, 0.02]}
    )
    found = correct_p(table, "p", ["event"])
    np.testing.assert_allclose(found["p_corrected"], [0.02, 0.04, np.nan, 0.04, 0.04])
    assert set(found["correction"]) == {"holm within event"}
    whole = correct_p(table, "p", method="fdr_bh")
    assert whole["p_corrected"].iloc[0] == pytest.approx(0.04)
    assert set(whole["correction"]) == {"fdr_bh over all rows"}
    assert "p_corrected" not in table
