"""Stages: similarity of response vectors, decoding of targets, repeated-measures ANOVA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.anova import anova_rm, missing_cells, subject_cell_means
from iblnm.analysis.corrections import correct_p
from iblnm.analysis.decoding import decode_target_nm, feature_unique_contribution
from iblnm.analysis.decoding_folds import CS, Solver
from iblnm.analysis.decoding_inference import accuracy_intervals, decoding_permutation_test
from iblnm.analysis.response_matrix import from_table
from iblnm.analysis.similarity import (
    cosine_similarity_matrix,
    mean_similarity_by_target,
    similarity_contrasts,
    within_between_similarity,
)
from iblnm.analysis.trials import analysed_trials
from iblnm.config import Settings
from iblnm.data.cohort.result import CohortResult, count_units, no_units
from iblnm.errors import DataError
from iblnm.schemas import discrimination as tables

_SIMILARITY = {
    "similarity_matrix": tables.SIMILARITY_MATRIX,
    "similarity_pairs": tables.SIMILARITY_PAIRS,
    "target_similarity": tables.TARGET_SIMILARITY,
    "similarity_contrasts": tables.SIMILARITY_CONTRASTS,
}
_DECODING = {
    "decoding_predictions": tables.DECODING_PREDICTIONS,
    "decoding_accuracy": tables.DECODING_ACCURACY,
    "decoding_coefficients": tables.DECODING_COEFFICIENTS,
    "decoding_contributions": tables.DECODING_CONTRIBUTIONS,
    "decoding_null": tables.DECODING_NULL,
}
_ANOVA = {
    "response_anova": tables.RESPONSE_ANOVA,
    "anova_missing_cells": tables.ANOVA_MISSING_CELLS,
}
_ONE_TEST = "none: a single test"
_FACTORS = ("contrast", "side")
_OUTCOME_EVENT, _OUTCOME = "feedback_times", "feedbackType"


def response_similarity(response_matrix: pd.DataFrame, settings: Settings) -> CohortResult:
    """Similarity of recordings, of targets, and within against between targets.

    Parameters
    ----------
    response_matrix : DataFrame
        Schema `iblnm.schemas.responses.RESPONSE_MATRIX`.
    settings : Settings

    Returns
    -------
    CohortResult
        Tables ``similarity_matrix``, ``similarity_pairs``, ``target_similarity``,
        ``similarity_contrasts`` of `iblnm.schemas.discrimination`.
    """
    chosen = settings.discrimination
    matrix, _ = from_table(response_matrix)
    usable = matrix.notna().all(axis=1).to_numpy() & (matrix.shape[1] > 0)
    usable &= response_matrix["target_NM"].notna().to_numpy()
    rows = response_matrix[usable].reset_index(drop=True)
    counts = _counts(response_matrix, rows)
    parameters = {
        "features": list(matrix.columns),
        "n_permutations": chosen.n_similarity_permutations,
        "n_bootstrap": chosen.n_bootstrap,
        "coverage": chosen.coverage,
        "seed": chosen.seed,
    }
    if len(rows) < 2:
        note = f"{len(rows)} recordings with all conditions; at least 2 are needed."
        return _nothing(_SIMILARITY, counts, parameters, note)
    sim = cosine_similarity_matrix(matrix[usable])
    targets, subjects = rows["target_NM"].astype(str), rows["subject"].astype(str)
    own = ["eid", "target_NM", "fiber_idx", "subject"]
    names = rows["eid"].astype(str) + "_" + rows["fiber_idx"].astype(str)
    wide = pd.concat([rows[own], pd.DataFrame(sim.to_numpy(), columns=names)], axis=1)
    contrasts = similarity_contrasts(
        sim,
        targets,
        subjects,
        n_permutations=chosen.n_similarity_permutations,
        n_bootstrap=chosen.n_bootstrap,
        coverage=chosen.coverage,
        seed=chosen.seed,
    )
    overall = contrasts.iloc[-1]
    counts["used"] = count_units(rows)
    made = {
        "similarity_matrix": wide,
        "similarity_pairs": _pair_table(within_between_similarity(sim, targets, subjects), rows),
        "target_similarity": _target_table(sim, targets, subjects),
        "similarity_contrasts": contrasts,
    }
    return CohortResult(
        tables={stem: _SIMILARITY[stem].conform(table) for stem, table in made.items()},
        schemas=dict(_SIMILARITY),
        counts=counts,
        parameters=parameters,
        numbers={
            "within minus between": float(overall["difference"]),
            "p of within minus between": float(overall["p"]),
        },
        notes=["Pairs of one mouse are left out of the contrasts; their unit is a pair of mice."],
    )


def target_decoding(response_matrix: pd.DataFrame, settings: Settings) -> CohortResult:
    """Decoding of targets on held-out mice, with null, intervals and contributions.

    Parameters
    ----------
    response_matrix : DataFrame
        Schema `iblnm.schemas.responses.RESPONSE_MATRIX`.
    settings : Settings

    Returns
    -------
    CohortResult
        Tables ``decoding_predictions``, ``decoding_accuracy``, ``decoding_coefficients``,
        ``decoding_contributions``, ``decoding_null`` of `iblnm.schemas.discrimination`.
    """
    chosen = settings.discrimination
    solver = Solver(tolerance=chosen.tolerance, n_inner_folds=chosen.n_inner_folds)
    matrix, _ = from_table(response_matrix)
    usable = matrix.notna().all(axis=1).to_numpy() & (matrix.shape[1] > 0)
    notes = []
    per_target = response_matrix[usable].groupby("target_NM")["subject"].nunique()
    few = sorted(per_target.index[per_target < chosen.min_subjects])
    if few:
        notes.append(
            f"Left out, with fewer than {chosen.min_subjects} mice each: {', '.join(few)}."
        )
    usable &= response_matrix["target_NM"].notna().to_numpy()
    usable &= ~response_matrix["target_NM"].isin(few).to_numpy()
    rows = response_matrix[usable].reset_index(drop=True)
    features = matrix[usable]
    counts = _counts(response_matrix, rows)
    parameters: dict[str, Any] = {
        "features": list(matrix.columns),
        "Cs": list(CS),
        "n_inner_folds": solver.n_inner_folds,
        "class_weight": "balanced",
        "penalty": "l1, multinomial",
        "n_permutations": chosen.n_permutations,
        "n_bootstrap": chosen.n_bootstrap,
        "coverage": chosen.coverage,
        "seed": chosen.seed,
        "min_subjects": chosen.min_subjects,
    }
    if rows["target_NM"].nunique() < 2:
        notes.append(
            f"{rows['target_NM'].nunique()} targets with at least {chosen.min_subjects} mice; "
            "2 are needed."
        )
        return _nothing(_DECODING, counts, parameters, *notes)
    labels, subjects = rows["target_NM"].astype(str), rows["subject"].astype(str)
    decoded = decode_target_nm(features, labels, subjects, solver=solver)
    null = decoding_permutation_test(
        features,
        labels,
        subjects,
        n_permutations=chosen.n_permutations,
        seed=chosen.seed,
        solver=Solver(tolerance=chosen.tolerance, n_inner_folds=chosen.n_inner_folds),
    )
    resampling = {
        "n_bootstrap": chosen.n_bootstrap,
        "seed": chosen.seed,
        "coverage": chosen.coverage,
    }
    accuracy = accuracy_intervals(decoded, **resampling).rename(columns={"target": "target_NM"})
    tested = accuracy["measure"] == "balanced_accuracy"
    accuracy["p"] = np.where(tested, null["p"], np.nan)
    accuracy["p_corrected"] = accuracy["p"]
    accuracy["correction"] = pd.Series(_ONE_TEST, index=accuracy.index).where(tested)
    predicted = decoded["predictions"].notna().to_numpy()
    counts["used"] = count_units(rows[predicted])
    parameters["convergence"] = decoded["convergence"]
    parameters["best_C"] = decoded["best_C_"]
    parameters["permutation_statistic"] = null["statistic"]
    notes += _decoding_notes(decoded)
    made = {
        "decoding_predictions": _prediction_table(decoded, rows, subjects),
        "decoding_accuracy": accuracy,
        "decoding_coefficients": _long_coefficients(decoded["coefficients"]),
        "decoding_contributions": feature_unique_contribution(
            features, labels, subjects, decoded=decoded, **resampling
        ).reset_index(),
        "decoding_null": pd.DataFrame({"balanced_accuracy": null["null"]})
        .rename_axis("permutation")
        .reset_index()
        .assign(observed=null["statistic"], p=null["p"]),
    }
    return CohortResult(
        tables={stem: _DECODING[stem].conform(table) for stem, table in made.items()},
        schemas=dict(_DECODING),
        counts=counts,
        parameters=parameters,
        numbers={
            "accuracy": float(decoded["accuracy"]),
            "balanced accuracy": float(decoded["balanced_accuracy"]),
            "chance": 1.0 / len(decoded["classes"]),
            "p": null["p"],
            "fits not converged": float(decoded["convergence"]["n_not_converged"]),
        },
        notes=notes,
    )


def response_anova(
    magnitudes: pd.DataFrame,
    settings: Settings,
    *,
    response_col: str = "response_early",
    min_subjects: int | None = None,
    min_trials: int | None = None,
    events: Sequence[str] | None = None,
) -> CohortResult:
    """Repeated-measures ANOVA of contrast, side and outcome per target and event.

    Parameters
    ----------
    magnitudes : DataFrame
        Schema `iblnm.schemas.responses.RESPONSE_MAGNITUDES`, all trials.
    settings : Settings
    response_col : str
    min_subjects, min_trials : int, optional
        Complete mice per ANOVA, and trials per cell; of the settings by default.
    events : sequence of str, optional
        Those of the table by default.

    Returns
    -------
    CohortResult
        Tables ``response_anova`` and ``anova_missing_cells``.

    Notes
    -----
    The outcome is a factor of responses to feedback only: before, there is none. A mouse
    that lacks a cell of the full factorial is left out of that ANOVA, and named with the
    cell in ``anova_missing_cells``. p is corrected (after Greenhouse & Geisser) over targets
    and effects of one event.
    """
    chosen = settings.discrimination
    min_subjects = chosen.anova_min_subjects if min_subjects is None else min_subjects
    min_trials = chosen.anova_min_trials if min_trials is None else min_trials
    trials, selection = analysed_trials(magnitudes, settings, response_col)
    trials = trials[trials["side"].notna() & trials["target_NM"].notna()]
    effects, lacking, used, notes = [], [], [], []
    for (target, event), part in trials.groupby(["target_NM", "event"], sort=True):
        if events is not None and event not in events:
            continue
        within = [*_FACTORS, *([_OUTCOME] if event == _OUTCOME_EVENT else [])]
        levels = [sorted(part[name].dropna().unique()) for name in within]
        cells = subject_cell_means(part, response_col, "subject", within, min_trials)
        absent = missing_cells(cells, "subject", within, levels)
        empty = sorted(set(part["subject"]) - set(cells["subject"]))
        lacking.append(absent.assign(target_NM=target, event=event))
        incomplete = {*absent["subject"], *empty}
        complete = cells[~cells["subject"].isin(incomplete)]
        n = complete["subject"].nunique()
        if n < min_subjects:
            notes.append(
                f"{target}, {event}: {n} of {part['subject'].nunique()} mice have "
                f"{min_trials} trials in every cell; {min_subjects} are needed."
            )
            continue
        try:
            table = anova_rm(complete, response_col, "subject", within)
        except DataError as error:
            notes.append(f"{target}, {event}: {error}")
            continue
        effects.append(table.assign(target_NM=target, event=event))
        used.append(part[part["subject"].isin(complete["subject"])])
    if trials.empty:
        notes.append("No trial is left by the selection; the tables are empty.")
    anova = _stack(effects, tables.RESPONSE_ANOVA)
    if len(anova):
        anova = tables.RESPONSE_ANOVA.conform(
            correct_p(anova, "p_gg", ["event"], chosen.correction)
        )
    return CohortResult(
        tables={
            "response_anova": anova,
            "anova_missing_cells": _stack(lacking, tables.ANOVA_MISSING_CELLS),
        },
        schemas=dict(_ANOVA),
        counts={
            "candidate": count_units(magnitudes),
            "eligible": count_units(trials),
            "used": count_units(pd.concat(used)) if used else no_units(),
        },
        parameters={
            "response_col": response_col,
            "min_subjects": min_subjects,
            "min_trials": min_trials,
            "correction": chosen.correction,
            **selection,
        },
        numbers={"effects": float(len(anova))},
        notes=notes,
    )


def _counts(candidate: pd.DataFrame, eligible: pd.DataFrame) -> dict[str, dict[str, int]]:
    return {
        "candidate": count_units(candidate),
        "eligible": count_units(eligible),
        "used": no_units(),
    }


def _nothing(schemas: dict[str, Any], counts: Any, parameters: Any, *notes: str) -> CohortResult:
    return CohortResult(
        tables={stem: schema.empty() for stem, schema in schemas.items()},
        schemas=dict(schemas),
        counts=counts,
        parameters=parameters,
        notes=list(notes),
    )


def _stack(parts: list[pd.DataFrame], schema: Any) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return schema.conform(pd.concat(filled)) if filled else schema.empty()


def _pair_table(pairs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    for which in ("i", "j"):
        positions = pairs[which].to_numpy()
        for name in ("eid", "fiber_idx", "subject"):
            pairs[f"{name}_{which}"] = rows[name].to_numpy()[positions]
    return pairs


def _target_table(sim: pd.DataFrame, targets: pd.Series, subjects: pd.Series) -> pd.DataFrame:
    every = mean_similarity_by_target(sim, targets)
    other = mean_similarity_by_target(sim, targets, subjects)
    n = len(every)
    return pd.DataFrame(
        {
            "target_i": np.repeat(every.index, n),
            "target_j": np.tile(every.columns, n),
            "similarity": every.to_numpy().ravel(),
            "similarity_other_subjects": other.to_numpy().ravel(),
        }
    )


def _prediction_table(
    decoded: dict[str, Any], rows: pd.DataFrame, subjects: pd.Series
) -> pd.DataFrame:
    folds = decoded["folds"].loc[subjects].reset_index(drop=True)
    own = rows[["eid", "subject", "target_NM", "fiber_idx"]]
    own = own.assign(predicted=decoded["predictions"].to_numpy())
    return pd.concat([own, folds[["status", "C", "violation"]]], axis=1)


def _long_coefficients(coefficients: pd.DataFrame) -> pd.DataFrame:
    named = coefficients.rename_axis(index="target_NM", columns="feature")
    return named.reset_index().melt("target_NM", value_name="coefficient")


def _decoding_notes(decoded: dict[str, Any]) -> list[str]:
    folds = decoded["folds"]
    counts = folds.loc[folds["status"] != "predicted", "status"].value_counts()
    notes = [f"No prediction for {n} mice: {status}." for status, n in counts.items()]
    convergence = decoded["convergence"]
    if convergence["n_not_converged"]:
        notes.append(
            f"{convergence['n_not_converged']} of {convergence['n_fits']} fits did not converge."
        )
    return notes
