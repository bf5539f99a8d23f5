"""Recording targets of a session: regions, names and sides of its fibers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.archive.datasets import dataset_path
from iblnm.errors import DataError, MalformedFileError, UnreadableFileError
from iblnm.io.fibers import side_of
from iblnm.io.nesting import MAX_DEPTH
from iblnm.io.signal_file import is_red
from iblnm.io.text import read_text
from iblnm.storage.names import is_valid_name
from iblnm.storage.parquet import read_table

if TYPE_CHECKING:
    from iblnm.archive.records import Records
    from iblnm.config import Settings

DESCRIPTION = "_ibl_experiment.description.yaml"
LOCATIONS = "alf/photometry/photometryROI.locations.pqt"
_MAX_ALIASES = 100
_SIDE = r"(?P<side>left|right|[lr])"
# after the name, before it, or in brackets
_SIDED = (
    re.compile(rf"(?P<bare>.+?)[-_ ]+\(?{_SIDE}\)?", re.IGNORECASE),
    re.compile(rf"\(?{_SIDE}\)?[-_ ]+(?P<bare>.+)", re.IGNORECASE),
)


@dataclass(frozen=True)
class Fiber:
    """One fiber as its source names it.

    Parameters
    ----------
    region : str
        Bare region, with the fixes of the settings.
    suffix : str or None
        Side in the region's name.
    roi : str or None
        Column of the signal.
    located : str or None
        Side in the ROI locations, beside another source.
    """

    region: str
    suffix: str | None
    roi: str | None
    located: str | None = None


def split_region(text: str, fixes: Mapping[str, str]) -> tuple[str, str | None]:
    """Split a region's name into the bare region and its side.

    Examples
    --------
    >>> split_region("DRN-l", {"DRN": "DR"})
    ('DR', 'l')
    >>> split_region("VTA", {})
    ('VTA', None)
    >>> split_region("left VTA", {}), split_region("VTA (R)", {})
    (('VTA', 'l'), ('VTA', 'r'))
    """
    text = text.strip()
    found = next((match for pattern in _SIDED if (match := pattern.fullmatch(text))), None)
    bare, side = (found["bare"], found["side"][0].lower()) if found else (text, None)
    return fixes.get(bare, bare), side


def session_fibers(
    one: Any, eid: str, fiber_table: pd.DataFrame, settings: Settings
) -> tuple[list[Fiber], list[str], str | None]:
    """Fibers of a session, all from the first source that names any.

    A side that its name does not say is that of the same column in the ROI locations, if these
    name the same region.

    Parameters
    ----------
    one : ONE
    eid : str
    fiber_table : DataFrame
        Rows of the subject, see `iblnm.io.fibers.subject_fibers`.
    settings : Settings

    Returns
    -------
    fibers : list of Fiber
    unnamed : list of str
        Signal columns that the same source lists without a region.
    source : {'experiment description', 'roi locations', 'fiber table', None}
    """
    sources = (
        ("experiment description", lambda: _from_description(one, eid)),
        ("roi locations", lambda: _from_locations(one, eid)),
        ("fiber table", lambda: [(None, region) for region in fiber_table["targeted_region"]]),
    )
    for source, read in sources:
        listed = read()
        named = [(roi, region) for roi, region in listed if _is_text(region)]
        if named:
            fixes = settings.region_fixes
            fibers = _without_red_twins(
                [Fiber(*split_region(region, fixes), roi) for roi, region in named]
            )
            if source == "experiment description":
                fibers = _with_located_sides(fibers, one, eid, fixes)
            unnamed = [
                roi for roi, region in listed if roi and not _is_text(region) and not is_red(roi)
            ]
            return fibers, unnamed, source
    return [], [], None


def _with_located_sides(
    fibers: list[Fiber], one: Any, eid: str, fixes: Mapping[str, str]
) -> list[Fiber]:
    try:
        located = dict(_from_locations(one, eid))
    except DataError:  # the stage that needs the file names its fault
        return fibers
    found = []
    for fiber in fibers:
        other = located.get(fiber.roi)
        region, side = split_region(other, fixes) if _is_text(other) else (None, None)
        if region == fiber.region:
            fiber = replace(fiber, suffix=fiber.suffix or side, located=side)
        found.append(fiber)
    return found


def _without_red_twins(fibers: list[Fiber]) -> list[Fiber]:
    """Fibers without the red camera's columns of locations that a green column sees too.

    A rig lists a location at most twice, and then with columns of different color: that is
    one fiber.
    """
    seen = {(f.region, f.suffix) for f in fibers if not (f.roi and is_red(f.roi))}
    return [f for f in fibers if not (f.roi and is_red(f.roi) and (f.region, f.suffix) in seen)]


def recording_names(regions: Iterable[str]) -> list[str | None]:
    """Names of the fibers in the session file; None for a region that is no valid name.

    Examples
    --------
    >>> recording_names(["NBM", "NBM", "SI"])
    ['NBM', 'NBM_1', 'SI']
    """
    names: list[str] = []
    for region in regions:
        candidates = (f"{region}_{n}" if n else region for n in count())
        names.append(next(name for name in candidates if name not in names))
    return [name if is_valid_name(name) else None for name in names]


def table_sides(fibers: list[Fiber], table: pd.DataFrame, settings: Settings) -> list[str | None]:
    """Side of each fiber in the fiber table.

    A region that the table has on both sides gives none, unless the name carries the side.
    """
    sides: dict[str, set[str]] = {}
    for region, side in zip(table["targeted_region"], table["side"], strict=True):
        if _is_text(region) and side is not None:
            bare, _ = split_region(region, settings.region_fixes)
            sides.setdefault(bare, set()).add(side)
    return [_only(sides.get(fiber.region, set()), fiber.suffix) for fiber in fibers]


def alyx_sides(
    fibers: list[Fiber], insertions: list[dict[str, Any]], records: Records, settings: Settings
) -> list[str | None]:
    """Side of each fiber on Alyx: that of the insertion which names its column or region.

    Insertions that name neither are taken in order if there are as many as fibers. Alyx
    defines x as positive to the right.
    """
    known = [_insertion(insertion, records, settings) for insertion in insertions]
    named = {label for labels, _ in known for label in labels}
    result = []
    for i, fiber in enumerate(fibers):
        own = {label for label in (fiber.roi, fiber.region) if label in named}
        matches = [side for labels, side in known if labels & own]
        if not named & {label for f in fibers for label in (f.roi, f.region)}:
            matches = [known[i][1]] if len(known) == len(fibers) else []
        if fiber.roi in named:
            matches = [side for labels, side in known if fiber.roi in labels]
        result.append(_only({side for side in matches if side}, fiber.suffix))
    return result


def _insertion(
    insertion: dict[str, Any], records: Records, settings: Settings
) -> tuple[set[str], str | None]:
    name = str(insertion.get("name") or "")
    bare, suffix = split_region(name.removeprefix("fiber_"), settings.region_fixes)
    details = insertion.get("json")
    details = details if isinstance(details, dict) else {}
    labels = {name, bare}
    for key in ("brain_region", "region", "roi", "ROI", "fiber"):
        if _is_text(details.get(key)):
            labels |= {details[key], split_region(details[key], settings.region_fixes)[0]}
    sides = {
        side_of(float(trajectory["x"]), right_is_positive_ml=True)
        for trajectory in records.trajectories(insertion)
        if isinstance(trajectory.get("x"), int | float)
    } - {None}
    return labels - {""}, sides.pop() if len(sides) == 1 else suffix if not sides else None


def _only(sides: set[str], preferred: str | None) -> str | None:
    if len(sides) == 1:
        return next(iter(sides))
    return preferred if preferred in sides else None


def _from_description(one: Any, eid: str) -> list[tuple[str | None, Any]]:
    path = dataset_path(one, eid, DESCRIPTION)
    if path is None:
        return []
    content = read_description(path, eid=eid)
    devices = content.get("devices") or {}
    device = devices.get("neurophotometrics") if isinstance(devices, dict) else None
    fibers = device.get("fibers") if isinstance(device, dict) else None
    if not fibers:
        return []
    if not isinstance(fibers, dict):
        raise MalformedFileError(
            f"devices.neurophotometrics.fibers is a {type(fibers).__name__}; "
            "a mapping of signal column to location is expected",
            eid=eid,
            path=path,
        )
    return [
        (str(roi), fiber.get("location") if isinstance(fiber, dict) else fiber)
        for roi, fiber in fibers.items()
    ]


def known_description(one: Any, eid: str) -> dict[str, Any]:
    """Experiment description of a session; empty where there is none that can be read.

    The stage that needs the fibers of it (see `session_fibers`) names the fault of a damaged one.
    """
    try:
        path = dataset_path(one, eid, DESCRIPTION)
        return {} if path is None else read_description(path, eid=eid)
    except DataError:
        return {}


def read_description(path: Path, *, eid: str | None = None) -> dict[str, Any]:
    """Read an experiment description; an empty file is an empty description."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = read_text(path)
        _require_plain(yaml.parse(text, Loader=loader), yaml)
        content = yaml.load(text, Loader=loader)
    except _TooDeepError as error:
        raise MalformedFileError(str(error), eid=eid, path=path) from error
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise UnreadableFileError(f"no readable YAML: {problem}", eid=eid, path=path) from error
    except UnreadableFileError as error:
        raise UnreadableFileError(error.message, eid=eid, path=path) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise MalformedFileError(
            f"the description is a {type(content).__name__}; a mapping is expected",
            eid=eid,
            path=path,
        )
    return content


class _TooDeepError(ValueError):
    pass


def _require_plain(events: Iterable[Any], yaml: Any) -> None:
    """Refuse what the library would follow until the process dies, or grow without end."""
    depth = n_aliases = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        n_aliases += isinstance(event, yaml.AliasEvent)
        if depth > MAX_DEPTH:
            raise _TooDeepError(f"the YAML is nested more than {MAX_DEPTH} deep")
        if n_aliases > _MAX_ALIASES:
            raise _TooDeepError(f"the YAML repeats itself by more than {_MAX_ALIASES} aliases")


def _from_locations(one: Any, eid: str) -> list[tuple[str | None, Any]]:
    path = dataset_path(one, eid, LOCATIONS)
    return [] if path is None else list(read_locations(path, eid=eid).items())


def read_locations(path: Path, *, eid: str | None = None) -> dict[str, Any]:
    """Signal column to region, as a ROI locations file names them."""
    table = read_table(path, eid=eid)
    if "ROI" in table:
        table = table.set_index("ROI")
    if "brain_region" not in table:
        raise MalformedFileError(
            f"column brain_region is missing; the table has {', '.join(map(str, table))}",
            eid=eid,
            path=path,
        )
    duplicated = table.index[table.index.duplicated()]
    if len(duplicated):
        raise MalformedFileError(
            f"signal column {duplicated[0]} is listed more than once", eid=eid, path=path
        )
    return {str(roi): region for roi, region in table["brain_region"].items()}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() not in ("", "nan", "None")
