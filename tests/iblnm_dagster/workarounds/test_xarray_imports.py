"""The work-around for what xarray imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

USE_XARRAY = """
import sys
import numpy as np
{before}
import xarray as xr
array = xr.DataArray(np.zeros((2, 3)), dims=("trial", "time"))
assert float(array.mean()) == 0
print([name for name in ("dask.array", "sparse", "numba") if name in sys.modules])
"""
WORKAROUND = """
from iblnm_dagster.workarounds.xarray_imports import keep_dask_and_sparse_out
keep_dask_and_sparse_out()
keep_dask_and_sparse_out()
"""


def _imported(before: str) -> str:
    code = USE_XARRAY.format(before=before)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.slow
def test_arrays_work_without_dask_and_sparse():
    assert _imported(WORKAROUND) == "[]"


@pytest.mark.slow
def test_stock_xarray_still_imports_them():
    """When this fails, xarray imports what it needs only: drop the work-around."""
    pytest.importorskip("sparse")
    assert "sparse" in _imported("")
