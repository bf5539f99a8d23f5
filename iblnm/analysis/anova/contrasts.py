"""Two-stage contrasts: each animal's own effects, then a test over animals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from iblnm.analysis.anova.repeated import ANOVA_COLUMNS
from iblnm.analysis.trials import ContrastCoding, code_factors
from iblnm.errors import IncompleteDesignError

METHOD_VERSION = 1
MIN_TRIALS = 20
_NAMES = {"contrast": "contrast", "side": "side", "reward": "feedbackType"}
_FACTORS = tuple(_NAMES)


def recording_effects(
    trials: pd.DataFrame, depvar: str, coding: ContrastCoding, *, min_trials: int = 10
) -> pd.DataFrame:
    """Effects of contrast, side, outcome and their products in each recording.

    Parameters
    ----------
    trials : DataFrame
        Selected trials of one target and event: ``subject``, ``eid``, ``fiber_idx``,
        ``contrast`` [%], ``side``, ``feedbackType`` and the response.
    depvar : str
    coding : ContrastCoding
        Of contrast, which is one slope.
    min_trials : int
        Of each outcome; recordings with fewer, or with fewer than `MIN_TRIALS` in all, are
        left out, and those whose trials do not determine the effects.

    Returns
    -------
    DataFrame
        ``subject``, ``eid``, ``fiber_idx`` and a column per effect, named by its factors.
    """
    sources = effect_names()
    rows = []
    known = trials[np.isfinite(trials[depvar].to_numpy(dtype=float, na_value=np.nan))]
    for key, own in known.groupby(["subject", "eid", "fiber_idx"], sort=True):
        coded = code_factors(own, coding)
        whole = coded.notna().all(axis=1).to_numpy()
        coded, y = coded[whole], own[depvar].to_numpy(dtype=float)[whole]
        n_of_outcome = [int((coded["reward"] * sign > 0).sum()) for sign in (1, -1)]
        if len(y) < MIN_TRIALS or min(n_of_outcome) < min_trials:
            continue
        design = np.column_stack(
            [np.ones(len(y))]
            + [coded[list(effect)].prod(axis=1).to_numpy() for effect in sources.values()]
        )
        if np.linalg.matrix_rank(design) < design.shape[1]:
            continue
        beta = np.linalg.lstsq(design, y, rcond=None)[0]
        rows.append((*key, *beta[1:]))
    return pd.DataFrame(rows, columns=["subject", "eid", "fiber_idx", *sources])


def effect_names() -> dict[str, tuple[str, ...]]:
    """Main effects and interactions: factors of the coded trials by the name of the source.

    Examples
    --------
    >>> list(effect_names())[-1]
    'contrast:side:feedbackType'
    """
    effects = [c for n in range(1, len(_FACTORS) + 1) for c in combinations(_FACTORS, n)]
    return {":".join(_NAMES[name] for name in effect): effect for effect in effects}


def contrasts_over_animals(effects: pd.DataFrame) -> pd.DataFrame:
    """Test of each effect over animals.

    Parameters
    ----------
    effects : DataFrame
        See `recording_effects`.

    Returns
    -------
    DataFrame
        Columns of `iblnm.analysis.anova.repeated.repeated_measures_anova`, with F = t² of one
        and n − 1 degrees of freedom, so that there is no sphericity to correct for
        (``epsilon`` 1).

    Raises
    ------
    IncompleteDesignError
        With fewer than two animals.

    Notes
    -----
    Fibers are averaged within sessions, sessions within animals, all with equal weight: the
    t-test over animals then needs nothing of the noise within them (Holmes & Friston 1998,
    NeuroImage 7).
    """
    from scipy.stats import t

    names = list(effect_names())
    own = effects.groupby(["subject", "eid"])[names].mean().groupby("subject").mean()
    n = len(own)
    if n < 2:
        raise IncompleteDesignError(f"{n} animals with effects of their own; 2 are needed")
    values = own.to_numpy(dtype=float)
    se = values.std(axis=0, ddof=1) / np.sqrt(n)
    safe = np.where(se > 0, se, np.nan)
    statistic = values.mean(axis=0) / safe
    p = 2 * t.sf(np.abs(statistic), n - 1)
    rows = [
        (name, float(value**2), 1.0, float(n - 1), float(own_p), 1.0, float(own_p), n)
        for name, value, own_p in zip(names, statistic, p, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(ANOVA_COLUMNS))
