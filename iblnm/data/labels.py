"""Human verdicts on sessions and fibres, from ``metadata/labels.csv``.

A verdict on a whole session (empty ``fiber_idx``) stands in the matrix of outcomes: ``keep``
turns its warnings into passes, never a failure. ``drop``, of a session or of a fibre, leaves
the recordings out of cohort analyses.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pandas as pd

from iblnm.errors import InvalidNameError, MalformedFileError
from iblnm.schemas import LABELS
from iblnm.storage.names import validate_eid

_REQUIRED = ("verdict", "who", "when", "why")


def read_labels(path: Path | str) -> pd.DataFrame:
    """Read and check a table of labels.

    Parameters
    ----------
    path : Path
        CSV with the columns of the schema `LABELS`, in any order. A file that does not exist
        is a table without labels; lines that start with # are left out.

    Returns
    -------
    DataFrame
        Schema `LABELS`.

    Raises
    ------
    MalformedFileError
        Naming the first line at fault, what it holds and what is expected.
    """
    path = Path(path)
    if not path.exists():
        return LABELS.empty()
    rows: dict[tuple[str, int | None], dict] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header: list[str] | None = None
        for fields in reader:
            fields = [field.strip() for field in fields]
            if not any(fields) or fields[0].startswith("#"):
                continue
            try:
                if header is None:
                    header = _header(fields)
                    continue
                row = _row(header, fields)
                key = (row["eid"], row["fiber_idx"])
                if key in rows:
                    fibre = "the session" if key[1] is None else f"fibre {key[1]}"
                    raise ValueError(f"a second label for {fibre} of {key[0]}; keep one of them")
            except (ValueError, InvalidNameError) as error:
                # the line says it all; the chain would only show how it was parsed
                raise MalformedFileError(f"line {reader.line_num}: {error}", path=path) from None
            rows[key] = row
    if header is None:
        header_line = f"line 1: the header {','.join(LABELS.names)} is missing"
        raise MalformedFileError(header_line, path=path)
    return LABELS.validate(pd.DataFrame(list(rows.values()), columns=LABELS.names))


def labels_version(path: Path | str) -> str:
    """Hash of the file, to tell when it has changed; ``none`` if it does not exist."""
    path = Path(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else "none"


def _header(fields: Sequence[str]) -> list[str]:
    if sorted(fields) != sorted(LABELS.names):
        raise ValueError(
            f"the columns are {', '.join(fields)}; expected, separated by commas: "
            f"{', '.join(LABELS.names)}"
        )
    return list(fields)


def _row(header: Sequence[str], fields: Sequence[str]) -> dict[str, str | int | None]:
    if len(fields) != len(header):
        raise ValueError(
            f"{len(fields)} fields, {len(header)} expected; put a text with commas in quotes"
        )
    row: dict[str, str | int | None] = dict(zip(header, fields, strict=True))
    row["eid"] = validate_eid(str(row["eid"]))
    for name in _REQUIRED:
        if not row[name]:
            raise ValueError(f"{name} is empty")
    if row["verdict"] not in ("keep", "drop"):
        raise ValueError(f"verdict is {row['verdict']!r}; keep or drop is expected")
    fibre = str(row["fiber_idx"])
    if fibre and not fibre.isdecimal():
        raise ValueError(f"fiber_idx is {fibre!r}; 0, 1, ... or nothing is expected")
    row["fiber_idx"] = int(fibre) if fibre else None
    try:
        date.fromisoformat(str(row["when"]))
    except ValueError:
        raise ValueError(f"when is {row['when']!r}; a day as 2024-05-31 is expected") from None
    return row


def dropped_recordings(labels: pd.DataFrame) -> set[tuple[str, int | None]]:
    """Recordings that a human dropped.

    Returns
    -------
    set of (str, int or None)
        Session and fibre; None stands for all fibres of the session.
    """
    dropped = labels[labels["verdict"] == "drop"]
    return {
        (str(row.eid), None if pd.isna(row.fiber_idx) else int(row.fiber_idx))
        for row in dropped.itertuples()
    }


def session_verdicts(labels: pd.DataFrame) -> dict[str, str]:
    """Verdicts on whole sessions, by eid."""
    whole = labels[labels["fiber_idx"].isna()]
    return dict(zip(whole["eid"].astype(str), whole["verdict"].astype(str), strict=True))


def label_sessions(sessions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Sessions with the verdicts on them.

    Parameters
    ----------
    sessions : DataFrame
        With ``eid`` and ``n_recordings``.
    labels : DataFrame
        Schema `LABELS`; labels of sessions that are not in the table are left out.

    Returns
    -------
    DataFrame
        Copy with ``label``, the verdict on the whole session, and ``excluded``, the list of
        its fibres (``fiber_idx``) that are dropped: all of them if the session is.
    """
    verdicts = session_verdicts(labels)
    fibres: dict[str, list[int]] = {}
    for eid, fibre in dropped_recordings(labels):
        if fibre is not None:
            fibres.setdefault(eid, []).append(fibre)
    excluded = []
    for eid, count in zip(sessions["eid"], sessions["n_recordings"], strict=True):
        n_recordings = 0 if pd.isna(count) else int(count)
        is_dropped = verdicts.get(eid) == "drop"
        excluded.append(list(range(n_recordings)) if is_dropped else sorted(fibres.get(eid, [])))
    return sessions.assign(
        label=pd.array([verdicts.get(eid) for eid in sessions["eid"]], dtype="string"),
        excluded=pd.Series(excluded, index=sessions.index, dtype=object),
    )
