"""Texts that may become part of a path or of a group's name."""

from __future__ import annotations

import re
from typing import Any

from iblnm.errors import InvalidNameError

_EID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[34][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_OUTSIDE = re.compile(r"[\\:\x00-\x1f]")


def validate_eid(text: Any) -> str:
    """Return the canonical form of a session identifier.

    Parameters
    ----------
    text : str or UUID
        A UUID of version 3 or 4 (the versions that ONE accepts), with hyphens.

    Returns
    -------
    str
        Lower case.

    Raises
    ------
    InvalidNameError
        If the text is anything else.

    Examples
    --------
    >>> validate_eid("96268231-87D4-3791-B39F-6E3059CFA72E")
    '96268231-87d4-3791-b39f-6e3059cfa72e'
    """
    canonical = str(text).lower()
    if not _EID.fullmatch(canonical):
        raise InvalidNameError(
            f"{text!r} is no session identifier; a UUID of version 3 or 4 is expected"
        )
    return canonical


def validate_relative_path(text: str, *, eid: str | None = None) -> str:
    """Return a path unchanged if it leads to something within the folder that it begins at.

    Parameters
    ----------
    text : str
    eid : str, optional
        Session to name in an error.

    Raises
    ------
    InvalidNameError
        If it is absolute, goes up, or holds a backslash, a colon or a control character.

    Examples
    --------
    >>> validate_relative_path("alf/task_00/#2024-05-31#/_ibl_trials.table.pqt")
    'alf/task_00/#2024-05-31#/_ibl_trials.table.pqt'
    """
    parts = text.split("/")
    if {"", ".", ".."} & set(parts) or _OUTSIDE.search(text):
        raise InvalidNameError(f"{text!r} is no path in a session", eid=eid)
    return text


def is_eid(text: Any) -> bool:
    """Whether a text is a session identifier in its canonical form."""
    return bool(_EID.fullmatch(str(text)))


def validate_name(text: Any) -> str:
    """Return a name unchanged if it can be part of a path or an HDF5 group.

    Parameters
    ----------
    text : str
        For example a region.

    Returns
    -------
    str

    Raises
    ------
    InvalidNameError
        If the text holds anything but letters, digits, ``_``, ``.`` and ``-``, or is
        empty, ``.`` or ``..``.

    Examples
    --------
    >>> validate_name("NBM_1")
    'NBM_1'
    """
    if not is_valid_name(text):
        raise InvalidNameError(
            f"{text!r} is no valid name; letters, digits, '_', '.' and '-' are allowed"
        )
    return text


def is_valid_name(text: Any) -> bool:
    """Whether `validate_name` would accept a text."""
    return isinstance(text, str) and bool(_NAME.fullmatch(text)) and text not in (".", "..")
