"""Work-around: xarray imports dask and sparse (hence numba) at its first array, if installed.

ibllib brings all three along. The pipeline uses none of them, and they cost each process about
1 CPU-s and 100 MiB. ``tests/iblnm_dagster/workarounds/test_xarray_imports.py`` says when xarray no
longer needs this.
"""

from __future__ import annotations

import sys

UNUSED = {"dask": "dask.array", "sparse": "sparse"}


def keep_dask_and_sparse_out() -> None:
    """Let xarray of this process take them for not installed, unless already in use."""
    wanted = {name: module for name, module in UNUSED.items() if module not in sys.modules}
    if not wanted:
        return
    from xarray.namedarray import pycompat

    for name, module in wanted.items():
        sys.modules[module] = None
        try:
            pycompat._get_cached_duck_array_module(name)
        finally:
            del sys.modules[module]
