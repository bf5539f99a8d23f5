"""Traces and vectors: what is drawn are the means over animals."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.traces.figures import animal_traces, mean_traces_figure, well_covered
from iblnm.analysis.vectors.compute import vector_counts
from iblnm.analysis.vectors.figures import parse_features, response_vectors_figure
from iblnm.config import Settings

SETTINGS = Settings(_env_file=None)


def test_an_animals_trace_is_the_mean_of_its_recordings_by_trials(mean_traces):
    cell = mean_traces[mean_traces["event"] == "feedback_times"].copy()
    cell = cell[(cell["contrast"] == 100) & (cell["feedbackType"] == 1)]
    cell = cell[(cell["subject"] == "VTA-DA_000") & np.isclose(cell["time"], 0.5)]
    assert len(cell) == 2
    expected = np.average(cell["response"], weights=cell["n_trials"])
    found = animal_traces(cell)
    assert found["response"].tolist() == pytest.approx([expected])


@pytest.mark.slow
def test_lines_and_bands_are_mean_and_sem_of_animals(mean_traces, settings):
    figure = mean_traces_figure(mean_traces, event="feedback_times", settings=settings)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["VTA-DA", "LC-NE", "", ""]
    animals = animal_traces(mean_traces)
    own = animals[(animals["event"] == "feedback_times") & (animals["target_NM"] == "LC-NE")]
    own = own[(own["contrast"] == 25) & (own["feedbackType"] == -1)]
    wide = own.pivot_table(index="time", columns="subject", values="response")
    ax = figure.axes[3]
    line = next(line for line in ax.lines if line.get_label() == "25 %")
    np.testing.assert_allclose(line.get_ydata(), wide.mean(axis=1), atol=1e-12)
    band = next(c for c in ax.collections if c.get_label() == "_band 25")
    top = band.get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx((wide.mean(axis=1) + wide.sem(axis=1)).max())
    # the trials of both animals' sessions, once
    assert "n = 6 mice, 12 sessions, 12 recordings, 2,400 trials" in figure.get_suptitle()
    assert figure.axes[0].get_ylabel() == "Correct\nResponse (z)"
    assert figure.get_supxlabel() == "Time from feedback (s)"


def few_left(n_at_end, subjects=("a", "b")):
    """Traces of which the last two samples have few trials, and a spike."""
    rows = [
        {
            "eid": f"{subject}0",
            "subject": subject,
            "target_NM": "VTA-DA",
            "brain_region": "VTA",
            "fiber_idx": 0,
            "event": "stimOn_times",
            "contrast": 100.0,
            "feedbackType": 1.0,
            "time": time,
            "response": 9.0 if time > 0.25 else 1.0,
            "n_trials": n_at_end.get(subject, 40) if time > 0.25 else 40,
        }
        for subject in subjects
        for time in (-0.1, 0.0, 0.1, 0.2, 0.3, 0.4)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("n_at_end", "n_times"),
    [
        ({"a": 40, "b": 40}, 6),
        ({"a": 4, "b": 4}, 4),
        ({"a": 9, "b": 9}, 4),
        ({"a": 10, "b": 9}, 6),
    ],
)
@pytest.mark.slow
def test_lines_end_where_few_trials_are_left(n_at_end, n_times):
    figure = mean_traces_figure(few_left(n_at_end), event="stimOn_times", settings=SETTINGS)
    (ax,) = figure.axes
    line = next(line for line in ax.lines if line.get_label() == "100 %")
    assert len(line.get_xdata()) == n_times
    assert ax.texts[0].get_text() == "2 mice\n80 trials"
    assert "n = 2 mice, 2 sessions, 2 recordings, 80 trials" in figure.get_suptitle()


def test_a_line_ends_where_most_animals_are_gone():
    animals = animal_traces(few_left({"a": 40, "b": 1, "c": 1}, subjects="abc"))
    kept = well_covered(animals, 5)
    assert kept["time"].max() == pytest.approx(0.2)
    assert well_covered(animals, 1000).empty
    figure = mean_traces_figure(
        few_left({}), event="stimOn_times", min_trials=41, settings=SETTINGS
    )
    reason = "no animal has 41 trials of a contrast and outcome"
    assert reason in figure.texts[-1].get_text()


def test_animals_that_are_not_drawn_are_not_counted():
    table = few_left({})
    table.loc[table["subject"] == "b", "n_trials"] = 3
    figure = mean_traces_figure(table, event="stimOn_times", settings=SETTINGS)
    assert "n = 1 mouse, 1 session, 1 recording, 40 trials" in figure.get_suptitle()
    assert figure.axes[0].texts[0].get_text() == "1 mouse\n40 trials"


@pytest.mark.slow
def test_contrasts_differ_in_lightness_and_width(mean_traces):
    figure = mean_traces_figure(mean_traces, settings=SETTINGS)
    lines = [line for line in figure.axes[0].lines if line.get_label().endswith("%")]
    widths = [line.get_linewidth() for line in lines]
    lightness = [sum(line.get_color()) for line in lines]
    assert widths == sorted(widths)
    assert len(set(widths)) == len(widths)
    assert lightness == sorted(lightness, reverse=True)


@pytest.mark.slow
def test_traces_of_one_animal_have_no_band_and_of_none_no_data(mean_traces):
    one = mean_traces[mean_traces["subject"] == "LC-NE_000"]
    figure = mean_traces_figure(one, settings=SETTINGS)
    vertices = np.concatenate(
        [path.vertices for c in figure.axes[0].collections for path in c.get_paths()] or [[]]
    )
    assert not np.isfinite(vertices).any() or not len(vertices)
    empty = mean_traces_figure(mean_traces, event="firstMovement_times", settings=SETTINGS)
    reason = "the table of mean traces at firstMovement_times is empty"
    assert reason in empty.texts[-1].get_text()
    assert (
        "no data"
        in mean_traces_figure(mean_traces.head(0), settings=SETTINGS).texts[-1].get_text()
    )


def test_conditions_are_parsed_and_ordered():
    names = ["feedback_c0_ipsi_correct", "stimOn_c100_contra_correct", "eid"]
    names += ["stimOn_c6.25_contra_correct", "stimOn_c0_contra_incorrect"]
    table = parse_features(names)
    assert table["feature"].tolist() == [names[3], names[1], names[4], names[0]]
    assert table["contrast"].tolist() == [6.25, 100.0, 0.0, 0.0]


@pytest.mark.slow
def test_vectors_are_means_of_animals_with_their_sem(response_matrix, settings):
    figure = response_vectors_figure(response_matrix, counts={"trials": 7}, settings=settings)
    assert "n = 6 mice, 12 sessions, 12 recordings, 7 trials" in figure.get_suptitle()
    features = parse_features(response_matrix.columns)
    block = features[(features["event"] == "stimOn") & (features["side"] == "contra")]
    block = block[block["outcome"] == "correct"]["feature"].tolist()
    own = response_matrix[response_matrix["target_NM"] == "VTA-DA"]
    animals = own.groupby("subject")[block].mean()
    drawn = figure.axes[0].containers[0]
    np.testing.assert_allclose(drawn.lines[0].get_ydata(), animals.mean())
    low, high = drawn.lines[2][0].get_segments()[0][:, 1]
    assert high - low == pytest.approx(2 * animals[block[0]].sem())
    assert figure.axes[-1].get_xlabel() == "Contrast (%) at feedback"


@pytest.mark.slow
def test_vectors_without_conditions_say_so(response_matrix):
    figure = response_vectors_figure(
        response_matrix[["eid", "target_NM", "subject"]], settings=SETTINGS
    )
    assert "none of 3 columns of the matrix is a condition" in figure.texts[-1].get_text()
    one = response_matrix[response_matrix["subject"] == "LC-NE_000"]
    assert len(response_vectors_figure(one, settings=SETTINGS).axes) == 2
    indexed = one.set_index(["eid", "target_NM", "fiber_idx"])
    assert len(response_vectors_figure(pd.DataFrame(indexed), settings=SETTINGS).axes) == 2


def test_counts_are_of_the_selected_trials_of_the_recordings_with_a_prediction(magnitudes):
    recordings = magnitudes[["eid", "fiber_idx"]].drop_duplicates().reset_index(drop=True)
    recordings["predicted"] = ["LC-NE"] * (len(recordings) - 1) + [None]
    counts = vector_counts(recordings, magnitudes, settings=Settings())
    own = magnitudes[magnitudes["eid"] != recordings["eid"].iloc[-1]]
    own = own[(own["probabilityLeft"] == 0.5) & (own["choice"] != 0)]
    assert counts["trials"] == len(own.drop_duplicates(["eid", "trial"]))
    assert counts["recordings"] == len(recordings) - 1
