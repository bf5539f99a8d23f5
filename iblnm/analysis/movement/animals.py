"""Whether the response predicts a variable, animal by animal, and a test over animals."""

from __future__ import annotations

import numpy as np

METHOD_VERSION = 1
_LEVEL = 0.95
_MIN_SPARE = 5


def animal_slopes(
    base: np.ndarray,
    response: np.ndarray,
    dv: np.ndarray,
    subject: np.ndarray,
    recording: np.ndarray,
) -> np.ndarray:
    """Slope of a variable on the response in each animal, an intercept per recording.

    Parameters
    ----------
    base : ndarray, shape (n, p)
        Further columns; those that do not vary within an animal's recordings are left out.
    response, dv : ndarray, shape (n,)
    subject, recording : ndarray of int, shape (n,)
        Codes.

    Returns
    -------
    ndarray (n_animals,)
        Animals whose trials do not determine it, with `_MIN_SPARE` to spare, are left out.
    """
    slopes = []
    for code in np.unique(subject):
        own = subject == code
        columns = np.column_stack([base[own], response[own], dv[own]])
        names, which = np.unique(recording[own], return_inverse=True)
        means = np.zeros((len(names), columns.shape[1]))
        np.add.at(means, which, columns)
        columns = columns - (means / np.bincount(which)[:, None])[which]
        design = _independent_of(columns[:, :-2], columns[:, -2])
        if design is None or len(columns) - len(names) - design.shape[1] < _MIN_SPARE:
            continue
        slopes.append(np.linalg.solve(design.T @ design, design.T @ columns[:, -1])[-1])
    return np.array(slopes)


def over_animals(slopes: np.ndarray, min_subjects: int) -> dict[str, float]:
    """Mean slope over animals, its t interval, and p of t.

    Parameters
    ----------
    slopes : ndarray (n_animals,)
    min_subjects : int
        With fewer there is no p and no interval.

    Returns
    -------
    dict
        ``animal_coefficient``, ``animal_ci_low``, ``animal_ci_high`` (95 %), ``animal_p`` and
        ``n_animals``.
    """
    from scipy.stats import t

    n = len(slopes)
    found = {
        "animal_coefficient": float(np.mean(slopes)) if n else float("nan"),
        "animal_ci_low": float("nan"),
        "animal_ci_high": float("nan"),
        "animal_p": float("nan"),
        "n_animals": n,
    }
    se = float(np.std(slopes, ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    if n < max(min_subjects, 2) or se == 0:
        return found
    mean = found["animal_coefficient"]
    half = float(t.ppf(0.5 + _LEVEL / 2, n - 1)) * se
    p = float(2 * t.sf(abs(mean / se), n - 1))
    return {**found, "animal_ci_low": mean - half, "animal_ci_high": mean + half, "animal_p": p}


def _independent_of(base: np.ndarray, response: np.ndarray) -> np.ndarray | None:
    """The columns that determine the response's slope; None where nothing does."""
    kept: list[np.ndarray] = []
    for column in [*base.T, response]:
        trial = np.column_stack([*kept, column])
        if np.linalg.matrix_rank(trial) == trial.shape[1]:
            kept.append(column)
        elif column is response:
            return None
    return np.column_stack(kept)
