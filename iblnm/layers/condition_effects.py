"""Whether a condition changes a metric from before to after, with the animal as the unit.

Units of one session are not independent, and drift; a session is one value per animal and
condition. The estimate is the interaction task × condition of a mixed model with a random
intercept of the animal; the p-value is that of permutations of conditions over animals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iblnm.errors import DataError

MIN_SUBJECTS = 4


def condition_effect(
    table: pd.DataFrame,
    *,
    condition: str,
    control: str,
    n_permutations: int = 2000,
    seed: int = 0,
) -> dict[str, object]:
    """Effect of a condition on the change from before to after.

    Parameters
    ----------
    table : DataFrame
        One row per session: ``subject``, ``condition``, ``pre``, ``post``.
    condition, control : str
        The two conditions; other rows are left out.
    n_permutations : int
    seed : int

    Returns
    -------
    dict
        estimate, se, n_subjects, n_sessions, p, note.

    Notes
    -----
    Animals with both conditions exchange them, animals with one of them exchange it with each
    other: both keep the number of animals per condition. Two-sided, (1 + k) / (1 + n).
    """
    used = table[table["condition"].isin([condition, control])].dropna(subset=["pre", "post"])
    cells = used.groupby(["subject", "condition"], sort=True)[["pre", "post"]].mean()
    empty = {
        "estimate": np.nan,
        "se": np.nan,
        "n_subjects": int(used["subject"].nunique()),
        "n_sessions": len(used),
        "p": np.nan,
        "note": None,
    }
    per_condition = cells.reset_index()["condition"].value_counts()
    if min(per_condition.get(condition, 0), per_condition.get(control, 0)) < 2:
        return {**empty, "note": "fewer than two animals in a condition"}
    if empty["n_subjects"] < MIN_SUBJECTS:
        return {**empty, "note": f"fewer than {MIN_SUBJECTS} animals"}
    changes = cells.assign(change=cells["post"] - cells["pre"]).reset_index()
    change = changes.pivot_table("change", "subject", "condition")
    change = change.reindex(columns=[control, condition])
    p = permutation_p(change.to_numpy(dtype=float), n_permutations, seed)
    estimate, se, note = _mixed_model(cells, condition)
    return {**empty, "estimate": estimate, "se": se, "p": p, "note": note}


def permutation_p(change: np.ndarray, n_permutations: int, seed: int) -> float:
    """p of the difference of mean changes by permutations over animals.

    Parameters
    ----------
    change : (animals, 2) array
        Change under control and under the condition; NaN for what an animal lacks.
    n_permutations, seed : int
    """
    rng = np.random.default_rng(seed)
    both = np.isfinite(change).all(axis=1)
    pairs, single = change[both], change[~both]
    values = np.nansum(single, axis=1)
    is_condition = np.isfinite(single[:, 1])

    def statistic(pairs: np.ndarray, of_condition: np.ndarray) -> float:
        treated = np.concatenate([pairs[:, 1], values[of_condition]])
        others = np.concatenate([pairs[:, 0], values[~of_condition]])
        return abs(treated.mean() - others.mean())

    observed = statistic(pairs, is_condition)
    exceeding = 0
    for _ in range(n_permutations):
        flipped = rng.random(len(pairs)) < 0.5
        swapped = np.where(flipped[:, None], pairs[:, ::-1], pairs)
        found = statistic(swapped, rng.permutation(is_condition))
        exceeding += found >= observed * (1 - 1e-12)
    return (1 + exceeding) / (1 + n_permutations)


def _mixed_model(cells: pd.DataFrame, condition: str) -> tuple[float, float, str | None]:
    from iblnm.analysis.stats.mixedlm import fit_mixed

    long = cells.reset_index().melt(["subject", "condition"], ["pre", "post"], "task")
    task = (long["task"] == "post").to_numpy(dtype=float)
    treated = (long["condition"] == condition).to_numpy(dtype=float)
    x = np.column_stack([np.ones(len(long)), task, treated, task * treated])
    _, subject = np.unique(long["subject"].to_numpy(dtype=object), return_inverse=True)
    y = long["value"].to_numpy(dtype=float)
    scale = y.std()
    if not scale > 0:
        return 0.0, np.nan, "the values do not vary"
    try:
        products, fit = fit_mixed(x, np.ones((len(y), 1)), y / scale, subject)
        found = products.solve(fit.factor)
    except (DataError, np.linalg.LinAlgError) as error:
        return np.nan, np.nan, f"no mixed model: {error}"
    variance = found.rss / products.degrees(True)
    note = None if fit.is_converged else "two optimizers disagree"
    return (
        float(found.beta[3] * scale),
        float(np.sqrt(variance * found.cov_unscaled[3, 3]) * scale),
        note,
    )


def all_effects(
    values: pd.DataFrame,
    *,
    control: str,
    n_permutations: int = 2000,
    seed: int = 0,
    method: str = "holm",
) -> pd.DataFrame:
    """Effects of every condition on every metric and region.

    Parameters
    ----------
    values : DataFrame
        ``source``, ``metric``, ``region``, ``subject``, ``eid``, ``condition``, ``pre``,
        ``post``: one row per session.
    control : str
        Name of the control condition.
    n_permutations, seed : int
    method : str
        Correction within source and condition, see `iblnm.analysis.stats.corrections.correct_p`.

    Returns
    -------
    DataFrame
        Schema ``CONDITION_EFFECTS``.
    """
    from iblnm.analysis.stats.corrections import correct_p

    conditions = sorted(set(values["condition"].dropna()) - {control})
    rows = []
    for (source, metric, region), own in values.groupby(["source", "metric", "region"], sort=True):
        for condition in conditions:
            found = condition_effect(
                own,
                condition=condition,
                control=control,
                n_permutations=n_permutations,
                seed=seed,
            )
            key = {"source": source, "metric": metric, "region": region, "condition": condition}
            rows.append({**key, **found})
    if not rows:
        return pd.DataFrame(columns=["source", "metric", "region", "condition", "p"])
    return correct_p(pd.DataFrame(rows), "p", ["source", "condition"], method)


def single_unit_values(
    table: pd.DataFrame, metrics: Sequence[str], *, min_units: int
) -> pd.DataFrame:
    """Mean of units per session, of all regions together and of each coarse region.

    Parameters
    ----------
    table : DataFrame
        Rows of ``single_unit`` with ``subject`` and ``condition``.
    metrics : sequence of str
        Names without ``_pre``.
    min_units : int
        Units with both values that a session needs.
    """
    whole = table.assign(coarse_region="all")
    both = pd.concat([whole, table.dropna(subset=["coarse_region"])], ignore_index=True)
    keys = ["subject", "condition", "eid", "coarse_region"]
    rows = []
    for metric in metrics:
        own = both[[*keys, f"{metric}_pre", f"{metric}_post"]].dropna(
            subset=[f"{metric}_pre", f"{metric}_post"]
        )
        grouped = own.groupby(keys, dropna=False)
        means = grouped[[f"{metric}_pre", f"{metric}_post"]].mean()
        means = means[grouped.size() >= min_units].reset_index()
        means.columns = [*keys, "pre", "post"]
        rows.append(means.assign(source="single_unit", metric=metric))
    values = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    return values.rename(columns={"coarse_region": "region"})


def population_values(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Metrics of populations before and after, one row per session, region and epoch."""
    rows = []
    for kind, own in table[table["kind"] != "window"].groupby("kind"):
        keys = ["subject", "condition", "eid", "region"]
        for metric in metrics:
            wide = own.pivot_table(metric, keys, "side", dropna=True)
            if {"pre", "post"} <= set(wide.columns):
                found = wide[["pre", "post"]].reset_index()
                rows.append(found.assign(source="population", metric=f"{kind}_{metric}"))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
