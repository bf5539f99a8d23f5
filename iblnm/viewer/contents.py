"""What there is of one session, and of what is not there, why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iblnm.config import Settings
from iblnm.errors import DataError, TransientError
from iblnm.pipeline.checking import evaluate_values
from iblnm.pipeline.graph import all_stages, checked_stages, find_stage, guards, is_stage
from iblnm.pipeline.rules import RULES, Outcome
from iblnm.pipeline.rules.dataset import MODALITIES
from iblnm.pipeline.rules.values import get, get_list, listed_categories
from iblnm.storage.store import SessionStore

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from iblnm.pipeline.outcomes import Attempt

# modality that an asset is made from
_NEEDS = {
    "trials": "trials",
    "performance": "trials",
    "photometry": "photometry",
    "photometry_qc": "photometry",
    "preprocessed": "photometry",
    "wheel_velocity": "wheel",
}


class NotThereError(Exception):
    """What a panel shows is not there; the message says why, for the person who looks."""


@dataclass
class Contents:
    """Data of one session, from files or from memory.

    Parameters
    ----------
    eid : str
    row : mapping
        Metadata of the session, schema `iblnm.schemas.SESSIONS`; empty if unknown.
    stored : dict
        Value by stage, as it returns it; absent or None where there is none.
    problems : dict of str to str
        Why the file of an asset cannot be read.
    checks : list of Outcome
        Rules that were evaluated on these values.
    attempts : dict of str to Attempt
        How the latest run of each asset ended.
    bands : dict of str to DataFrame, optional
        Raw bands; those that the asset ``photometry`` refers to by default.
    """

    eid: str
    settings: Settings
    row: Mapping[str, Any] = field(default_factory=dict)
    stored: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    checks: list[Outcome] = field(default_factory=list)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    bands: dict[str, pd.DataFrame] | None = None

    def need(self, asset: str) -> Any:
        """Value of an asset.

        Raises
        ------
        NotThereError
            If there is none, with the reason.
        """
        value = self.stored.get(asset)
        if value is None:
            raise NotThereError(self.why_missing(asset))
        return value

    def need_bands(self) -> dict[str, pd.DataFrame]:
        """Raw bands within the task: index times (s), one column per recording.

        Raises
        ------
        NotThereError
            If there are none, or the archive's file cannot be read.
        """
        if self.bands is None:
            from iblnm.io.photometry import load_photometry

            reference = self.need("photometry")
            try:
                self.bands = load_photometry(
                    reference, padding_s=self.settings.signal.task_padding_s
                )
            except DataError as error:
                raise NotThereError(_of_archive(error)) from error
        return self.bands

    @property
    def trials(self) -> pd.DataFrame | None:
        """The trials table, or None."""
        return self.stored.get("trials")

    @property
    def recordings(self) -> list[dict[str, Any]]:
        """Name, fiber, region, side and target of every fiber that has a name."""
        names = get_list(self.row, "recording_name") or get_list(self.row, "brain_region")
        columns = {
            key: get_list(self.row, key) for key in ("brain_region", "hemisphere", "target_NM")
        }
        known = [
            {
                "name": str(name),
                "fiber_idx": i,
                **{key: _at(values, i) for key, values in columns.items()},
            }
            for i, name in enumerate(names)
            if name is not None
        ]
        stored: Mapping[str, xr.Dataset] = self.stored.get("preprocessed") or {}
        others = [name for name in stored if name not in {entry["name"] for entry in known}]
        return known + [
            {"name": name, "fiber_idx": None, **dict.fromkeys(columns)} for name in others
        ]

    def why_missing(self, asset: str) -> str:
        """The reason in words, for a person who looks for the asset."""
        if asset in self.problems:
            return self.problems[asset]
        if not is_stage(asset):
            return f"The stages that this root runs make no {asset}."
        modality = _NEEDS.get(asset)
        datasets = self.row.get("datasets")
        if modality and datasets is not None and len(datasets):
            listed = listed_categories({"datasets": datasets}, self.settings)
            if not listed & {*MODALITIES[modality]}:
                return f"The archive lists no {modality} for this session, extracted or raw."
        told = self._attempted(asset)
        if told:
            return told
        stopping = guards(asset)
        for outcome in self.checks:
            is_guard = RULES[outcome.rule].asset in stopping
            if is_guard and outcome.severity == "BLOCK" and outcome.passed is False:
                return f"Stopped by the check {outcome.rule}: {outcome.message}"
        for name in find_stage(asset).inputs:
            if self.stored.get(name) is None:
                return f"It is made from {name}. {self.why_missing(name)}"
        if asset in self.attempts:
            return f"The asset {asset} is no longer in its file; run the session again."
        return f"The asset {asset} was not made yet for this session: run iblnm batch --missing."

    def _attempted(self, asset: str) -> str:
        """What the latest run that tried to make the asset tells; empty if none did."""
        attempt = self.attempts.get(asset)
        if attempt is None:
            return ""
        message = self.told_by(attempt)
        if attempt.state == "blocked":
            return f"Stopped by the check {attempt.error_type}: {message}"
        if attempt.state == "failed":
            return f"The latest run of {asset} failed: {attempt.error_type}: {message}"
        if attempt.state == "no data":
            return f"The latest run of {asset} found no data: {message}"
        return ""

    def told_by(self, attempt: Attempt) -> str:
        """Message of an attempt; that it is about this session goes without saying."""
        return re.sub(rf"^session {re.escape(self.eid)}(: |, )", "", attempt.message or "")


def read_contents(store: SessionStore, eid: str, settings: Settings) -> Contents:
    """Everything that is stored of a session; a damaged file is named, not fatal.

    Parameters
    ----------
    store : SessionStore
    eid : str
    settings : Settings
        Limits of the checks and lists of datasets.
    """
    contents = Contents(eid, settings)
    for stage in all_stages():
        if stage.is_page or stage.folder is None:
            continue
        try:
            contents.stored[stage.name] = store.load(stage.name, eid)
        except DataError as error:
            contents.problems[stage.name] = _of_root(f"{stage.folder}/{eid}.pqt", error)
    _read_session_file(contents, store.h5_path(eid))
    contents.attempts = _read_attempts(settings, eid)
    row = contents.stored.get("session")
    if row is not None and len(row):
        contents.row = row.iloc[0].to_dict()
    contents.checks = evaluate_contents(contents)
    return contents


def _read_session_file(contents: Contents, path: Path) -> None:
    """All stages that are in the session file, which is opened once."""
    from iblnm.storage.h5 import read_groups

    stages = {stage.h5_group: stage.name for stage in all_stages() if stage.folder is None}
    try:
        groups = read_groups(path, stages) if path.exists() else {}
    except DataError as error:
        problem = _of_root(path.relative_to(contents.settings.root).as_posix(), error)
        contents.problems |= dict.fromkeys(stages.values(), problem)
        return
    for group, name in stages.items():
        contents.stored[name] = groups.get(group)


def shown_stages() -> tuple[str, ...]:
    """Stages whose values are looked at."""
    return tuple(stage.name for stage in all_stages() if not stage.is_page)


def evaluate_contents(contents: Contents) -> list[Outcome]:
    """Outcomes of the rules of all assets that are there."""
    outcomes: list[Outcome] = []
    for asset in checked_stages():
        outcomes += evaluate_values(asset, contents.stored, contents.settings)
    return outcomes


def title(row: Mapping[str, Any]) -> str:
    """Subject, day and task of a session, as far as known."""
    parts = (get(row, "subject"), str(get(row, "start_time") or "")[:10], get(row, "session_type"))
    return " · ".join(str(part) for part in parts if part)


def _at(values: Sequence[Any], i: int) -> Any:
    return values[i] if i < len(values) else None


def _read_attempts(settings: Settings, eid: str) -> dict[str, Attempt]:
    from iblnm.pipeline.outcomes import open_outcomes

    try:
        return open_outcomes(settings).attempts_of(eid)
    except (DataError, TransientError):  # without it less is said of what is missing
        return {}


def _of_root(place: str, error: DataError) -> str:
    return f"The file {place} cannot be read ({error.message}); run the session again."


def _of_archive(error: DataError) -> str:
    from iblnm.errors import MissingFileError

    if isinstance(error, MissingFileError) and error.path is not None:
        root = next((p for p in reversed(error.path.parents) if not p.exists()), error.path)
        return (
            f"The archive's file is not there: {error.path}. {root} does not exist; "
            "if the archive lies on another disk, mount it."
        )
    return f"The archive's file {error.path or ''} cannot be read: {error.message}"
