"""Corrections compared: on planted recordings, and on stored sessions that stay as they are."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.corrections import ANALYSIS
from iblnm.analysis.corrections.benchmark import rank_chains, run_benchmark
from iblnm.analysis.corrections.compute import correction_benchmark
from iblnm.analysis.corrections.disagreement import (
    DISAGREEMENTS,
    disagreements,
    evaluate_disagreement,
)
from iblnm.analysis.corrections.figures import ranking_figure
from iblnm.analysis.corrections.magnitudes import (
    RawSession,
    compare_chains,
    magnitudes_table,
    open_session,
    session_magnitudes,
)
from iblnm.analysis.corrections.protocol import CASES, plant
from iblnm.analysis.corrections.tables import TABLES
from iblnm.analysis.corrections.traits import Traits, white_noise
from iblnm.config import ChainSettings, Settings
from iblnm.constants import REFERENCE_BAND, SIGNAL_BAND
from iblnm.signal.chains import CHAINS, DOCUMENTED, RATIO, find_chain
from iblnm.signal.chains.baselines import DoubleExponential
from iblnm.storage.store import SessionStore
from iblnm.vis.panels import has_data

SETTINGS = Settings(chains=ChainSettings(benchmark_seeds=2))
CASE = {case.name: case for case in CASES}
ALL = {
    "session_types": False,
    "qc_blockers": False,
    "targets": False,
    "min_performance": False,
    "required_contrasts": False,
    "deduplicate": False,
}


def traits(**changes):
    values = {
        "eid": "20e8a615-1124-47b2-94cb-50a9b935f09d",
        "fiber_idx": 0,
        "target_NM": "VTA-DA",
        "noise": 0.004,
        "reference_noise": 0.003,
        "reference_r2": 0.4,
        "gain": 0.7,
        "decay": DoubleExponential((0.2, 0.2), (80.0, 1500.0), 1.0),
        "reference_decay": DoubleExponential((0.1, 0.1), (80.0, 1500.0), 1.0),
        "duration_s": 3000.0,
        "response": 0.02,
    }
    return Traits(**{**values, **changes})


def hashes(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_planted_recordings_have_the_traits_that_were_measured():
    planted = plant(CASE["motion"], traits(), 0, 30.0)
    signal = planted.signal.to_numpy()
    bleaching = traits().decay.at(planted.signal.index.to_numpy())
    dff = signal / bleaching - (signal / bleaching).mean()
    assert white_noise(dff / np.mean(signal / bleaching)) == pytest.approx(0.004, rel=0.05)
    movement = planted.reference.to_numpy() / traits().reference_decay.at(
        planted.reference.index.to_numpy()
    )
    r2 = np.corrcoef(movement, dff)[0, 1] ** 2
    assert r2 == pytest.approx(0.4, abs=0.06)
    after = np.searchsorted(planted.signal.index, planted.trials["stimOn_times"] + 0.2)
    before = np.searchsorted(planted.signal.index, planted.trials["stimOn_times"] - 0.02)
    assert np.mean(planted.response[after] - planted.response[before]) == pytest.approx(
        0.02, rel=0.2
    )


def test_the_same_seed_plants_the_same_and_cases_share_their_events():
    first, second = (plant(CASE["motion"], traits(), 1, 30.0) for _ in range(2))
    pd.testing.assert_series_equal(first.signal, second.signal)
    noisy = plant(CASE["noisy_reference"], traits(), 1, 30.0)
    pd.testing.assert_series_equal(noisy.signal, first.signal, check_names=False)
    assert white_noise(noisy.reference.to_numpy()) > 3 * white_noise(first.reference.to_numpy())
    other = plant(CASE["motion"], traits(), 2, 30.0)
    assert not np.array_equal(other.response, first.response)


@pytest.mark.slow
def test_the_ranking_is_right_where_it_is_known():
    chains = [
        find_chain(name) for name in (DOCUMENTED, "documented_smoothed_reference", "dexp_ratio")
    ]
    cases = [CASE["noisy_reference"], CASE["leakage"]]
    benchmark = run_benchmark([traits()], chains, SETTINGS, cases=cases)
    TABLES["correction_benchmark"].validate(benchmark)
    assert len(benchmark) == 2 * 3 * 2
    ranking = rank_chains(benchmark).set_index(["case", "chain"])
    noisy = ranking.loc["noisy_reference"]
    # the ratio takes all the noise of the reference, the smooth reference brings least of it
    assert noisy["rank"].to_dict() == {
        DOCUMENTED: 2.0,
        "documented_smoothed_reference": 1.0,
        "dexp_ratio": 3.0,
    }
    assert (
        noisy.loc["dexp_ratio", "trial_correlation"] < noisy.loc[DOCUMENTED, "trial_correlation"]
    )
    # a fifth of the response in the reference, at the gain of the artifact, is subtracted from it
    assert ranking.loc[("leakage", DOCUMENTED), "bias"] == pytest.approx(-0.2 * 0.7, abs=0.05)
    assert ranking.loc[("leakage", "dexp_ratio"), "bias"] == pytest.approx(-0.2, abs=0.05)


def test_a_chain_that_gives_nothing_has_a_note_and_costs_no_other():
    broken = traits(reference_decay=DoubleExponential((0.0, -1.2), (80.0, 300.0), 1.0))
    chains = [find_chain(DOCUMENTED), find_chain(RATIO)]
    settings = Settings(chains=ChainSettings(benchmark_seeds=1))
    benchmark = run_benchmark([broken], chains, settings, cases=[CASE["motion"]])
    assert benchmark["note"].notna().all()
    assert benchmark["trial_error"].isna().all()
    assert (rank_chains(benchmark)["n_seeds"] == 0).all()


@pytest.mark.slow
def test_magnitudes_under_each_chain_leave_session_files_as_they_are(viewed_settings):
    store = SessionStore(viewed_settings)
    eids = store.eids("photometry")
    before = hashes(viewed_settings.root)
    unknown = "11111111-1111-4111-8111-111111111111"
    table, skipped = compare_chains(store, [unknown, *eids[:2]], viewed_settings, CHAINS)
    assert hashes(viewed_settings.root) == before
    TABLES["chain_magnitudes"].validate(table)
    assert list(skipped.sessions) == [unknown]
    assert "run iblnm batch first" in skipped.sessions[unknown]
    assert set(table["eid"]) == set(eids[:2])
    assert set(table["chain"]) == {chain.name for chain in CHAINS}
    default = table[table["chain"] == DOCUMENTED]
    assert (default["difference"].dropna() == 0).all()
    np.testing.assert_allclose(default["trial_correlation"].dropna(), 1.0)


def test_the_documented_magnitudes_are_those_of_the_stored_responses(viewed_settings):
    from iblnm.analysis.responses.magnitudes import recording_magnitudes
    from iblnm.storage.h5 import read_groups

    store = SessionStore(viewed_settings)
    eid = store.eids("photometry")[0]
    session = open_session(store, eid, viewed_settings)
    corrected, failures = session.corrected(find_chain(DOCUMENTED))
    stored = store.load("preprocessed", eid)
    assert not failures
    for name, recording in corrected.items():
        for variable in ("signal", "dff"):
            np.testing.assert_array_equal(recording[variable], stored[name][variable])
    responses = read_groups(store.h5_path(eid), ("photometry/responses",))["photometry/responses"]
    table, _ = compare_chains(store, [eid], viewed_settings, [find_chain(DOCUMENTED)])
    for recording in session.recordings:
        columns = recording_magnitudes(
            {**recording, "signal_sd": None},
            responses[recording["recording_name"]],
            session.trials,
        )
        means = (
            pd.DataFrame({"event": columns["event"], "z": columns["response_early"]})
            .groupby("event")["z"]
            .mean()
        )
        own = table[table["fiber_idx"] == recording["fiber_idx"]].set_index("event")
        found = own["magnitude_z"].astype(float)
        np.testing.assert_allclose(found, means.reindex(found.index), rtol=1e-9, atol=1e-12)


def test_a_signal_that_cannot_be_read_costs_its_session_alone(viewed_settings):
    store = SessionStore(viewed_settings)
    eids = store.eids("photometry")[:2]
    path = viewed_settings.data_dir / "photometry" / f"{eids[0]}.pqt"
    table = pd.read_parquet(path)
    from iblnm.storage.parquet import write_table

    write_table(table.assign(signal_path="/nowhere/photometry.signal.pqt"), path)
    found, skipped = compare_chains(store, eids, viewed_settings, [find_chain(RATIO)])
    assert list(skipped.sessions) == [eids[0]]
    assert set(found["eid"]) == {eids[1]}


@pytest.mark.slow
def test_the_analysis_measures_the_archive_and_checks_the_chains(viewed_settings):
    settings = viewed_settings.model_copy(
        update={"chains": ChainSettings(benchmark_seeds=1, sessions_per_target=1)}
    )
    sessions = pd.read_parquet(settings.metadata_dir / "sessions.pqt")
    store = SessionStore(settings)
    result = correction_benchmark(sessions, None, None, store, settings, labels=None, **ALL)
    for stem, schema in TABLES.items():
        schema.validate(result.tables[stem])
    measured = result.tables["recording_traits"]
    assert len(measured) == result.counts["used"]["recordings"] > 0
    assert (measured["noise"].between(1e-4, 0.05)).all()
    assert (measured["bleaching"] > 1).all()
    ranking = result.tables["chain_ranking"]
    assert len(ranking) == len(CASES) * len(CHAINS)
    assert set(result.tables["chain_magnitudes"]["chain"]) == {DOCUMENTED, RATIO}
    (check,) = ANALYSIS.checks
    outcome = check.evaluate(result.parameters, settings)
    assert outcome.evaluated
    assert outcome.limit == 0.2
    assert has_data(ranking_figure(ranking, settings=settings))


def test_without_sessions_nothing_is_simulated_and_the_check_is_not_evaluated(tmp_path):
    settings = Settings(root=tmp_path)
    sessions = pd.DataFrame({"eid": pd.Series(dtype=str), "subject": pd.Series(dtype=str)})
    for name in ("brain_region", "hemisphere", "target_NM"):
        sessions[name] = pd.Series(dtype=object)
    result = correction_benchmark(sessions, None, None, SessionStore(settings), settings, **ALL)
    assert all(table.empty for table in result.tables.values())
    assert any("nothing is simulated" in note for note in result.notes)
    assert not evaluate_disagreement(result.parameters, settings).evaluated


def test_the_check_takes_the_median_of_a_target_and_event():
    table = pd.DataFrame(
        {
            "target_NM": "LC-NE",
            "event": ["stimOn_times"] * 3 + ["feedback_times"] * 3,
            "chain": RATIO,
            "difference": [0.1, -0.15, 0.9, 0.25, -0.3, 0.05],
        }
    )
    rows = disagreements(pd.concat([table, table.assign(chain=DOCUMENTED, difference=5.0)]))
    outcome = evaluate_disagreement({DISAGREEMENTS: rows}, Settings())
    assert not outcome.passed and outcome.severity == "WARN"
    assert outcome.value == 0.25
    assert "1 of 2 combinations" in outcome.message
    assert "slower than about 100 s" in outcome.message
    tolerant = Settings(chains=ChainSettings(max_disagreement=0.4))
    assert evaluate_disagreement({DISAGREEMENTS: rows}, tolerant).passed
    assert len(outcome.message) < 500


def planted_session(case, own, seed):
    """A session with one recording of a case."""
    planted, name = plant(CASE[case], own, seed, 30.0), "VTA-l"
    recording = {"fiber_idx": 0, "recording_name": name, "subject": f"DM-{seed:03d}"}
    recording |= {"eid": own.eid, "target_NM": own.target_NM, "brain_region": "VTA"}
    session = RawSession(own.eid, [recording], pd.DataFrame(), planted.trials, {}, Settings())
    bands = {SIGNAL_BAND: planted.signal, REFERENCE_BAND: planted.reference}
    # in place of what would be read from files
    vars(session)["bands"] = {band: series.to_frame(name) for band, series in bands.items()}
    return session


@pytest.mark.slow
def test_the_check_warns_where_artifacts_at_the_events_have_another_gain():
    """The ratio takes all of the reference away, the documented chain as much as there is."""
    chains = [find_chain(DOCUMENTED), find_chain(RATIO)]
    # artifacts of gain 1 that follow no event are nothing to the mean of a response
    for case, gain, agree in (("motion", 1.0, True), ("motion_at_events", 0.4, False)):
        own = traits(gain=gain, noise=0.001, reference_noise=0.001)
        rows = [
            row
            for seed in range(3)
            for row in session_magnitudes(planted_session(case, own, seed), chains)
        ]
        found = disagreements(magnitudes_table(rows))
        assert [row["recordings"] for row in found] == [3]
        outcome = evaluate_disagreement({DISAGREEMENTS: found}, Settings())
        assert outcome.evaluated
        assert outcome.passed == agree, case
        assert outcome.value < 0.05 if agree else outcome.value > 0.4, case
