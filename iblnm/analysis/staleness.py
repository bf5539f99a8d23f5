"""Which analyses and figures are out of date, as `iblnm.pipeline.staleness` tells of sessions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from iblnm.analysis import registry
from iblnm.analysis.declaration import CATALOG_FILES, Analysis
from iblnm.config import Settings
from iblnm.pipeline.outcomes import OutcomeStore
from iblnm.pipeline.staleness import Stale
from iblnm.pipeline.versions import changes, made_with
from iblnm.storage.digest import canonical_text, text_digest
from iblnm.storage.parquet import read_provenance

_TABLE = re.compile(r"((?:results|data|metadata)/[\w/.-]+\.pqt) ([0-9a-f]{16})")


def stored_digest(settings: Settings, file: str) -> str | None:
    """Digest of a stored table; None if there is no such file or it does not say.

    Parameters
    ----------
    settings : Settings
    file : str
        Below the root.
    """
    path = settings.root / file
    origin = read_provenance(path) if path.exists() else None
    return origin.digest or None if origin is not None else None


def input_file(name: str) -> str | None:
    """File of an input of analyses below the root; None if it has none of its own."""
    if name in CATALOG_FILES:
        return CATALOG_FILES[name]
    found = registry.input_table(name)
    return None if found is None else found[0].files[found[1]]


def made_from(entry: Analysis, settings: Settings, outcomes: OutcomeStore) -> dict[str, Any]:
    """What an analysis is made from, if it is made now.

    Returns
    -------
    dict
        ``upstream``: digest of each input; ``sessions``: one digest of all that the sessions
        have stored of each stage that it reads.
    """
    files = {name: input_file(name) for name in entry.inputs}
    found: dict[str, Any] = {
        "upstream": {
            name: None if file is None else stored_digest(settings, file)
            for name, file in files.items()
        }
    }
    if entry.reads:
        table = outcomes.origins()
        found["sessions"] = {
            name: text_digest(
                sorted(
                    (row.eid, row.digest)
                    for row in table[table["asset"] == name].itertuples()
                    if row.digest is not None
                )
            )
            for name in entry.reads
        }
    return found


def find_stale_analyses(settings: Settings, outcomes: OutcomeStore) -> list[Stale]:
    """Analyses and folders of figures that are out of date, in their order.

    What was never made is missing, not stale.
    """
    found = []
    for entry in registry.ANALYSES:
        path = settings.root / entry.files[entry.main]
        origin = read_provenance(path) if path.exists() else None
        if origin is None:
            continue
        why = []
        now = made_with(entry, settings)
        if canonical_text(origin.made_with) != canonical_text(now):
            why += changes(origin.made_with or None, now)
        if origin.made_with:
            why += _differences(origin.made_from, made_from(entry, settings, outcomes))
        found += [Stale("", entry.name, reason) for reason in why]
    for folder, figures in registry.figure_folders().items():
        changed = {
            file
            for name in figures
            for file, digest in figure_tables(_figure_file(settings, folder, name)).items()
            if digest != stored_digest(settings, file)
        }
        if changed:
            why = f"drawn from another {', '.join(sorted(changed))}"
            found.append(Stale("", f"{folder}_figures", why))
    return found


def figure_origin(settings: Settings, files: tuple[str, ...]) -> str:
    """Text for a figure's file: the version of the package, and its tables with digests."""
    from iblnm.storage.provenance import software_versions

    tables = [f"{file} {stored_digest(settings, file) or 'unknown'}" for file in files]
    return "; ".join([f"iblnm {software_versions()['iblnm']}", *tables])


def figure_tables(path: Path | None) -> dict[str, str]:
    """Tables that a figure was drawn from with their digests, as its file says; else none."""
    if path is None or not path.exists():
        return {}
    content = path.read_bytes().decode("latin-1")
    return dict(_TABLE.findall(content))


def _figure_file(settings: Settings, folder: str, name: str) -> Path | None:
    stem = settings.figures_dir / folder / name
    paths = [Path(f"{stem}.{kind}") for kind in settings.figures.file_types]
    return next((path for path in paths if path.exists()), None)


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    before = json.loads(canonical_text(before))
    said = []
    for kind, words in (("upstream", "another"), ("sessions", "sessions with another result of")):
        old, new = before.get(kind, {}), now.get(kind, {})
        changed = [name for name in new if old.get(name) != new[name]]
        if changed:
            said.append(f"{words} {', '.join(changed)}")
    return said
