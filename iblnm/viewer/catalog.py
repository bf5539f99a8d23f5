"""Which sessions there are and how they stand, from the tables over all sessions.

Only pyarrow reads them, see `iblnm.viewer.traces` for why. Tables are read again when their
files change; one that does not exist yet is empty.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from iblnm.config import Settings
from iblnm.errors import DataError
from iblnm.storage.names import validate_eid
from iblnm.viewer.wire import plain

_SESSION_COLUMNS = ("eid", "subject", "start_time", "lab", "session_type", "target_NM")
_CODES = {"pass": "p", "warn": "w", "fail": "f", "not run": "n", "not evaluated": "n"}
_MATRIX_COLUMNS = ("check", "asset", "severity", "outcome", "value", "limit", "message")
_MAX_MESSAGE = 2_000
_BATCH = 2_048


class Catalog:
    """Tables over all sessions under one root.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._kept: dict[str, tuple[Any, Any]] = {}

    def __contains__(self, eid: str) -> bool:
        return eid in self._positions()

    def listing(self) -> dict[str, Any]:
        """All sessions in order of their start: one list per column, texts coded.

        Returns
        -------
        dict
            ``eid`` and ``start``, lists; ``subject``, ``lab`` and ``type``, pairs of names and
            of positions in them (−1 for none); ``target``, names and lists of positions;
            ``n_fail``, ``n_warn`` and ``n_pass``, counts of checks; ``n_broken``, assets that
            could not be made; ``checks``, names by asset.
        """
        files = (self._sessions_path(), self._matrix, self._errors)
        return self._once("listing", files, self._listing)

    def outcomes(self, check: str) -> str:
        """Outcome of one check, a letter per session in the order of `listing`; - for none."""
        table = self._columns(self._matrix, ("eid", "check", "outcome"), ("check", check))
        position = self._positions()
        letters = ["-"] * len(position)
        for row in table:
            if row["eid"] in position:
                letters[position[row["eid"]]] = _CODES.get(row["outcome"], "n")
        return "".join(letters)

    def session(self, eid: str) -> dict[str, Any]:
        """What is known of one session beside its data: checks, failures, labels, analyses."""
        eid = validate_eid(eid)
        checks = self._columns(self._matrix, ("eid", *_MATRIX_COLUMNS), ("eid", eid))
        columns = ("eid", "asset", "severity", "error_type", "error_message")
        failures = [
            {**row, "error_message": str(row["error_message"] or "")[:_MAX_MESSAGE]}
            for row in self._columns(self._errors, columns, ("eid", eid))
            if row["severity"] == "FAILURE"
        ]
        return {
            "checks": [{**row, "outcome": _named(row["outcome"])} for row in checks],
            "failures": failures,
            **self.labels(eid),
            "analyses": self.analyses(eid),
        }

    def labels(self, eid: str) -> dict[str, Any]:
        """Human labels of a session; if the file is malformed, what is wrong with it."""
        from iblnm.pipeline.label_rows import labels_paths, rows_in_force

        try:
            rows = rows_in_force(labels_paths(self._settings))
        except DataError as error:
            return {"labels": [], "labels_problem": str(error)}
        return {"labels": [row for row in rows if row["eid"] == eid], "labels_problem": ""}

    def analyses(self, eid: str) -> list[dict[str, Any]]:
        """Every folder of results: whether its analyses use the session, and if not, why.

        Returns
        -------
        list of dict
            ``folder``; ``used``, true, false, or null where no account of the selection was
            stored; ``why``, the criterion that removed it; ``tables``, those that hold it.
        """
        folders = sorted(path for path in self._settings.results_dir.glob("*") if path.is_dir())
        return [entry for folder in folders if (entry := self._analysis(folder, eid))]

    def _analysis(self, folder: Path, eid: str) -> dict[str, Any] | None:
        tables = {
            path.stem: self._once(f"eids of {path}", (path,), lambda path=path: table_eids(path))
            for path in sorted(folder.glob("*.pqt"))
        }
        holding = [name for name, eids in tables.items() if eids is not None and eid in eids]
        account = folder / "session_selection.pqt"
        if not account.exists():
            known = any(eids is not None for eids in tables.values())
            if not known:
                return None
            return {
                "folder": folder.name,
                "used": True if holding else None,
                "why": "" if holding else "none of its tables has a row of the session",
                "tables": holding,
            }
        steps = self._once(f"account {account}", (account,), lambda: _account(account))
        why = next((criterion for criterion, removed in steps if eid in removed), "")
        return {
            "folder": folder.name,
            "used": bool(holding) or not why,
            "why": "" if holding else why,
            "tables": holding,
        }

    @property
    def _matrix(self) -> Path:
        return self._settings.metadata_dir / "qc_matrix.pqt"

    @property
    def _errors(self) -> Path:
        return self._settings.metadata_dir / "errors.pqt"

    def _sessions_path(self) -> Path:
        table = self._settings.metadata_dir / "sessions.pqt"
        return table if table.exists() else self._settings.metadata_dir / "sessions"

    def _positions(self) -> dict[str, int]:
        listing = self.listing()
        return self._once(
            "positions",
            (self._sessions_path(), self._matrix),
            lambda: {eid: i for i, eid in enumerate(listing["eid"])},
        )

    def _listing(self) -> dict[str, Any]:
        rows = self._session_rows()
        rows.sort(key=lambda row: (str(row.get("start_time") or ""), row["eid"]))
        counts, checks = self._counts()
        broken = Counter(
            row["eid"]
            for row in _read(self._errors, ("eid", "severity"))
            if row["severity"] == "FAILURE"
        )
        targets = [[t for t in row.get("target_NM") or [] if t] for row in rows]
        names = sorted({target for entry in targets for target in entry})
        of = {name: i for i, name in enumerate(names)}
        return {
            "eid": [row["eid"] for row in rows],
            "start": [str(row.get("start_time") or "")[:16].replace("T", " ") for row in rows],
            "subject": _coded([row.get("subject") for row in rows]),
            "lab": _coded([row.get("lab") for row in rows]),
            "type": _coded([row.get("session_type") for row in rows]),
            "target": [names, [sorted({of[t] for t in entry}) for entry in targets]],
            "n_fail": [counts.get((row["eid"], "fail"), 0) for row in rows],
            "n_warn": [counts.get((row["eid"], "warn"), 0) for row in rows],
            "n_pass": [counts.get((row["eid"], "pass"), 0) for row in rows],
            "n_broken": [broken[row["eid"]] for row in rows],
            "checks": checks,
        }

    def _session_rows(self) -> list[dict[str, Any]]:
        path = self._sessions_path()
        paths = [path] if path.is_file() else sorted(path.glob("*.pqt"))
        rows: list[dict[str, Any]] = []
        for part in paths:
            rows += _read(part, _SESSION_COLUMNS)
        return [row for row in rows if row.get("eid")]

    def _counts(self) -> tuple[dict[tuple[str, str], int], dict[str, list[str]]]:
        counts: dict[tuple[str, str], int] = {}
        checks: dict[str, list[str]] = {}
        for row in _read(self._matrix, ("eid", "check", "asset", "outcome")):
            key = (row["eid"], row["outcome"])
            counts[key] = counts.get(key, 0) + 1
            names = checks.setdefault(row["asset"], [])
            if row["check"] not in names:
                names.append(row["check"])
        return counts, checks

    def _columns(
        self, path: Path, columns: Iterable[str], only: tuple[str, str]
    ) -> list[dict[str, Any]]:
        return _read(path, columns, only)

    def _once(self, name: str, paths: Iterable[Path], make: Callable[[], Any]) -> Any:
        """A value that is made again only when one of its files has changed."""
        state = tuple(_state(path) for path in paths)
        if name not in self._kept or self._kept[name][0] != state:
            self._kept[name] = (state, make())
        return self._kept[name][1]


def _state(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _read(
    path: Path, columns: Iterable[str], only: tuple[str, str] | None = None
) -> list[dict[str, Any]]:
    """Rows of a table, of which a column has one value; none if it cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            wanted = [name for name in columns if name in file.schema_arrow.names]
            rows: list[dict[str, Any]] = []
            for batch in file.iter_batches(_BATCH, columns=wanted, use_threads=False):
                for part in [batch] if only is None else _parts(batch, *only):
                    rows += part.to_pylist()
    except (OSError, pa.ArrowException):
        return []
    return [plain(row) for row in rows]


def _parts(batch: pa.RecordBatch, name: str, value: str) -> Iterator[pa.RecordBatch]:
    """Runs of rows of which a column has one value; a filter of pyarrow would import pandas."""
    entries = batch[name].to_pylist()
    start = 0
    for is_wanted, run in groupby(entries, lambda entry: entry == value):
        length = sum(1 for _ in run)
        if is_wanted:
            yield batch.slice(start, length)
        start += length


def table_eids(path: Path) -> frozenset[str] | None:
    """Sessions with a row in a table; None if it has no column of them."""
    try:
        if "eid" not in pq.read_schema(path).names:
            return None
        with pq.ParquetFile(path, read_dictionary=["eid"]) as file:
            found: set[str] = set()
            for batch in file.iter_batches(_BATCH, columns=["eid"], use_threads=False):
                found |= set(batch["eid"].dictionary.to_pylist())
    except (OSError, pa.ArrowException):
        return None
    return frozenset(found)


def _account(path: Path) -> list[tuple[str, frozenset[str]]]:
    rows = _read(path, ("criterion", "eids_removed"))
    return [(str(row["criterion"]), frozenset(row["eids_removed"] or ())) for row in rows]


def _coded(values: list[Any]) -> list[list]:
    names = sorted({str(value) for value in values if value is not None})
    of = {name: i for i, name in enumerate(names)}
    return [names, [-1 if value is None else of[str(value)] for value in values]]


def _named(outcome: str | None) -> str:
    return "not evaluated" if outcome in (None, "not run") else outcome


def as_json(value: Any) -> bytes:
    """A value as compact JSON."""
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")).encode()
