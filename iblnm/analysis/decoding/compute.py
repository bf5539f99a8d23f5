"""Analysis: targets decoded from the response vectors of animals that were left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.decoding.decoder import decode_targets, feature_contributions
from iblnm.analysis.decoding.folds import CS, Solver
from iblnm.analysis.decoding.inference import accuracy_intervals, decoding_permutation_test
from iblnm.analysis.decoding.tables import TABLES
from iblnm.analysis.result import AnalysisResult, conformed, count_stages, count_units, no_result
from iblnm.analysis.vectors.matrix import from_table
from iblnm.config import Settings

_ONE_TEST = "none: a single test"


def target_decoding(response_matrix: pd.DataFrame, settings: Settings) -> AnalysisResult:
    """Target of a left-out animal's recordings, decoded from their response vectors.

    Accuracy with intervals over animals, permutation null, coefficients, contributions.

    Parameters
    ----------
    response_matrix : DataFrame
        Schema `iblnm.analysis.vectors.tables.RESPONSE_MATRIX`.
    settings : Settings

    Returns
    -------
    AnalysisResult
        Tables ``decoding_predictions``, ``decoding_accuracy``, ``decoding_coefficients``,
        ``decoding_contributions``, ``decoding_null`` of `iblnm.analysis.decoding.tables`.
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
    counts = count_stages(response_matrix, rows)
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
        return no_result(TABLES, counts, parameters, *notes)
    labels, subjects = rows["target_NM"].astype(str), rows["subject"].astype(str)
    decoded = decode_targets(features, labels, subjects, solver=solver)
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
        "decoding_contributions": feature_contributions(
            features, labels, subjects, decoded=decoded, **resampling
        ).reset_index(),
        "decoding_null": pd.DataFrame({"balanced_accuracy": null["null"]})
        .rename_axis("permutation")
        .reset_index()
        .assign(observed=null["statistic"], p=null["p"]),
    }
    return AnalysisResult(
        tables=conformed(made, TABLES),
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
