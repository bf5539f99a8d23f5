"""What became of each session: rows of evaluations and attempts in ``metadata/outcomes.sqlite``.

A row is written when the outcome arises, by the process that saw it: the evaluation of a rule,
or the attempt to make an asset. A later outcome of the same session and rule or asset replaces
it. Where a session stands follows from the rows alone; see `iblnm.pipeline.matrix`.
"""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pandas as pd

from iblnm.config import Settings
from iblnm.errors import DataError, IblnmError
from iblnm.pipeline.rules.outcome import Outcome
from iblnm.storage.database import run_script, schema_version, transaction

State = Literal["stored", "no data", "blocked", "failed"]

EVALUATION_COLUMNS = (
    "eid",
    "check",
    "result",
    "value",
    "limit",
    "message",
    "evaluated_at",
    "severity",
)
ATTEMPT_COLUMNS = ("eid", "asset", "state", "error_type", "message", "traceback", "attempted_at")
_SCHEMA = """
CREATE TABLE evaluations (
    eid TEXT, "check" TEXT, result TEXT NOT NULL, value REAL, "limit" REAL, message TEXT,
    evaluated_at TEXT NOT NULL, severity TEXT, PRIMARY KEY (eid, "check")
) WITHOUT ROWID;
CREATE TABLE attempts (
    eid TEXT, asset TEXT, state TEXT NOT NULL, error_type TEXT, message TEXT, traceback TEXT,
    attempted_at TEXT NOT NULL, PRIMARY KEY (eid, asset)
) WITHOUT ROWID;
"""
_FAULT = (
    "the file is damaged ({error}): delete it, and iblnm batch --checks-only fills it again from "
    "what is stored"
)


@dataclass(frozen=True)
class Attempt:
    """How the latest attempt to make one session's asset ended.

    Parameters
    ----------
    eid, asset : str
    state : {'stored', 'no data', 'blocked', 'failed'}
        Blocked: a rule about what it is made from forbids it.
    error_type : str or None
        Class of the error, or of the rule that blocked.
    message : str or None
        Why there is no value.
    traceback : str or None
        Where an error was raised.
    """

    eid: str
    asset: str
    state: State
    error_type: str | None = None
    message: str | None = None
    traceback: str | None = None


class OutcomeStore:
    """The table of outcomes of one root.

    Parameters
    ----------
    path : Path
        Made at first use.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)

    def record_evaluations(self, eid: str, outcomes: Iterable[Outcome]) -> None:
        """Store evaluations of rules of one session, together."""
        now = _now()
        rows = [
            (eid, o.rule, o.result, o.value, o.limit, o.message, now, o.severity) for o in outcomes
        ]
        self.insert_evaluations(rows)

    def insert_evaluations(self, rows: Iterable[tuple]) -> None:
        """Store rows of `EVALUATION_COLUMNS`."""
        self._insert("evaluations", EVALUATION_COLUMNS, rows)

    def record_attempt(self, attempt: Attempt) -> None:
        """Store how an attempt to make an asset ended."""
        self.insert_attempts([attempt])

    def insert_attempts(self, attempts: Iterable[Attempt]) -> None:
        """Store several attempts, together."""
        now = _now()
        rows = [
            (a.eid, a.asset, a.state, a.error_type, a.message, a.traceback, now) for a in attempts
        ]
        self._insert("attempts", ATTEMPT_COLUMNS, rows)

    @contextmanager
    def failures_recorded(self, eid: str, asset: str) -> Iterator[None]:
        """Store an error of the block as failure of the asset; the error goes on."""
        try:
            yield
        except Exception as error:
            self.record_attempt(failed_attempt(eid, asset, error))
            raise

    def evaluations(self) -> pd.DataFrame:
        """Latest evaluation of every rule of every session, columns `EVALUATION_COLUMNS`.

        ``result`` is ``pass``, ``fail`` or ``not evaluated``; ``severity`` is null in rows of an
        earlier version, which are of the severity of their rule.
        """
        table = self._read("evaluations", EVALUATION_COLUMNS)
        return table.astype({"value": "float64", "limit": "float64"})

    def attempts(self, state: State | None = None) -> pd.DataFrame:
        """Latest attempt to make every asset of every session, columns `ATTEMPT_COLUMNS`."""
        table = self._read("attempts", ATTEMPT_COLUMNS)
        return table if state is None else table[table["state"] == state].reset_index(drop=True)

    def _insert(self, table: str, columns: Sequence[str], rows: Iterable[tuple]) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        with transaction(self.path, _make_tables, fault=_FAULT) as connection:
            connection.executemany(
                f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", rows
            )

    def _read(self, table: str, columns: Sequence[str]) -> pd.DataFrame:
        if not self.path.exists():
            return pd.DataFrame(columns=list(columns), dtype=object)
        names = ", ".join(f'"{name}"' for name in columns)
        with transaction(self.path, _make_tables, fault=_FAULT) as connection:
            rows = connection.execute(f"SELECT {names} FROM {table}").fetchall()
        return pd.DataFrame(rows, columns=list(columns), dtype=object)


def open_outcomes(settings: Settings) -> OutcomeStore:
    """The table of outcomes of the settings' root."""
    return OutcomeStore(settings.metadata_dir / "outcomes.sqlite")


def failed_attempt(eid: str, asset: str, error: BaseException) -> Attempt:
    """An error as attempt that failed.

    The error to tell of is the first of its chain of causes that is one of ours, else the
    innermost. The traceback of one of ours leaves out what it came from, which its message tells.
    """
    decisive = decisive_error(error)
    message = str(decisive).strip()
    if isinstance(decisive, DataError) and not decisive.eid:
        message = f"session {eid}: {message}"
    return Attempt(
        eid,
        asset,
        "failed",
        type(decisive).__name__,
        message,
        "".join(traceback.format_exception(decisive, chain=not isinstance(decisive, IblnmError))),
    )


def decisive_error(error: BaseException) -> BaseException:
    """The error to tell of: the first that is one of ours, else the innermost."""
    while not isinstance(error, IblnmError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _make_tables(connection: sqlite3.Connection) -> None:
    version = schema_version(connection)
    if version == 0:
        run_script(connection, _SCHEMA, 2)
    elif version == 1:
        run_script(connection, "ALTER TABLE evaluations ADD COLUMN severity TEXT", 2)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
