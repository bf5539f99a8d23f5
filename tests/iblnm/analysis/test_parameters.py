"""What an analysis is asked for is what it computes with, and what its files record."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import simulate_magnitudes

import iblnm
from iblnm.analysis import cross_validate_movement, fit_mixed_model, fit_response_glm
from iblnm.analysis.encoding.compute import fit_all
from iblnm.analysis.encoding.glm import TERMS, design_matrix
from iblnm.analysis.lmm.compute import response_lmm
from iblnm.analysis.movement.compute import movement_encoding
from iblnm.analysis.trials import code_trials
from iblnm.config import CohortSettings, ModelSettings, Settings

EXTREMES = (0.0, 100.0)
PURE = ("analysis", "signal", "task", "storage", "schemas")


@pytest.fixture(scope="module")
def table():
    return simulate_magnitudes(targets=["VTA-DA"], n_subjects=3, n_trials=150, seed=2)[0]


@pytest.mark.slow
def test_mixed_models_of_a_stage_are_centered_on_the_contrasts_they_record(table):
    center = np.log1p(EXTREMES).mean()
    quick = ModelSettings(events=("stimOn_times",), re_formulas=("1",))
    result = response_lmm(table, Settings(analysis_contrasts=EXTREMES, models=quick))
    assert result.parameters["contrasts"] == list(EXTREMES)
    np.testing.assert_allclose(result.tables["lmm_fits"]["contrast_center"], center, atol=1e-12)
    # at the center of the other contrasts, the intercept moves along the slope
    usual = response_lmm(table, Settings(models=quick))
    a, b = (r.tables["lmm_coefficients"].set_index("term")["estimate"] for r in (usual, result))
    shift = center - np.log1p([0, 6.25, 12.5, 25, 100]).mean()
    assert b["Intercept"] - a["Intercept"] == pytest.approx(shift * a["contrast"], rel=1e-4)
    assert b["contrast"] == pytest.approx(a["contrast"], rel=1e-4)


@pytest.mark.slow
def test_ranks_are_those_among_the_contrasts_asked_for(table):
    stimulus = table[table["event"] == "stimOn_times"]
    coded, center = code_trials(stimulus, "response_early", "rank", contrasts=EXTREMES)
    assert center == 0.5
    assert set(coded["contrast"]) == {-0.5, 0.5}
    assert set(coded["percent"]) == set(EXTREMES)
    fit = fit_mixed_model(stimulus, "response_early", contrast_coding="rank", contrasts=EXTREMES)
    assert fit.contrasts == fit.contrast_levels == EXTREMES
    own = stimulus[stimulus["contrast"].isin(EXTREMES)]
    loso = cross_validate_movement(
        stimulus, "response_early", "reaction_time", contrast_coding="rank", contrasts=EXTREMES
    )
    assert loso["n_trials"].sum() <= len(own) < len(stimulus)


@pytest.mark.slow
def test_movement_stage_uses_the_contrasts_of_its_settings(table):
    models = ModelSettings(n_permutations=9, timings=("reaction_time",), contrast_coding="rank")
    counted = {}
    for levels in (EXTREMES, (0.0, 6.25, 12.5, 25.0, 100.0)):
        result = movement_encoding(table, None, Settings(analysis_contrasts=levels, models=models))
        assert result.parameters["contrasts"] == list(levels)
        counted[levels] = result.tables["movement_encoding"]["n_trials"].sum()
    assert 0 < counted[EXTREMES] < 0.6 * max(counted.values())


@pytest.mark.slow
def test_regressions_of_recordings_are_centered_on_the_contrasts_asked_for(table):
    own = table[table["event"] == "feedback_times"]
    beta = np.arange(1.0, 8.0)
    planted = own.assign(response_early=design_matrix(own, contrasts=EXTREMES) @ beta)
    for coefficients in (
        fit_response_glm(planted, "feedback_times", contrasts=EXTREMES)[0],
        _wide(fit_all(planted, _recordings(planted), Settings(analysis_contrasts=EXTREMES))),
    ):
        np.testing.assert_allclose(coefficients, np.tile(beta, (len(coefficients), 1)), rtol=1e-8)
    assert not np.allclose(fit_response_glm(planted, "feedback_times")[0]["intercept"], 1.0)


def _recordings(table):
    names = ["eid", "fiber_idx", "subject", "target_NM", "brain_region", "hemisphere"]
    return table[names].drop_duplicates(["eid", "fiber_idx"])


def _wide(fits):
    fits = fits[fits["event"] == "feedback_times"]
    return fits.pivot_table(index="eid", columns="term", values="estimate")[list(TERMS)]


def test_vector_of_a_session_follows_the_selection_of_its_settings(session_of_planted_sizes):
    cohort = CohortSettings(probability_left=0.8, min_response_time_s=1.0)
    usual = session_of_planted_sizes(Settings()).get_response_vector("VTA", "l")
    other = session_of_planted_sizes(Settings(cohort=cohort)).get_response_vector("VTA", "l")
    assert usual["stimOn_c100_contra_correct"] == pytest.approx(1.0)
    assert other["stimOn_c100_contra_correct"] == pytest.approx(3.0)


@pytest.fixture
def session_of_planted_sizes():
    import xarray as xr

    from iblnm.data import PhotometrySession

    n = 40
    blocks = np.where(np.arange(n) < 20, 0.5, 0.8)
    # in the block of 0.8 a quick trial answers with 7, a slow one with 3
    seconds = np.where(np.arange(n) % 2, 0.5, 2.0)
    size = np.where(blocks == 0.5, 1.0, np.where(seconds > 1, 3.0, 7.0))
    trials = pd.DataFrame(
        {
            "stimOn_times": np.arange(n) * 5.0,
            "firstMovement_times": np.arange(n) * 5.0 + 2,
            "feedback_times": np.arange(n) * 5.0 + 3,
            "probabilityLeft": blocks,
            "choice": 1.0,
            "response_time": seconds,
            "stim_side": "right",
            "contrast": 100.0,
            "feedbackType": 1.0,
        }
    )
    time = np.arange(-30, 30) / 30

    def make(settings):
        session = PhotometrySession(
            {"eid": "0a64126d-a149-4d28-80d8-00a5ca60c681"}, settings=settings
        )
        session.trials = trials
        session.responses["VTA"] = xr.DataArray(
            size[None, :, None] * (time >= 0) * np.ones((2, 1, 1)),
            dims=("event", "trial", "time"),
            coords={"event": ["stimOn_times", "feedback_times"], "trial": range(n), "time": time},
        )
        return session

    return make


@pytest.mark.slow
def test_no_settings_are_read_where_numbers_are_made():
    root = Path(iblnm.__file__).parent
    for path in [file for name in PURE for file in (root / name).rglob("*.py")]:
        tree = ast.parse(path.read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "get_settings" not in names, path
        for call in _calls_at_import(tree):
            assert not call.endswith("Settings"), f"{path}: {call}() when it is imported"


def _calls_at_import(tree):
    """Names of what a module calls when it is imported, defaults of parameters too."""
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            pending += [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        pending += list(ast.iter_child_nodes(node))
