"""Tables of a small cohort for the figures."""

import numpy as np
import pytest
from bench.cohort_tables import simulate_magnitudes

from iblnm.config import Settings

TIMES = np.arange(-30, 30) / 30


@pytest.fixture(scope="session")
def settings():
    return Settings()


@pytest.fixture(scope="session")
def magnitudes():
    return simulate_magnitudes(
        targets=("VTA-DA", "LC-NE"),
        n_subjects=3,
        sessions_per_subject=2,
        n_trials=200,
        n_unbiased=60,
        nogo_fraction=0.02,
    )[0]


@pytest.fixture(scope="session")
def mean_traces(magnitudes):
    keys = ["eid", "subject", "target_NM", "brain_region", "fiber_idx"]
    keys += ["event", "contrast", "feedbackType"]
    cells = magnitudes.groupby(keys)["response_early"].agg(["mean", "size"]).reset_index()
    long = cells.loc[cells.index.repeat(len(TIMES))].reset_index(drop=True)
    long["time"] = np.tile(TIMES, len(cells))
    long["response"] = long["mean"] * (long["time"] >= 0)
    return long.rename(columns={"size": "n_trials"}).drop(columns="mean")


@pytest.fixture(scope="session")
def response_matrix(magnitudes):
    outcome = magnitudes["feedbackType"].map({1.0: "correct", -1.0: "incorrect"})
    feature = magnitudes["event"].str.removesuffix("_times") + "_c"
    feature += magnitudes["contrast"].map("{:g}".format) + "_" + magnitudes["side"] + "_" + outcome
    index = ["eid", "target_NM", "fiber_idx", "subject"]
    wide = magnitudes.assign(feature=feature).pivot_table(
        index=index, columns="feature", values="response_early"
    )
    return wide.reset_index().rename_axis(columns=None)


@pytest.fixture(scope="session")
def reason():
    """What an empty figure says."""

    def of(figure):
        text = figure.texts[-1].get_text()
        assert text.startswith("no data\n")
        return text.removeprefix("no data\n")

    return of
