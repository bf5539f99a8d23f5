"""Addresses on the Dagster page: the port in use, the run of a check."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm_dagster.checks import cell_url
from iblnm_dagster.page_links import (
    choose_port,
    page_url,
    remember_page,
    runs_of_problems,
)

EID, OTHER = "0e59dee8-c9d1-4d81-bf80-88eb945dcde2", "1e59dee8-c9d1-4d81-bf80-88eb945dcde2"


@pytest.fixture
def listening():
    """A port at which somebody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_the_port_that_is_given_is_used(tmp_path, listening):
    settings = Settings(root=tmp_path)
    assert choose_port(["--port", "3055"], settings) == 3055
    # somebody may listen there: Dagster says so
    assert choose_port([f"-p{listening}"], settings) == listening


def test_without_a_port_the_first_free_one_but_for_that_of_the_viewer(tmp_path, listening):
    url = f"http://127.0.0.1:{listening}"
    viewer = f"http://127.0.0.1:{listening + 1}"
    settings = Settings(root=tmp_path, dagster_url=url, viewer_url=viewer)
    chosen = choose_port([], settings)
    assert listening + 1 < chosen < listening + 50


def test_the_address_is_remembered_and_written_into_the_dashboard(tmp_path):
    settings = Settings(root=tmp_path)
    assert page_url(settings) == "http://127.0.0.1:3000"
    dashboard = settings.figures_dir / "qc" / "dashboard.html"
    remember_page(settings, "http://127.0.0.1:3055")
    assert not dashboard.exists()
    dashboard.parent.mkdir(parents=True)
    dashboard.write_text('<script>{"dagster":"http://127.0.0.1:3000","runs":{}}</script>')
    remember_page(settings, "http://127.0.0.1:3056")
    assert page_url(settings) == "http://127.0.0.1:3056"
    expected = '<script>{"dagster":"http://127.0.0.1:3056","runs":{}}</script>'
    assert dashboard.read_text() == expected
    # what a laboratory has set stands
    public = Settings(root=tmp_path, dagster_url="https://dagster.example.org/")
    assert page_url(public) == "https://dagster.example.org"


class Instance:
    """Runs of two sessions."""

    def __init__(self, *records):
        self.records, self.asked = records, []

    def get_run_records(self, filters):
        eids = filters.tags["dagster/partition"]
        self.asked.append(eids)
        return [r for r in self.records if r.dagster_run.tags["dagster/partition"] in eids]


def record(run, eid, start, end):
    made = SimpleNamespace(run_id=run, tags={"dagster/partition": eid})
    return SimpleNamespace(dagster_run=made, start_time=start, end_time=end)


def test_a_check_leads_to_the_run_that_evaluated_it():
    # 1970-01-01T00:01:40 and later
    instance = Instance(
        record("first", EID, 90.0, 110.0),
        record("second", EID, 190.0, 210.0),
        record("going on", OTHER, 99.0, None),
        record("queued", OTHER, None, None),
    )
    rows = [
        (EID, "choice_sign", "fail", "1970-01-01T00:01:40"),
        (EID, "negative_reaction_time", "warn", "1970-01-01T00:03:20"),
        (EID, "band_inversion", "fail", "1970-01-01T00:30:00"),
        (EID, "early_samples", "pass", "1970-01-01T00:01:40"),
        (EID, "few_trials", "not run", None),
        (OTHER, "choice_sign", "warn", "1970-01-01T00:02:00"),
    ]
    matrix = pd.DataFrame(rows, columns=["eid", "check", "outcome", "evaluated_at"])
    assert runs_of_problems(instance, matrix) == {
        (EID, "choice_sign"): "first",
        (EID, "negative_reaction_time"): "second",
        (OTHER, "choice_sign"): "going on",
    }
    assert instance.asked == [[EID, OTHER]]
    assert runs_of_problems(instance, matrix.iloc[3:5]) == {}


def test_a_check_leads_to_its_cell(tmp_path):
    settings = Settings(root=tmp_path, viewer_url="http://127.0.0.1:3077")
    place = "http://127.0.0.1:3077/figures/qc/dashboard.html"
    assert cell_url(settings, EID, "choice_sign") == f"{place}#open={EID}~choice_sign"
