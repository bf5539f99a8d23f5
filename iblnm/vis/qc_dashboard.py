"""One HTML page that shows the outcome of every check of every session.

The page needs no network: style, script and data are inside it. The data are JSON in which
an outcome is one character and repeated texts and numbers are written once, so that a
thousand sessions stay well under 2 MB.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline import graph
from iblnm.pipeline.matrix import session_standings
from iblnm.pipeline.qc_summary import passing_sessions
from iblnm.pipeline.rules import Rule
from iblnm.pipeline.rules.values import get, get_list
from iblnm.pipeline.staleness import Stale
from iblnm.reference.rules import rule_address
from iblnm.storage.atomic import write_whole
from iblnm.vis.embedding import digest_for_policy, embedded_json
from iblnm.vis.style import target_color

OUTCOME_CODES = {"pass": "p", "warn": "w", "fail": "f", "not evaluated": "e", "not run": "n"}
_SCRIPTS = ("data.js", "filters.js", "table.js", "panel.js", "main.js")
_SIGNIFICANT_DIGITS = 5
_MESSAGE_CHARACTERS = 500
_ADDRESS = re.compile(r'\{"dagster":"[^"]*",')


def build_dashboard(
    matrix: pd.DataFrame,
    sessions: pd.DataFrame,
    rules: Mapping[str, Rule] | Iterable[Rule],
    *,
    dagster_url: str,
    errors: pd.DataFrame | None = None,
    reports: Collection[str] = (),
    runs: Mapping[tuple[str, str], str] | None = None,
    stale: Iterable[Stale] = (),
    settings: Settings,
    built_at: datetime | None = None,
    origin: str = "",
) -> str:
    """The page as text.

    Parameters
    ----------
    matrix : DataFrame
        Schema `iblnm.schemas.QC_MATRIX`, labels applied.
    sessions : DataFrame
        ``eid``, ``subject``, ``start_time``, ``lab``, ``session_type``, ``target_NM`` (lists).
        A session in only one of the two tables is shown with what is known of it.
    rules : mapping or iterable of Rule
        Unit, severity and description of the checks, and the order of their columns. Checks
        of the matrix without a rule come last.
    dagster_url : str
        Address of the Dagster page, for links.
    errors : DataFrame, optional
        Schema `iblnm.schemas.ERRORS`, of which the rows of severity ``FAILURE`` are shown:
        assets that could not be made, which no check tells of.
    reports : collection of str
        Sessions that have a report, ``../sessions/{eid}.html`` from the page.
    runs : mapping of (eid, check) to str, optional
        Runs of Dagster that evaluated the checks, for links.
    stale : iterable of Stale
        Outputs that are out of date, see `iblnm.pipeline.staleness.find_stale`.
    settings : Settings
        Colors of the targets, and the address of the viewer for links.
    built_at : datetime, optional
        Time to show on the page; now by default.
    origin : str
        What it was made from, for `iblnm trace`; it is not shown.

    Returns
    -------
    str
        Self-contained HTML. Texts of the tables cannot become markup: the script writes them
        as text only, and the page's policy lets no other script run.

    Raises
    ------
    ValueError
        If `dagster_url` is no http address, or an outcome is unknown.
    """
    address = _web_address(dagster_url)
    built_at = built_at or datetime.now(UTC)
    checks = _checks(matrix, rules, settings)
    failures = _failures(errors)
    eids = _eids(matrix, sessions, failures)
    reports = set(reports)
    listed = _sessions(eids, sessions, matrix)
    targets = dict.fromkeys([*settings.target_colors, *listed["target"][0]])
    payload = {
        "dagster": address,
        "viewer": settings.viewer_url,
        "reports": "".join("1" if eid in reports else "0" for eid in eids),
        "runs": _runs(runs or {}, eids, checks),
        "origin": origin,
        "built": built_at.strftime("%Y-%m-%d %H:%M %Z").strip(),
        "colors": {name: target_color(name, settings) for name in targets},
        "checks": checks,
        "sessions": listed | _standings(eids, matrix, {failure[0] for failure in failures}),
        "failures": _positions(failures, eids),
        "stale": _stale(stale, eids),
        **_cells(matrix, eids, [check["name"] for check in checks], checks),
    }
    return _fill_template(embedded_json(payload))


def readdress(path: Path, dagster_url: str) -> None:
    """Let the links of a page that is there lead to Dagster at another address."""
    if not path.exists():
        return
    address = embedded_json(_web_address(dagster_url))
    page = path.read_text(encoding="utf-8")
    changed = _ADDRESS.sub(lambda _: f'{{"dagster":{address},', page, count=1)
    if changed != page:
        save_dashboard(changed, path)


def save_dashboard(page: str, path: Path) -> Path:
    """Write the page, whole or not at all; folders are made."""
    with write_whole(path) as temporary:
        Path(temporary).write_text(page, encoding="utf-8")
    return path


def _runs(
    runs: Mapping[tuple[str, str], str], eids: Sequence[str], checks: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Runs by ``{row}~{column}``."""
    row = {eid: i for i, eid in enumerate(eids)}
    column = {check["name"]: c for c, check in enumerate(checks)}
    return {
        f"{row[eid]}~{column[check]}": run
        for (eid, check), run in runs.items()
        if eid in row and check in column
    }


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"dagster_url is {url!r}; http://... or https://... is expected")
    return url.rstrip("/")


def _fill_template(data: str) -> str:
    def part(name: str) -> str:
        return (files("iblnm.vis") / "page" / name).read_text(encoding="utf-8")

    script = "".join(['"use strict";(() => {\n', *(part(name) for name in _SCRIPTS), "})();"])
    page = part("page.html")
    # data last: nothing in them can then stand for another part
    for name, value in {
        "script hash": digest_for_policy(script),
        "style": part("style.css"),
        "script": script,
        "data": data,
    }.items():
        page = page.replace(f"{{{{{name}}}}}", value, 1)
    return page


def _checks(
    matrix: pd.DataFrame, rules: Mapping[str, Rule] | Iterable[Rule], settings: Settings
) -> list[dict]:
    found = matrix.drop_duplicates("check").set_index("check")
    entries = list(rules.values() if isinstance(rules, Mapping) else rules)
    checks = [
        {
            "name": rule.name,
            "asset": rule.asset,
            "severity": rule.severity,
            "unit": rule.unit,
            "text": rule.description,
            "remedy": rule.remedy,
            "page": rule_address(settings, rule.name),
            "cohort": rule.level == "cohort",
        }
        for rule in entries
        if rule.name in found.index
    ]
    known = {check["name"] for check in checks}
    checks += [
        {
            "name": name,
            "asset": row["asset"],
            "severity": row["severity"],
            "unit": "",
            "text": "",
            "remedy": "",
            "page": "",
            "cohort": False,
        }
        for name, row in found.iterrows()
        if name not in known
    ]
    stages = graph.stage_names()
    own = dict.fromkeys(check["asset"] for check in checks if not check["cohort"])
    assets = sorted(own, key=lambda name: stages.index(name) if name in stages else len(stages))
    assets += [check["asset"] for check in checks if check["cohort"]]
    return sorted(checks, key=lambda check: assets.index(check["asset"]))


def _eids(
    matrix: pd.DataFrame, sessions: pd.DataFrame, failures: Sequence[tuple[str, ...]]
) -> list[str]:
    tables = (sessions["eid"].astype(str), matrix["eid"].astype(str), (f[0] for f in failures))
    return list(dict.fromkeys(eid for column in tables for eid in column))


def _failures(errors: pd.DataFrame | None) -> list[tuple[str, ...]]:
    """Session, asset, type and message of what could not be made."""
    if errors is None:
        return []
    failed = errors[(errors["severity"] == "FAILURE").fillna(False).astype(bool)]
    texts = failed["error_message"].astype("string").fillna("")
    texts = texts.mask(
        texts.str.len() > _MESSAGE_CHARACTERS, texts.str[:_MESSAGE_CHARACTERS] + " …"
    )
    columns = (failed["eid"], failed["asset"], failed["error_type"], texts)
    return list(zip(*(column.astype(str) for column in columns), strict=True))


def _positions(failures: Sequence[tuple[str, ...]], eids: Sequence[str]) -> list[list]:
    position = {eid: i for i, eid in enumerate(eids)}
    return [[position[eid], *told] for eid, *told in failures]


def _stale(found: Iterable[Stale], eids: Sequence[str]) -> dict[str, list]:
    """Session, asset and reason as numbers; each asset and reason is written once."""
    position = {eid: i for i, eid in enumerate(eids)}
    assets: dict[str, int] = {}
    reasons: dict[str, int] = {}
    rows = [
        [
            position[item.eid],
            assets.setdefault(item.asset, len(assets)),
            reasons.setdefault(item.why, len(reasons)),
        ]
        for item in found
        if item.eid in position
    ]
    return {"assets": list(assets), "reasons": list(reasons), "rows": rows}


def _sessions(eids: Sequence[str], sessions: pd.DataFrame, matrix: pd.DataFrame) -> dict:
    rows = dict(zip(sessions["eid"].astype(str), sessions.to_dict("records"), strict=True))
    table = [rows.get(eid, {}) for eid in eids]
    of_session = matrix.groupby(matrix["eid"].astype(str))
    label = of_session["label"].first().to_dict()
    latest = of_session["evaluated_at"].max().to_dict()
    targets = [[name for name in get_list(row, "target_NM") if name] for row in table]
    names = sorted({name for entry in targets for name in entry})
    position = {name: i for i, name in enumerate(names)}
    return {
        "eid": eids,
        "start": [str(get(row, "start_time") or "")[:16].replace("T", " ") for row in table],
        "subject": _coded([get(row, "subject") for row in table]),
        "lab": _coded([get(row, "lab") for row in table]),
        "type": _coded([get(row, "session_type") for row in table]),
        "label": _coded([get(label, eid) for eid in eids]),
        "evaluated": _coded([str(get(latest, eid) or "")[:16] or None for eid in eids]),
        "target": [names, [[position[name] for name in dict.fromkeys(t)] for t in targets]],
    }


def _standings(
    eids: Sequence[str], matrix: pd.DataFrame, failed: Collection[str]
) -> dict[str, Any]:
    standing = session_standings(matrix, failed)
    strict, ran = passing_sessions(matrix)

    def bits(marked: pd.Series) -> str:
        return "".join("1" if marked.get(eid, False) else "0" for eid in eids)

    names = [standing.get(eid, "failure" if eid in failed else "none") for eid in eids]
    return {"standing": _coded(names), "strict": bits(strict), "ran": bits(ran)}


def _coded(values: Sequence[str | None]) -> list[list]:
    """Names, each once, and the position of each value among them; −1 for none."""
    names = sorted({str(value) for value in values if value is not None})
    position = {name: i for i, name in enumerate(names)}
    return [names, [-1 if value is None else position[str(value)] for value in values]]


def _cells(
    matrix: pd.DataFrame, eids: Sequence[str], names: Sequence[str], checks: Sequence[dict]
) -> dict[str, Any]:
    unknown = set(matrix["outcome"].dropna()) - set(OUTCOME_CODES)
    if unknown or matrix["outcome"].isna().any():
        raise ValueError(f"unknown outcomes: {sorted(unknown) or 'null'}")
    row = pd.Index(eids).get_indexer(matrix["eid"].astype(str))
    column = pd.Index(names).get_indexer(matrix["check"].astype(str))
    cell = row * len(names) + column
    outcomes = np.full(len(eids) * len(names), OUTCOME_CODES["not run"])
    outcomes[cell] = matrix["outcome"].map(OUTCOME_CODES).to_numpy(dtype=str)
    grids = {}
    for name in ("value", "limit"):
        grid = np.full(len(outcomes), np.nan)
        grid[cell] = matrix[name].to_numpy(dtype=float, na_value=np.nan)
        grids[name] = grid.reshape(len(eids), len(names))
    for i, check in enumerate(checks):
        check["value"] = _mostly(grids["value"][:, i])
        check["limit"] = _mostly(grids["limit"][:, i])
    return {"outcomes": "".join(outcomes), "messages": _messages(matrix, cell)}


def _messages(matrix: pd.DataFrame, cell: np.ndarray) -> dict[str, list]:
    """Texts, each once, with the cells they belong to; a passed number needs no words.

    The message of a passed check is kept where there is no number (it says why), and where a
    human's label made the pass.
    """
    kept = (matrix["label"] == "keep").fillna(False)
    told = (matrix["outcome"] != "pass") | matrix["value"].isna() | kept
    told = (told & matrix["message"].notna()).to_numpy(dtype=bool)
    order = np.argsort(cell[told], kind="stable")
    codes, texts = pd.factorize(matrix["message"].to_numpy(dtype=object)[told][order])
    where = cell[told][order]
    return {
        "texts": [str(text) for text in texts],
        "cells": np.diff(where, prepend=0).tolist(),
        "text_of": codes.tolist(),
    }


def _mostly(values: np.ndarray) -> dict[str, Any]:
    """The most frequent number, and those that differ from it with the steps between them."""
    numbers = [_compact(value) for value in values.tolist()]
    usual = Counter(numbers).most_common(1)[0][0] if numbers else None
    others = [i for i, number in enumerate(numbers) if number != usual]
    return {
        "usual": usual,
        "steps": np.diff(others, prepend=0).tolist(),
        "others": [numbers[i] for i in others],
    }


def _compact(value: float) -> float | int | str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value.is_integer() and abs(value) < 2**53:
        return int(value)
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
