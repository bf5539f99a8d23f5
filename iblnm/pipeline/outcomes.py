"""What became of each session: rows of evaluations and attempts in ``metadata/outcomes.sqlite``.

Where the settings name a PostgreSQL database, the rows are there.

A row is written when the outcome arises, by the process that saw it: the evaluation of a rule,
or the attempt to make an asset. A later outcome of the same session and rule or asset replaces
it. Where a session stands follows from the rows alone; see `iblnm.pipeline.matrix`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from iblnm.config import Settings
from iblnm.errors import DataError, IblnmError
from iblnm.pipeline.rules.outcome import Outcome
from iblnm.storage.database import (
    Connection,
    Place,
    place_of,
    run_script,
    schema_version,
    transaction,
)
from iblnm.storage.digest import canonical_text

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
    eid TEXT, "check" TEXT, result TEXT NOT NULL, value DOUBLE PRECISION, "limit" DOUBLE PRECISION,
    message TEXT, evaluated_at TEXT NOT NULL, severity TEXT, PRIMARY KEY (eid, "check")
) WITHOUT ROWID;
CREATE TABLE attempts (
    eid TEXT, asset TEXT, state TEXT NOT NULL, error_type TEXT, message TEXT, traceback TEXT,
    attempted_at TEXT NOT NULL, made_with TEXT, made_from TEXT, digest TEXT,
    PRIMARY KEY (eid, asset)
) WITHOUT ROWID;
"""
_KEYS = {"evaluations": ("eid", "check"), "attempts": ("eid", "asset")}
ORIGIN_COLUMNS = ("eid", "asset", "state", "made_with", "made_from", "digest")
_ORIGINS = """
ALTER TABLE attempts ADD COLUMN made_with TEXT;
ALTER TABLE attempts ADD COLUMN made_from TEXT;
ALTER TABLE attempts ADD COLUMN digest TEXT
"""
_VERSION = 3
_FAULT = (
    "the file is damaged ({error}): delete it, and iblnm batch --checks-only fills it again from "
    "what is stored"
)


@dataclass(frozen=True)
class Origin:
    """What an output was made with and from.

    Parameters
    ----------
    made_with : dict
        See `iblnm.pipeline.versions.made_with`.
    made_from : dict
        See `iblnm.pipeline.staleness.made_from`.
    digest : str or None
        Of the stored value; None if nothing was stored.
    """

    made_with: dict[str, Any]
    made_from: dict[str, Any]
    digest: str | None = None

    @property
    def texts(self) -> tuple[str, str, str | None]:
        """As they are stored."""
        return canonical_text(self.made_with), canonical_text(self.made_from), self.digest


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
    origin : Origin or None
        What it was made with and from, to tell when it is out of date.
    """

    eid: str
    asset: str
    state: State
    error_type: str | None = None
    message: str | None = None
    traceback: str | None = None
    origin: Origin | None = None


class OutcomeStore:
    """The table of outcomes of one root.

    Parameters
    ----------
    place : Path or PostgresTables
        Made at first use.
    """

    def __init__(self, place: Place | str):
        self.place = Path(place) if isinstance(place, str) else place

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
            (
                *(a.eid, a.asset, a.state, a.error_type, a.message, a.traceback, now),
                *(a.origin.texts if a.origin is not None else (None, None, None)),
            )
            for a in attempts
        ]
        self._insert("attempts", (*ATTEMPT_COLUMNS, *ORIGIN_COLUMNS[3:]), rows)

    def forget(self, eid: str, assets: Iterable[str]) -> None:
        """Take back attempts, as if there had been none."""
        with transaction(self.place, _make_tables, fault=_FAULT, alone=False) as connection:
            connection.executemany(
                "DELETE FROM attempts WHERE eid = ? AND asset = ?",
                [(eid, asset) for asset in assets],
            )

    @contextmanager
    def failures_recorded(
        self, eid: str, asset: str, origin: Origin | None = None
    ) -> Iterator[None]:
        """Store an error of the block as failure of the asset; the error goes on."""
        try:
            yield
        except Exception as error:
            self.record_attempt(replace(failed_attempt(eid, asset, error), origin=origin))
            raise

    def evaluations(self, eid: str | None = None) -> pd.DataFrame:
        """Latest evaluation of every rule of every session, columns `EVALUATION_COLUMNS`.

        ``result`` is ``pass``, ``fail`` or ``not evaluated``; ``severity`` is null in rows of an
        earlier version, which are of the severity of their rule.

        Parameters
        ----------
        eid : str, optional
            Only of this session.
        """
        table = self._read("evaluations", EVALUATION_COLUMNS, eid)
        return table.astype({"value": "float64", "limit": "float64"})

    def attempts(self, state: State | None = None) -> pd.DataFrame:
        """Latest attempt to make every asset of every session, columns `ATTEMPT_COLUMNS`."""
        table = self._read("attempts", ATTEMPT_COLUMNS)
        return table if state is None else table[table["state"] == state].reset_index(drop=True)

    def attempts_of(self, eid: str) -> dict[str, Attempt]:
        """Latest attempt to make each asset of one session, by asset."""
        table = self._read("attempts", ATTEMPT_COLUMNS[:-1], eid)
        found = [Attempt(*row) for row in table.itertuples(index=False)]
        return {attempt.asset: attempt for attempt in found}

    def origins(self, eid: str | None = None) -> pd.DataFrame:
        """What every asset was made with and from, columns `ORIGIN_COLUMNS`.

        ``made_with`` and ``made_from`` are JSON text, null in rows of an earlier version.

        Parameters
        ----------
        eid : str, optional
            Only of this session.
        """
        return self._read("attempts", ORIGIN_COLUMNS, eid)

    def is_stored(self, eid: str, asset: str) -> bool:
        """Whether the latest attempt to make an asset of a session has stored it."""
        table = self.origins(eid)
        return bool(((table["asset"] == asset) & (table["state"] == "stored")).any())

    def digests(self, eid: str) -> dict[str, str | None]:
        """Digest of what is stored of each asset of a session."""
        table = self.origins(eid)
        return dict(zip(table["asset"], table["digest"], strict=True))

    def _insert(self, table: str, columns: Sequence[str], rows: Iterable[tuple]) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        key = ", ".join(f'"{name}"' for name in _KEYS[table])
        renewed = ", ".join(
            f'"{name}" = excluded."{name}"' for name in columns if name not in _KEYS[table]
        )
        with transaction(self.place, _make_tables, fault=_FAULT, alone=False) as connection:
            connection.executemany(
                f"INSERT INTO {table} ({names}) VALUES ({marks})"
                f" ON CONFLICT ({key}) DO UPDATE SET {renewed}",
                rows,
            )

    def _read(self, table: str, columns: Sequence[str], eid: str | None = None) -> pd.DataFrame:
        if not self.place.exists():
            return pd.DataFrame(columns=list(columns), dtype=object)
        names = ", ".join(f'"{name}"' for name in columns)
        with transaction(self.place, _make_tables, fault=_FAULT, alone=False) as connection:
            chosen, given = ("", ()) if eid is None else (" WHERE eid = ?", (eid,))
            rows = connection.execute(f"SELECT {names} FROM {table}{chosen}", given).fetchall()
        return pd.DataFrame(rows, columns=list(columns), dtype=object)


def open_outcomes(settings: Settings) -> OutcomeStore:
    """The table of outcomes of the settings' root."""
    return OutcomeStore(place_of(settings, "outcomes"))


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


def _make_tables(connection: Connection) -> None:
    version = schema_version(connection)
    if version == 0:
        run_script(connection, _SCHEMA, _VERSION)
        return
    if version < 2:
        run_script(connection, "ALTER TABLE evaluations ADD COLUMN severity TEXT", 2)
    if version < _VERSION:
        run_script(connection, _ORIGINS, _VERSION)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
