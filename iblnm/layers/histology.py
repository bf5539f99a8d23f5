"""How far the histology of each probe has come, and what is to be done next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# in the order in which they are reached
STATES = ("no-insertion", "no-stacks", "no-tracing", "traced", "aligned", "resolved", "unknown")
TASKS = ("TRACE STACKS", "TRACE PICKS", "ALIGN", "RESOLVE")
_HREF = re.compile(r"href\s*=\s*[\"']?([^\"'>\s]+)", re.IGNORECASE)
STACK_SUFFIXES = ("_RD.tif", "_GR.tif")
# what servers write above the links of a folder; a page that asks to sign in has links too
_HEADINGS = ("index of", "directory listing", "parent directory")


def insertion_json(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ``json`` of an insertion's record, empty if it is null or no object."""
    value = record.get("json")
    return value if isinstance(value, Mapping) else {}


def extended_qc(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """``json.extended_qc`` of an insertion's record, empty if it is null or no object."""
    value = insertion_json(record).get("extended_qc")
    return value if isinstance(value, Mapping) else {}


def n_picks(record: Mapping[str, Any]) -> int:
    """Number of points picked along the track."""
    picks = insertion_json(record).get("xyz_picks")
    return len(picks) if isinstance(picks, list) else 0


def n_alignments(record: Mapping[str, Any]) -> int:
    """Number of alignments uploaded; 0 where the count is absent or no number."""
    return as_count(extended_qc(record).get("alignment_count")) or 0


def is_resolved(record: Mapping[str, Any]) -> bool:
    """Whether the alignment is resolved; ``alignment_resolved_by`` alone does not say so."""
    return is_true(extended_qc(record).get("alignment_resolved"))


def as_count(value: Any) -> int | None:
    """A count that may have been stored as a text.

    Examples
    --------
    >>> as_count("3"), as_count(2.0), as_count("many"), as_count(None)
    (3, 2, None, None)
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number == number and abs(number) < 2**53 else None


def is_true(value: Any) -> bool:
    """Whether Alyx means yes.

    Examples
    --------
    >>> is_true(True), is_true(1), is_true("True"), is_true("False"), is_true(None)
    (True, True, True, False, False)
    """
    return value is True or value == 1 or str(value).strip().lower() in ("true", "1")


def histology_state(record: Mapping[str, Any] | None, image_stacks: bool | None) -> str:
    """Highest rung that a probe has reached.

    Parameters
    ----------
    record : mapping or None
        Insertion of Alyx; None if there is none.
    image_stacks : bool or None
        Whether the animal's image stacks are listed; None if that is not known.

    Returns
    -------
    str
        One of `STATES`; ``unknown`` where nothing has been traced and the listing is unknown.
    """
    if record is None:
        return "no-insertion"
    if is_resolved(record):
        return "resolved"
    if n_alignments(record) > 0:
        return "aligned"
    if n_picks(record) > 0:
        return "traced"
    return {None: "unknown", True: "no-tracing", False: "no-stacks"}[image_stacks]


def next_task(state: str) -> str | None:
    """What is to be done next for a probe; None if nothing, or if that is not known.

    Examples
    --------
    >>> [next_task(state) for state in ("no-stacks", "traced", "resolved", "unknown")]
    ['TRACE STACKS', 'ALIGN', None, None]
    """
    return {
        "no-stacks": "TRACE STACKS",
        "no-tracing": "TRACE PICKS",
        "traced": "ALIGN",
        "aligned": "RESOLVE",
    }.get(state)


def listed_files(page: str) -> list[str]:
    """File names of a directory listing, whatever its line breaks.

    Examples
    --------
    >>> listed_files('<a href="../">..</a><a href="ZM_1_GR.tif">x</a><A HREF=ZM_1_RD.tif>')
    ['ZM_1_GR.tif', 'ZM_1_RD.tif']
    """
    names = [found.rstrip("/").split("/")[-1] for found in _HREF.findall(page)]
    return [name for name in names if name and name != ".." and not name.startswith("?")]


def is_listing(page: str) -> bool:
    """Whether a page lists a folder, which need not have any files.

    Examples
    --------
    >>> is_listing("<h1>Index of /histology</h1>"), is_listing('<a href="/login">Sign in</a>')
    (True, False)
    """
    text = page.lower()
    if any(heading in text for heading in _HEADINGS):
        return True
    return has_both_stacks(listed_files(page)) or "../" in _HREF.findall(page)


def has_both_stacks(names: list[str]) -> bool:
    """Whether both channels of the image stack are among the files."""
    return all(any(name.endswith(suffix) for name in names) for suffix in STACK_SUFFIXES)
