"""Codings of contrast for regression models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from iblnm.analysis.trials import ContrastCoding
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


def get_contrast_coding(
    coding: str = "log", contrasts: Sequence[float] | None = None
) -> tuple[Callable, Callable]:
    """Functions to and from a coding of the contrast.

    Parameters
    ----------
    coding : {'log', 'linear', 'rank'}
        See `iblnm.analysis.trials.ContrastCoding`.
    contrasts : sequence of float, optional
        Contrasts [%] among which the rank counts; those of the settings by default.

    Returns
    -------
    transform, inverse : callable

    Raises
    ------
    ValueError
        For another coding.
    """
    levels = get_settings().analysis_contrasts if contrasts is None else contrasts
    made = ContrastCoding(coding, levels)
    return made.encode, made.decode
