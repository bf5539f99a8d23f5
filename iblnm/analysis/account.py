"""Why a table of an analysis is empty: what the selection of sessions removed, and the notes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iblnm.analysis.result import ACCOUNT

if TYPE_CHECKING:
    from iblnm.analysis.declaration import Analysis

_MAX_NOTES = 3


def account_lines(account: Sequence[Mapping[str, Any]]) -> list[str]:
    """An account in words: sessions at first, what each criterion removed, what is left.

    Parameters
    ----------
    account : sequence of mapping
        Rows of the schema `iblnm.schemas.selection.SESSION_SELECTION`, without their eids.

    Examples
    --------
    >>> rows = [
    ...     {"criterion": "a known type", "n_sessions_before": 9, "n_sessions_removed": 0},
    ...     {"criterion": "target in LC-NE", "n_sessions_before": 9, "n_sessions_removed": 8},
    ... ]
    >>> settings = (None, "IBLNM_ANALYSED_TARGETS")
    >>> rows = [row | {"n_sessions": 9, "setting": s} for row, s in zip(rows, settings)]
    >>> rows[1]["n_sessions"] = 1
    >>> print("\\n".join(account_lines(rows)))
    9 sessions
    - 8 by 'target in LC-NE' (IBLNM_ANALYSED_TARGETS): 1 left
    = 1 session for the analysis
    """
    if not account:
        return []
    lines = [_sessions(account[0]["n_sessions_before"])]
    for row in account:
        if row["n_sessions_removed"]:
            setting = f" ({row['setting']})" if row.get("setting") else ""
            lines.append(
                f"- {row['n_sessions_removed']} by '{row['criterion']}'{setting}: "
                f"{row['n_sessions']} left"
            )
    lines.append(f"= {_sessions(account[-1]['n_sessions'])} for the analysis")
    return lines


def is_selected_empty(account: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the selection left no session."""
    return bool(account) and account[-1]["n_sessions"] == 0


def stored_account(entry: Analysis, root: Path) -> list[dict[str, Any]]:
    """The account of the selection that an analysis starts from: its own, or of its inputs.

    Parameters
    ----------
    entry : Analysis
    root : Path
        Of the outputs.

    Returns
    -------
    list of dict
        See `account_lines`; empty where none is stored.
    """
    from iblnm.analysis import registry

    own = _parameters(entry, root).get(ACCOUNT)
    if own:
        return list(own)
    tables = (registry.input_table(name) for name in entry.inputs)
    accounts = (stored_account(table[0], root) for table in tables if table is not None)
    return next((account for account in accounts if account), [])


def why_empty(entry: Analysis, root: Path, words: Collection[str] = ()) -> list[str]:
    """What to tell beside a table or figure of an analysis that has no data.

    Parameters
    ----------
    entry : Analysis
    root : Path
        Of the outputs.
    words : collection of str
        What the figure is about, as notes name it: those with most of them are told.

    Returns
    -------
    list of str
        The account in words, then the notes of the analysis, if it has any.
    """
    return [*account_lines(stored_account(entry, root)), *stored_notes(entry, root, words)]


def stored_notes(entry: Analysis, root: Path, words: Collection[str] = ()) -> list[str]:
    """Notes of an analysis; none where no session was left, as they then only repeat that."""
    if is_selected_empty(stored_account(entry, root)):
        return []
    notes = _parameters(entry, root).get("notes", [])
    numbers = [sum(word in note for word in words) for note in notes]
    notes = [note for note, n in zip(notes, numbers, strict=True) if n == max(numbers)]
    more = len(notes) - _MAX_NOTES
    return [*notes[:_MAX_NOTES], *([f"and {more} notes more"] if more > 0 else [])]


def _parameters(entry: Analysis, root: Path) -> dict[str, Any]:
    from iblnm.storage.parquet import read_provenance

    path = root / entry.files[entry.main]
    origin = read_provenance(path) if path.exists() else None
    return {} if origin is None else dict(origin.parameters)


def _sessions(n: int) -> str:
    return f"{n} session" if n == 1 else f"{n} sessions"
