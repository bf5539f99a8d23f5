"""Rules about the sides of a session's fibers."""

from __future__ import annotations

from typing import Any

from iblnm.pipeline.rules.outcome import Finding, not_evaluated, unknown_without_record
from iblnm.pipeline.rules.registry import RuleError, rule
from iblnm.pipeline.rules.values import (
    Row,
    as_row,
    bare_region,
    get,
    get_list,
    has_no_record,
    join,
    lists_agree,
)

SIDE_SOURCES = (
    "hemisphere_suffix",
    "hemisphere_locations",
    "hemisphere_fibers",
    "hemisphere_alyx",
)
_NAMED = tuple(name.removeprefix("hemisphere_") for name in SIDE_SOURCES)


def _sides(row: Row, fiber_lookup: dict | None = None) -> list[dict[str, Any]]:
    """What each source says about each fiber; a suffix in the region's own name counts."""
    regions = get_list(row, "brain_region")
    columns = {name: get_list(row, name) for name in (*SIDE_SOURCES, "hemisphere")}
    table = []
    for i, region in enumerate(regions):
        entry: dict[str, Any] = {"region": region}
        for name, values in columns.items():
            entry[name.removeprefix("hemisphere_")] = values[i] if i < len(values) else None
        name = region or ""
        if bare_region(name) != name:
            entry["suffix"] = entry["suffix"] or name[-1]
        if fiber_lookup is not None:
            entry["fibers"] = _looked_up(fiber_lookup, get(row, "subject"), bare_region(name))
        table.append(entry)
    return table


def _looked_up(fiber_lookup: dict, subject: Any, region: str) -> str | None:
    """Side in a lookup by (subject, region); 'both' where the table has both sides."""
    found = fiber_lookup.get((subject, region))
    sides = {found} if isinstance(found, str) else set(found or ())
    return "both" if len(sides) > 1 else next(iter(sides), None)


def _known(entry: dict[str, Any]) -> list[str]:
    """Sides that the sources name, each once."""
    named = [entry[source] for source in _NAMED]
    return sorted({side for side in named if side in ("l", "r")})


def _needs_suffix(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fibers of unknown side whose region is there twice, so that only a name could tell."""
    names = [bare_region(entry["region"] or "") for entry in table]
    return [
        entry
        for entry, name in zip(table, names, strict=True)
        if entry["region"]
        and not _known(entry)
        and entry["hemisphere"] is None
        and (names.count(name) > 1 or entry["fibers"] == "both")
    ]


class MissingHemisphere(RuleError):
    """No source knows the side of a fiber."""


@rule(
    MissingHemisphere,
    asset="session",
    level="recording",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="fibers",
    description=(
        "At least one source (name of the region, fiber table, Alyx) knows the side of every "
        "fiber; a fiber of unknown side is left out of lateralised statistics."
    ),
    remedy="Add the fiber to fibers.csv, or the side to the name of the region (VTA-l).",
)
def missing_hemisphere(session_row: Row, fiber_lookup: dict | None = None) -> Finding:
    row = as_row(session_row)
    table = _sides(row, fiber_lookup)
    if not any(entry["region"] for entry in table):
        return not_evaluated("no region, see missing_brain_region")
    # an empty list of sides names none of them
    sided = row if get_list(row, "hemisphere") else {**row, "hemisphere": None}
    if not lists_agree(sided):
        return not_evaluated("the lists differ in length, see parallel_lists")
    covered = _needs_suffix(table)
    unknown = [
        entry["region"]
        for entry in table
        if entry["region"]
        and not _known(entry)
        and entry["hemisphere"] is None
        and entry not in covered
    ]
    if unknown:
        return Finding(
            False,
            float(len(unknown)),
            f"The side of {len(unknown)} of {len(table)} fibers is known to no source: "
            f"{join(unknown)}.",
            metadata={"sides": table},
        )
    if covered:
        return not_evaluated("the same region is recorded on both sides, see missing_hemi_suffix")
    return Finding(True, 0.0, "The side of every fiber is known.", metadata={"sides": table})


class MissingHemiSuffix(RuleError):
    """Fibers of both sides share a target, and its name does not say the side."""


@rule(
    MissingHemiSuffix,
    asset="session",
    level="recording",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="fibers",
    validator="hemisphere",
    description=(
        "Where one region has a fiber on each side, the names of the regions (for example "
        "NBM-l) or another source tell the two apart."
    ),
    remedy=(
        "Name the two regions with their side (NBM-l, NBM-r), in the description or in fibers.csv."
    ),
)
def missing_hemi_suffix(session_row: Row, fiber_lookup: dict | None = None) -> Finding:
    row = as_row(session_row)
    table = _sides(row, fiber_lookup)
    if not any(entry["region"] for entry in table):
        return not_evaluated("no region, see missing_brain_region")
    if not lists_agree(row):
        return not_evaluated("the lists differ in length, see parallel_lists")
    undecided = _needs_suffix(table)
    if undecided:
        names = join(entry["region"] for entry in undecided)
        return Finding(
            False,
            float(len(undecided)),
            f"{len(undecided)} of {len(table)} fibers share a region with a fiber of the other "
            f"side, and their names do not say the side: {names}.",
            metadata={"sides": table},
        )
    return Finding(True, 0.0, "No side depends on a suffix that is missing.")


class HemisphereMismatch(RuleError):
    """Two sources name different sides for one fiber."""


@rule(
    HemisphereMismatch,
    asset="session",
    level="recording",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="fibers",
    validator="hemisphere",
    description=(
        "Name of the region, ROI locations, fiber table and Alyx name the same side for each "
        "fiber, as far as they name one."
    ),
    remedy=(
        "Ask the one who implanted the mouse and correct the source that is wrong; the "
        "message names all of them."
    ),
)
def hemisphere_mismatch(session_row: Row, fiber_lookup: dict | None = None) -> Finding:
    row = as_row(session_row)
    table = _sides(row, fiber_lookup)
    if not any(entry["region"] for entry in table):
        return not_evaluated("no region, see missing_brain_region")
    differing = [entry for entry in table if len(_known(entry)) > 1]
    if differing:
        words = join(
            f"{entry['region']} (" + join(f"{s} {entry[s]}" for s in _NAMED if entry[s]) + ")"
            for entry in differing
        )
        return Finding(
            False,
            float(len(differing)),
            f"The sources disagree about the side of {len(differing)} of {len(table)} fibers: "
            f"{words}.",
            metadata={"sides": table},
        )
    return Finding(True, 0.0, "The sources that name a side agree.", metadata={"sides": table})


class MissingInsertion(RuleError):
    """Alyx lists fewer fiber insertions than the session has fibers."""


@rule(
    MissingInsertion,
    asset="session",
    level="recording",
    severity="WARN",
    unit="insertions",
    description="Alyx has a fiber insertion for every fiber of the session, at least one.",
    remedy=(
        "Register the fiber insertions of the mouse on Alyx; nothing of the analysis needs "
        "them but the coordinates."
    ),
)
def missing_insertion(session_row: Row) -> Finding:
    row = as_row(session_row)
    n = get(row, "n_insertions")
    n_fibers = max(1, len([region for region in get_list(row, "brain_region") if region]))
    if n is None and has_no_record(row):
        return unknown_without_record("the number of fiber insertions")
    if n is None:
        message = f"No record of insertions is known; {n_fibers} are expected."
        return Finding(False, None, message, limit=float(n_fibers))
    message = f"Alyx lists {int(n)} fiber insertions; the session has {n_fibers} fibers."
    return Finding(int(n) >= n_fibers, float(n), message, limit=float(n_fibers))
