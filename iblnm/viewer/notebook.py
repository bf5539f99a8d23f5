"""The page of a session in memory: without a server, in a notebook or a browser."""

from __future__ import annotations

import html
import os
import sys
import tempfile
import webbrowser
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iblnm.viewer.report import render_report, save_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from iblnm.data import PhotometrySession
    from iblnm.viewer.contents import Contents

_TEXT_BROWSERS = {"www-browser", "links", "elinks", "lynx", "w3m"}


class PhotometrySessionViewer:
    """The page of one session, drawn of what the session holds.

    In a notebook it shows itself as the last value of a cell. The page is the report of
    `iblnm.viewer.report`: it needs no server, and shows the signal in steps of 1 s.

    Parameters
    ----------
    ps : PhotometrySession
        What it does not hold (trials, photometry, responses) is shown as missing, with the
        method that loads it; nothing is loaded here.
    height : int
        Of the page in a notebook, pixels.

    Examples
    --------
    >>> from iblnm.data import PhotometrySession
    >>> from iblnm.gui import PhotometrySessionViewer
    >>> ps = PhotometrySession({"eid": "0a64126d-a149-4d28-80d8-00a5ca60c681", "subject": "M1"})
    >>> PhotometrySessionViewer(ps).save("session.html")  # doctest: +SKIP
    PosixPath('session.html')
    """

    def __init__(self, ps: PhotometrySession, *, height: int = 900):
        self.ps = ps
        self.height = height

    @cached_property
    def html(self) -> str:
        """The page as text."""
        from iblnm.viewer.document import build_document

        document = build_document(contents_of(self.ps))
        return render_report(
            document.eid,
            document.stamp,
            document.blocks,
            viewer_url=self.ps.settings.viewer_url,
            is_stored=False,
        )

    def save(self, path: Path | str) -> Path:
        """Write the page; returns its path."""
        return save_report(self.html, Path(path))

    def figure(self, recording: str | None = None) -> Figure:
        """The static figure of one recording, the first by default.

        Parameters
        ----------
        recording : str, optional
            Name of the recording.
        """
        from iblnm.vis.example_session import example_session_figure

        ps = self.ps
        names = list(ps.responses) or list(ps.recordings)
        name = recording or (names[0] if names else "")
        target = ps.recordings.get(name, {}).get("target_NM")
        return example_session_figure(
            ps.photometry,
            ps.responses,
            ps.trials,
            recording=name,
            name=f"{ps.subject or ''} {str(ps.start_time or '')[:10]}".strip() or ps.eid,
            target=target,
            settings=ps.settings,
        )

    def plot(self, recording: str | None = None) -> Figure:
        """Draw the static figure with pyplot; ``plt.show()`` then shows it.

        Parameters
        ----------
        recording : str, optional
            Name of the recording, the first by default.
        """
        import matplotlib.pyplot as plt

        figure = self.figure(recording)
        canvas = plt.figure().canvas
        canvas.manager.canvas.figure = figure
        figure.set_canvas(canvas)
        return figure

    def show(self) -> PhotometrySessionViewer | Figure:
        """Show the page where one can be shown.

        Returns
        -------
        PhotometrySessionViewer or Figure
            In a notebook the viewer, which then shows itself. In a script the page is opened
            in the browser; without a browser the static figure is returned.
        """
        if in_notebook():
            return self
        browser = find_browser()
        if browser is None:
            return self.figure()
        folder = Path(tempfile.mkdtemp(prefix="iblnm-"))
        browser.open(self.save(folder / f"{self.ps.eid}.html").as_uri())
        return self

    def _repr_html_(self) -> str:
        page = html.escape(self.html, quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="display:block;'
            f'box-sizing:border-box;width:100%;height:{self.height}px;border:1px solid #d9dee2">'
            "</iframe>"
        )


def contents_of(ps: PhotometrySession) -> Contents:
    """What a session holds, as the pages show it; what is absent says how to load it."""
    from iblnm.viewer.contents import Contents, evaluate_contents

    stored: dict[str, Any] = {
        "session": ps.to_series().to_frame().T,
        "trials": ps.trials,
        "photometry": ps.__dict__.get("_reference"),
        "photometry_qc": ps.qc if len(ps.qc) else None,
        "preprocessed": ps.preprocessed() or None,
        "responses": ps.responses or None,
        "wheel_velocity": ps.wheel_velocity,
    }
    bands = {
        name: ps.photometry[name] for name in ("GCaMP", "Isosbestic") if name in ps.photometry
    }
    if ps.trials is not None:
        stored["performance"] = _performance(ps)
    methods = {
        "trials": "load_trials",
        "photometry": "load_photometry",
        "photometry_qc": "run_sliding_qc",
        "preprocessed": "preprocess",
        "responses": "extract_responses",
        "wheel_velocity": "extract_wheel_velocity",
        "performance": "load_trials",
    }
    problems = {
        asset: f"The session in memory has none: call ps.{method}() first."
        for asset, method in methods.items()
        if stored.get(asset) is None
    }
    contents = Contents(
        ps.eid, ps.settings, ps.to_dict(), stored, problems, bands=bands if bands else None
    )
    contents.checks = evaluate_contents(contents)
    return contents


def in_notebook() -> bool:
    """Whether the code runs in a kernel that shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def find_browser() -> webbrowser.BaseBrowser | None:
    """A browser with a screen to show a page on; None if there is none."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return None
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return None
    return None if getattr(browser, "name", "") in _TEXT_BROWSERS else browser


def _performance(ps: PhotometrySession) -> Any:
    import pandas as pd

    from iblnm.errors import DataError
    from iblnm.task import session_performance

    try:
        row = session_performance(
            ps.trials,
            session_type=ps.session_type,
            eid=ps.eid,
            thresholds=ps.settings.thresholds,
        )
    except DataError:
        return None
    return pd.DataFrame([row])
