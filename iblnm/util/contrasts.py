"""Codings of contrast for regression models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from iblnm.config import get_settings


def contrast_transform(contrast: Any) -> Any:
    """ln(c + 1) of a contrast in percent.

    Examples
    --------
    >>> round(float(contrast_transform(100.0)), 4)
    4.6151
    """
    return np.log1p(contrast)


def contrast_inverse(coded: Any) -> Any:
    """Contrast in percent of ln(c + 1)."""
    return np.expm1(coded)


def get_contrast_coding(coding: str = "log") -> tuple[Callable, Callable]:
    """Functions to and from a coding of the contrast.

    Parameters
    ----------
    coding : {'log', 'linear', 'rank'}
        ln(c + 1); the percentage itself; or the position among the analysed contrasts of the
        settings, NaN for others, whatever contrasts a data set holds.

    Returns
    -------
    transform, inverse : callable

    Raises
    ------
    ValueError
        For another coding.
    """
    if coding == "log":
        return contrast_transform, contrast_inverse
    if coding == "linear":
        return _identity, _identity
    if coding == "rank":
        return _to_rank, _from_rank
    raise ValueError(f"coding {coding!r} is unknown; known are 'log', 'linear' and 'rank'")


def _identity(value: Any) -> Any:
    return value


def _to_rank(contrast: Any) -> np.ndarray:
    levels = np.sort(get_settings().analysis_contrasts)
    contrast = np.asarray(contrast, dtype=float)
    rank = np.clip(np.searchsorted(levels, contrast), 0, len(levels) - 1)
    return np.where(np.isclose(levels[rank], contrast), rank.astype(float), np.nan)


def _from_rank(rank: Any) -> np.ndarray:
    levels = np.sort(get_settings().analysis_contrasts)
    return np.interp(rank, np.arange(len(levels)), levels)
