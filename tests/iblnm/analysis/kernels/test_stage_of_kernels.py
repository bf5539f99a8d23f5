"""The asset: tables, counts, and magnitudes beside those of the mask."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.signal_cohort import simulate_cohort

from iblnm.analysis.kernels.compute import response_kernels
from iblnm.analysis.kernels.figures import animal_kernels, kernels_figure
from iblnm.analysis.kernels.tables import TABLES
from iblnm.analysis.responses.compute import response_magnitudes
from iblnm.analysis.trials import analyzed_trials
from iblnm.config import Settings
from iblnm.storage.h5 import write_groups
from iblnm.storage.store import SessionStore

pytestmark = pytest.mark.slow

EFFECTS = {"stimOn_times": {"Intercept": 0.02}, "feedback_times": {"reward": 0.02}}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    settings = Settings(_env_file=None, root=tmp_path_factory.mktemp("kernels"))
    settings.sessions_h5_dir.mkdir(parents=True)
    rows = []
    for i, recording in enumerate(simulate_cohort(3, EFFECTS, n_subjects=2, n_trials=100)):
        eid = recording.meta["eid"]
        groups = {
            "trials": recording.trials,
            "photometry/preprocessed": {"VTA": recording.signal},
            "photometry/responses": {"VTA": recording.responses},
        }
        write_groups(settings.sessions_h5_dir / f"{eid}.h5", groups)
        rows.append(
            {
                "eid": eid,
                "subject": recording.meta["subject"],
                "start_time": f"2024-01-0{i + 1}T10:00:00",
                "number": 1,
                "lab": "lab",
                "session_type": "biased",
                "NM": "DA",
                "brain_region": ["VTA"],
                "recording_name": ["VTA"],
                "hemisphere": [recording.meta["hemisphere"]],
                "target_NM": ["VTA-DA"],
                "n_recordings": 1,
            }
        )
    return settings, pd.DataFrame(rows)


def test_tables_counts_and_the_choice_of_the_models(stored):
    settings, sessions = stored
    store = SessionStore(settings)
    wanted = {"min_performance": False}
    result = response_kernels(sessions, None, None, store, settings, **wanted)
    for stem, schema in TABLES.items():
        schema.validate(result.tables[stem])
    assert result.counts["used"] == {
        "sessions": 2,
        "recordings": 2,
        "subjects": 2,
        "trials": 200,
    }
    fits, kernels = result.tables["kernel_fits"], result.tables["kernels"]
    assert fits["correction"].tolist() == ["isosbestic"] * 2
    assert set(fits["n_conditions"]) == {15}
    assert (kernels.groupby("eid").size() == 15 * 76).all()
    assert set(kernels["side"].dropna()) == {"contra", "ipsi"}
    # relative to each fiber: the left fiber's contra is the right stimulus
    left = sessions["hemisphere"].str[0].eq("l").to_numpy()
    own = kernels[kernels["eid"] == sessions["eid"][left].iloc[0]]
    assert (own["side"].dropna() == "contra").equals(own["stim_side"].dropna() == "right")

    magnitudes = response_magnitudes(
        sessions, None, None, store, settings, result.tables["kernel_magnitudes"], **wanted
    ).tables["responses"]
    at = magnitudes["event"] == "stimOn_times"
    assert magnitudes.loc[at, "response_kernel"].notna().all()
    assert magnitudes.loc[at, "response_early"].notna().mean() < 0.7
    trials, record = analyzed_trials(magnitudes[at], settings)
    assert record["response"] == "kernel"
    np.testing.assert_array_equal(trials["response_early"], trials["response_kernel"])
    early = settings.model_copy(
        update={"cohort": settings.cohort.model_copy(update={"response": "early"})}
    )
    masked, record = analyzed_trials(magnitudes[at], early)
    assert record["response"] == "early"
    assert len(masked) < 0.7 * len(trials)


def test_without_stored_kernels_the_masked_magnitudes_are_taken(stored):
    settings, sessions = stored
    alone = response_magnitudes(
        sessions, None, None, SessionStore(settings), settings, min_performance=False
    ).tables["responses"]
    assert alone["response_kernel"].isna().all()
    assert analyzed_trials(alone, settings)[1]["response"] == "early"


def test_no_session_gives_empty_tables_and_a_note(stored):
    settings, sessions = stored
    result = response_kernels(
        sessions.head(0), None, None, SessionStore(settings), settings, min_performance=False
    )
    for stem, schema in TABLES.items():
        assert result.tables[stem].empty
        assert list(result.tables[stem]) == schema.names
    assert result.notes


def test_the_figure_shows_one_line_per_condition_and_animals_weigh_the_same(stored):
    settings, sessions = stored
    result = response_kernels(
        sessions, None, None, SessionStore(settings), settings, min_performance=False
    )
    kernels = result.tables["kernels"]
    animals = animal_kernels(kernels)
    assert set(animals["condition"]) == {"0 %", "100 %", "all", "correct", "incorrect"}
    assert animals.groupby(["event", "condition", "time"])["subject"].nunique().eq(2).all()
    figure = kernels_figure(kernels, settings=settings)
    lines = [
        line.get_label() for ax in figure.axes for line in ax.lines if line.get_label()[0] != "_"
    ]
    assert sorted(lines) == ["0 %", "100 %", "all", "correct", "incorrect"]
    import matplotlib.pyplot as plt

    plt.close(figure)
