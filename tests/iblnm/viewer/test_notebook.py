"""A session in memory as a page, and as a figure where there is no browser."""

import pytest

from iblnm.data import PhotometrySession
from iblnm.gui import PhotometrySessionViewer
from iblnm.viewer import notebook
from iblnm.viewer.document import build_document
from iblnm.viewer.wire import unpack


@pytest.fixture
def ps(viewed_root, small_archive):
    eid = small_archive[1]["sessions"][0]["eid"]
    path = viewed_root.sessions_h5_dir / f"{eid}.h5"
    return PhotometrySession.from_h5(path, settings=viewed_root)


def test_the_page_shows_what_the_session_holds(ps):
    head = unpack(build_document(notebook.contents_of(ps)).blocks["session"])
    assert head["trials"]["n"] == len(ps.trials)
    assert len(head["panels"]["psychometric"]["blocks"]) >= 1
    fiber = unpack(build_document(notebook.contents_of(ps)).blocks["fiber-0"])["panels"]
    assert fiber["preprocessed"]["series"]["z"]["low"].size > 100
    assert "ps.load_photometry()" in fiber["raw"]["missing"]


def test_in_a_notebook_it_is_a_frame_that_cannot_reach_the_notebook(ps):
    shown = PhotometrySessionViewer(ps, height=500)._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "allow-same-origin" not in shown
    assert "height:500px" in shown
    assert ps.eid in shown
    # neighbors that only a stored report has
    assert "data-stored=&quot;&quot;" in shown


@pytest.mark.slow
def test_a_script_without_a_browser_gets_the_figure(ps, monkeypatch):
    monkeypatch.setattr(notebook, "find_browser", lambda: None)
    figure = ps.view()
    assert len(figure.axes) >= 6


def test_a_script_with_a_browser_opens_the_page(ps, monkeypatch):
    opened = []
    browser = type("Browser", (), {"open": lambda self, address: opened.append(address)})()
    monkeypatch.setattr(notebook, "find_browser", lambda: browser)
    assert isinstance(ps.view(), PhotometrySessionViewer)
    assert opened[0].startswith("file://")
    assert opened[0].endswith(f"{ps.eid}.html")


def test_no_screen_is_no_browser(monkeypatch):
    monkeypatch.setattr(notebook.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert notebook.find_browser() is None
