"""From a figure back to its raw files, from a session to what was made of it, and why not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from iblnm.analysis import registry
from iblnm.analysis.declaration import CATALOG_FILES
from iblnm.analysis.staleness import figure_tables, input_file, stored_digest
from iblnm.config import Settings
from iblnm.errors import DataError, InvalidNameError, MissingFileError
from iblnm.pipeline.outcomes import OutcomeStore, open_outcomes
from iblnm.pipeline.stage import SESSION
from iblnm.pipeline.wording import stored_session_words
from iblnm.storage.names import validate_eid
from iblnm.storage.parquet import read_provenance, read_table
from iblnm.storage.store import SessionStore
from iblnm.viewer.catalog import Catalog, table_eids


def trace_figure(path: Path | str, settings: Settings) -> list[str]:
    """The chain from a figure to the raw files, a line per step.

    Parameters
    ----------
    path : Path
        A file below ``figures/``.
    settings : Settings

    Returns
    -------
    list of str
        The figure; its tables and those they were made from, each with its digest, code version
        and what has changed since; the sessions of these with every raw file and its hash.

    Raises
    ------
    MissingFileError
        If there is no such figure.
    DataError
        If the file does not say what it was drawn from.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(
            f"no such figure; iblnm analyse {path.parent.name}_figures draws its folder",
            path=path,
        )
    drawn_from = figure_tables(path)
    if not drawn_from:
        raise DataError(
            "the file does not say what it was drawn from; if it is one of iblnm, draw it again",
            path=path,
        )
    lines = [str(path)]
    files: dict[str, None] = {}
    for file, digest in drawn_from.items():
        lines += _table_lines(file, digest, settings, files, depth=1)
    eids = sorted(_sessions_of(files, settings))
    lines.append(f"  {len(eids)} sessions")
    outcomes = open_outcomes(settings)
    stages = dict.fromkeys(name for file in files for name in _stages_read(file))
    for eid in eids:
        lines.append(f"    {_words(settings, eid)}")
        lines += [f"      {line}" for line in _raw_files(outcomes, eid, tuple(stages))]
    return lines


def trace_session(eid: str, settings: Settings) -> list[str]:
    """What was made of a session, a line per asset, table and figure.

    Parameters
    ----------
    eid : str
        Or the first characters of one, if no other stored session begins so.
    settings : Settings

    Raises
    ------
    DataError
        If nothing was ever made of it.
    """
    eid = _find_eid(eid, settings)
    outcomes = open_outcomes(settings)
    table = outcomes.origins(eid)
    if table.empty:
        raise DataError("nothing was ever made of the session", eid=eid)
    lines = [_words(settings, eid), "  raw files"]
    lines += [f"    {line}" for line in _raw_files(outcomes, eid)]
    lines.append("  assets")
    lines += [
        f"    {row.asset}: {row.state}" + (f" {row.digest}" if row.digest else "")
        for row in table.itertuples()
    ]
    holding = {
        file
        for entry in registry.ANALYSES
        for file in entry.files.values()
        if eid in (table_eids(settings.root / file) or ())
    }
    used = holding | _resting_on(holding)
    lines.append("  tables")
    lines += [
        f"    {file} {stored_digest(settings, file) or ''}".rstrip()
        + ("" if file in holding else " (through others)")
        for file in sorted(used)
        if (settings.root / file).exists()
    ]
    lines.append("  figures")
    lines += [
        f"    figures/{placed.folder}/{name}"
        for name, placed in registry.figures().items()
        if used & {*placed.files}
    ]
    return lines


def why(eid: str, settings: Settings, figure: str | None = None) -> list[str]:
    """In words, why a session is or is not in the analyses, or in those behind a figure.

    Parameters
    ----------
    eid : str
        Or the first characters of one, if no other stored session begins so.
    settings : Settings
    figure : str, optional
        Name or file of a figure.

    Raises
    ------
    DataError
        If there is no such figure, or more than one session begins so.
    """
    eid = _find_eid(eid, settings)
    known = Catalog(settings)
    facts = known.session(eid)
    folders = None if figure is None else {_placed(figure).analysis.folder}
    lines = [_words(settings, eid)]
    for entry in facts["analyses"]:
        if folders is None or entry["folder"] in folders:
            lines.append(f"  {entry['folder']}: {_verdict(entry)}")
    if len(lines) == 1:
        lines.append(f"  no analysis was made yet (iblnm analyse); {_forecast(eid, settings)}")
    failed = [row for row in facts["checks"] if row["outcome"] in ("fail", "warn")]
    lines += [f"  {_check_words(row)}" for row in failed]
    lines += [f"  could not be made: {row['asset']}: {_said(row)}" for row in facts["failures"]]
    lines += [
        f"  label: {row['verdict']} by {row['who']}, {row['when']}: {row['why']}"
        for row in facts["labels"]
    ]
    return lines


def _find_eid(text: str, settings: Settings) -> str:
    try:
        return validate_eid(text)
    except InvalidNameError:
        known = SessionStore(settings).eids(SESSION)
        found = [eid for eid in known if text and eid.startswith(text.lower())]
        if not found:
            raise
    if len(found) > 1:
        raise DataError(f"{len(found)} sessions begin with {text}: {', '.join(found[:5])}")
    return found[0]


def _table_lines(
    file: str, digest: str | None, settings: Settings, seen: dict[str, None], depth: int
) -> Iterator[str]:
    if file in seen:
        return
    seen[file] = None
    path = settings.root / file
    now = stored_digest(settings, file)
    said = f"{'  ' * depth}{file} {digest or 'without digest'}"
    if now != digest:
        said += f" (today it is {now or 'not there'})"
    origin = read_provenance(path) if path.exists() else None
    if origin is not None and origin.code_version:
        said += f", made by {registry.producer(file)} {origin.code_version}"
    yield said
    upstream = {} if origin is None else origin.made_from.get("upstream", {})
    for name, own in upstream.items():
        other = input_file(name)
        if other is not None:
            yield from _table_lines(other, own, settings, seen, depth + 1)


def _sessions_of(files: Sequence[str] | dict[str, None], settings: Settings) -> frozenset[str]:
    """Sessions of the first table that names any: of these, beside these, of the catalog."""
    general = [file for file in [*CATALOG_FILES.values()][::-1] if file in files]
    own = [file for file in files if file not in general]
    makers = [entry for entry in registry.ANALYSES if {*entry.files.values()} & {*own}]
    beside = [file for entry in makers for file in entry.files.values()]
    for file in (*own, *beside, *general):
        if found := table_eids(settings.root / file):
            return found
    return frozenset()


def _stages_read(file: str) -> tuple[str, ...]:
    return next((entry.reads for entry in registry.ANALYSES if file in entry.files.values()), ())


def _resting_on(files: set[str]) -> set[str]:
    """Tables of analyses that are made from one of the files, directly or not."""
    found: set[str] = set()
    for entry in registry.ANALYSES:  # each comes after those it is made from
        inputs = {input_file(name) for name in entry.inputs} - {*CATALOG_FILES.values()}
        if inputs & (files | found):
            found |= {*entry.files.values()}
    return found


def _raw_files(
    outcomes: OutcomeStore, eid: str, stages: tuple[str, ...] | None = None
) -> list[str]:
    """Datasets that the stages, and those above them, were made from, with hashes."""
    from iblnm.pipeline.graph import is_stage, upstream

    wanted = None
    if stages:
        own = [name for name in stages if is_stage(name)]
        wanted = {*own, *(above for name in own for above in upstream(name))}
    found: dict[str, str] = {}
    for row in outcomes.origins(eid).itertuples():
        if row.made_from is None or (wanted is not None and row.asset not in wanted):
            continue
        for name, (revision, size, digest) in (
            json.loads(row.made_from).get("datasets", {}).items()
        ):
            told = [f"{size} bytes" if size else "", f"md5 {digest}" if digest else "no hash"]
            told += [f"revision {revision}"] if revision else []
            found[name] = f"{name}: {', '.join(filter(None, told))}"
    return [found[name] for name in sorted(found)]


def _placed(figure: str) -> registry.PlacedFigure:
    known = registry.figures()
    name = Path(figure).stem
    if name not in known:
        raise DataError(f"no such figure: {figure}; there are {', '.join(known)}")
    return known[name]


def _forecast(eid: str, settings: Settings) -> str:
    """Whether the selection of the cohort would use a session, from the tables as they are."""
    from iblnm.data.group_tables import selection_tables
    from iblnm.pipeline.selection import select_sessions

    path = settings.root / CATALOG_FILES["sessions"]
    if not path.exists():
        return "nor a table of sessions: iblnm batch"
    sessions = read_table(path)
    if eid not in set(sessions["eid"]):
        return "the table of sessions does not have it: iblnm batch"
    _, account = select_sessions(sessions, settings=settings, **selection_tables(settings))
    for row in account.to_dict("records"):
        if eid in row["eids_removed"]:
            return f"they would leave it out by: {row['criterion']}"
    return "they would use it"


def _verdict(entry: dict[str, Any]) -> str:
    if entry["used"]:
        return f"used; rows in {', '.join(entry['tables'])}" if entry["tables"] else "used"
    by = "" if entry["used"] is None else "left out by: "
    return f"not used: {by}{entry['why']}"


def _check_words(row: dict[str, Any]) -> str:
    numbers = [f"{name} {row[name]:g}" for name in ("value", "limit") if row.get(name) is not None]
    told = f" ({', '.join(numbers)})" if numbers else ""
    return f"check {row['check']} [{row['severity']}]{told}: {row['message']}"


def _said(row: dict[str, Any]) -> str:
    return str(row["error_message"]).splitlines()[0] if row["error_message"] else ""


def _words(settings: Settings, eid: str) -> str:
    said = stored_session_words(SessionStore(settings), eid)
    return said if eid in said else f"{eid} {said}"
