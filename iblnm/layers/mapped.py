"""Arrays that are mapped from files, gone through piece by piece in little memory."""

from __future__ import annotations

import mmap

import numpy as np

PIECE = 4_000_000
"""Spikes that are looked at before their pages are given back."""


def release(*arrays: np.ndarray | None) -> None:
    """Give the pages of mapped arrays back; their content is read again when it is needed.

    Arrays that are not mapped from a file are left alone.
    """
    for array in arrays:
        mapped = getattr(array, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
