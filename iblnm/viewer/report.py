"""The report: one self-contained HTML file of one session, drawn by the viewer's own script."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path

from iblnm.storage.atomic import write_whole
from iblnm.storage.names import validate_eid
from iblnm.vis.embedding import digest_for_policy

METHOD_VERSION = 6
DRAWING = (
    "wire.js",
    "dom.js",
    "plot.js",
    "traces.js",
    "responses.js",
    "behavior.js",
    "tables.js",
    "session.js",
)
LIVE = ("address.js", "choice.js", "labels.js", "keys.js", "live.js")
REPORTS = "figures/sessions"
_BLOCK = re.compile(rb'<script type="application/octet-stream" id="block-([a-z0-9-]+)">([^<]*)<')
_STAMP = re.compile(rb'<meta name="iblnm-stamp" content="([0-9a-f]*)">')


def report_path(root: Path, eid: str) -> Path:
    """Where the report of a session is."""
    return root / REPORTS / f"{validate_eid(eid)}.html"


def reported_sessions(root: Path) -> list[str]:
    """Sessions that have a report."""
    return sorted(path.stem for path in (root / REPORTS).glob("*.html"))


def render_report(
    eid: str, stamp: str, blocks: Mapping[str, bytes], *, viewer_url: str, is_stored: bool = True
) -> str:
    """The page as text.

    Parameters
    ----------
    eid, stamp : str
    blocks : mapping of str to bytes
        Of a `Document`.
    viewer_url : str
        Address of the live viewer, for a link.
    is_stored : bool
        Whether the page will lie under the root, from where it links to its neighbors.

    Returns
    -------
    str
        HTML without any reference to a file or server that it needs. Its policy lets only its
        own script run, and texts of the data become text nodes.
    """
    script = page_script((*DRAWING, "report.js"))
    style = page_part("uPlot.min.css") + page_part("style.css")
    data = "\n".join(
        f'<script type="application/octet-stream" id="block-{name}">'
        f"{base64.b64encode(block).decode()}</script>"
        for name, block in blocks.items()
    )
    values = {
        "script hash": digest_for_policy(script),
        "style hash": digest_for_policy(style),
        "stamp": stamp,
        "eid": validate_eid(eid),
        "stored": "1" if is_stored else "",
        "viewer": escape(f"{viewer_url}/sessions/{eid}", quote=True),
        "style": style,
        "script": script,
        "data": data,
    }
    page = page_part("report.html")
    # data last: nothing in them can then stand for another part
    for name, value in values.items():
        page = page.replace(f"{{{{{name}}}}}", value)
    return page


def save_report(page: str, path: Path) -> Path:
    """Write the page, whole or not at all; folders are made."""
    with write_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def read_report(path: Path) -> tuple[str, dict[str, bytes]] | None:
    """Stamp and blocks of a report; None if there is none that can be read."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    stamp = _STAMP.search(content)
    blocks = {name.decode(): base64.b64decode(data) for name, data in _BLOCK.findall(content)}
    if stamp is None or "session" not in blocks:
        return None
    return stamp.group(1).decode(), blocks


def page_script(names: tuple[str, ...]) -> str:
    """The parts of a script in one scope, after the library."""
    own = "".join(['"use strict";(() => {\n', *(page_part(name) for name in names), "})();\n"])
    return page_part("uPlot.iife.min.js") + "\n" + own


def page_part(name: str) -> str:
    """A file of the page."""
    return (files("iblnm.viewer") / "page" / name).read_text(encoding="utf-8")
