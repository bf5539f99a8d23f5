"""The page *Datasets*: sessions by the 38 items of their data, and what is to be done next.

One HTML file without any other: the reasons, which repeat, are listed once.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.layers.insertions import histology_todo
from iblnm.layers.items import ITEMS, STATES, STATUS_COLUMNS
from iblnm.storage.atomic import write_whole
from iblnm.vis.embedding import digest_for_policy, embedded_json


def build_page(sessions: pd.DataFrame, detail: pd.DataFrame, histology: pd.DataFrame) -> str:
    """The page as text.

    Parameters
    ----------
    sessions : DataFrame
        Table of sessions with the 38 items.
    detail : DataFrame
        One row per session and item.
    histology : DataFrame
        State of the histology of all probes.

    Returns
    -------
    str
        Self-contained HTML. Texts of the tables cannot become markup: the script writes them
        as text only, and the page's policy lets no other script run.
    """
    values, codes = _coded(sessions[list(STATUS_COLUMNS)].to_numpy(object).ravel())
    reasons, why = _coded(_reasons(sessions, detail).ravel())
    content = {
        "items": [[item.column, item.group, item.description] for item in ITEMS],
        "states": list(STATES),
        "sessions": [
            [row.eid, _text(row.subject), (_text(row.start_time) or "")[:10], _text(row.condition)]
            for row in sessions.itertuples()
        ],
        "values": values,
        "codes": codes,
        "reasons": reasons,
        "why": why,
        "todo": [[*map(_text, row)] for row in histology_todo(histology).to_numpy(object)],
    }
    page = files("iblnm.layers").joinpath("datasets.html").read_text(encoding="utf-8")
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    # data last: nothing in them can then stand for another part
    page = page.replace("{{script hash}}", digest_for_policy(script), 1)
    return page.replace("{{data}}", embedded_json(content), 1)


def save_page(page: str, path: Path) -> Path:
    """Write the page whole."""
    with write_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _reasons(sessions: pd.DataFrame, detail: pd.DataFrame) -> np.ndarray:
    """(sessions, 38) texts: place of the file and the reason."""
    place = detail["collection"].fillna("") + "/" + detail["file"].fillna("")
    revision = detail["revision"].fillna("")
    version = detail["version"].fillna("")
    marked = place.where(revision == "", place + " #" + revision + "#")
    marked = marked.where(version == "", marked + " (" + version + ")")
    text = marked.str.strip("/").where(place == "/", marked + ": ").where(place != "/", "")
    wide = detail.assign(text=text + detail["reason"].fillna("")).pivot_table(
        "text", "eid", "item", aggfunc="first"
    )
    return wide.reindex(index=sessions["eid"], columns=list(STATUS_COLUMNS)).to_numpy(object)


def _coded(values: np.ndarray) -> tuple[list[Any], list[int]]:
    """Distinct values and the position of each."""
    plain = [_text(value) for value in values]
    distinct = list(dict.fromkeys(plain))
    place = {value: i for i, value in enumerate(distinct)}
    return distinct, [place[value] for value in plain]


def _text(value: Any) -> str | None:
    if value is None or value is pd.NA or value != value:
        return None
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return str(value)
