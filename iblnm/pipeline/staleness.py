"""What is out of date: made with other settings or methods, or from other inputs, than today's.

An output of a stage is compared with what it would be made with and from if it were made now.
It is out of date if

* a setting that its stage reads or the version of a method differs;
* a dataset, the fiber table of its animal or the masks of its session differ;
* a stage it was made from has another result since; a recomputed result that is the same bit
  by bit makes nothing out of date.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import pandas as pd

from iblnm.archive.datasets import without_revision
from iblnm.config import Settings
from iblnm.pipeline.graph import all_stages, stage_names
from iblnm.pipeline.label_rows import MASK, labels_paths, rows_in_force
from iblnm.pipeline.outcomes import Origin, OutcomeStore
from iblnm.pipeline.stage import SESSION, Stage
from iblnm.pipeline.versions import changes, made_with
from iblnm.storage.digest import canonical_text, value_digest
from iblnm.storage.store import SessionStore

COLUMNS = ("eid", "asset", "why")
_PLACES = ("_path", "url")
_LISTING = ("datasets", "dataset_sizes", "dataset_hashes", "dataset_revisions", "revision")


@dataclass(frozen=True)
class Stale:
    """An output that is out of date.

    Parameters
    ----------
    eid, asset, why : str
    """

    eid: str
    asset: str
    why: str


class Facts:
    """What outputs are made from besides each other, read once.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self._fibers: dict[str, str] = {}
        self._categories: dict[str, frozenset[str]] = {}

    def datasets(self, row: Any, chosen: tuple[str, ...] | None) -> dict[str, list]:
        """Revision, size and hash of the listed datasets of some kinds, or of all."""
        return {
            name: [
                _known(getattr(row, f"dataset_{fact}")[i])
                for fact in ("revisions", "sizes", "hashes")
            ]
            for i, name in enumerate(row.datasets)
            if chosen is None or self._is_of(name, chosen)
        }

    def fibers(self, subject: str) -> str:
        """Digest of the fibers of an animal."""
        from iblnm.io.fibers import subject_fibers

        if subject not in self._fibers:
            self._fibers[subject] = value_digest(subject_fibers(self.settings, subject))
        return self._fibers[subject]

    def masks(self, eid: str) -> list[list[Any]]:
        """Fiber, begin and end of the masked windows of a session."""
        return self._masks.get(eid, [])

    @cached_property
    def _masks(self) -> dict[str, list[list[Any]]]:
        found: dict[str, list[list[Any]]] = {}
        for row in rows_in_force(labels_paths(self.settings)):
            if row["verdict"] == MASK:
                window = [row["fiber_idx"], row["t0"], row["t1"]]
                found.setdefault(row["eid"], []).append(window)
        return {eid: sorted(windows, key=canonical_text) for eid, windows in found.items()}

    def _is_of(self, name: str, chosen: tuple[str, ...]) -> bool:
        if self._categories_of(name) & {*chosen}:
            return True
        return any(fnmatchcase(without_revision(name), pattern) for pattern in chosen)

    def _categories_of(self, name: str) -> frozenset[str]:
        plain = without_revision(name)
        if plain not in self._categories:
            self._categories[plain] = frozenset(
                category
                for category, patterns in self.settings.dataset_categories.items()
                if any(fnmatchcase(plain, pattern) for pattern in patterns)
            )
        return self._categories[plain]


def made_from(
    stage: Stage,
    eid: str,
    row: Any | None,
    digests: Mapping[str, str | None],
    facts: Facts,
) -> dict[str, Any]:
    """What a stage of a session is made from, if it is made now.

    Parameters
    ----------
    stage : Stage
    eid : str
    row : Series or named tuple or None
        Of the sessions table; None where it is not known.
    digests : mapping of str to str or None
        Of what is stored of each stage.
    facts : Facts

    Returns
    -------
    dict
        ``upstream``: digest by stage; ``datasets``: revision, size and hash by name;
        ``fibers`` and ``masks`` for a stage that reads them.
    """
    names = tuple(name for name in stage.inputs if name in stage.parameters)
    if stage.is_page:  # shows all others
        names = tuple(name for name in stage_names() if name != stage.name)
    found: dict[str, Any] = {"upstream": {name: digests.get(name) for name in names}}
    if SESSION in stage.inputs and not stage.is_page and row is not None:
        found["datasets"] = facts.datasets(row, stage.datasets)
    if "fibers" in stage.hand_made and row is not None:
        found["fibers"] = facts.fibers(str(row.subject))
    if "masks" in stage.hand_made:
        found["masks"] = facts.masks(eid)
    return found


def origin_of(
    stage: Stage, eid: str, row: pd.Series | None, outcomes: OutcomeStore, settings: Settings
) -> Origin:
    """Origin of an output that is about to be made; its digest comes with its value."""
    digests = outcomes.digests(eid)
    return Origin(made_with(stage, settings), made_from(stage, eid, row, digests, Facts(settings)))


def digest_of(stage: Stage, value: Any) -> str:
    """Digest of what a stage made, for those that are made from it.

    Files of a session are compared one by one with those that a stage makes use of, so that
    they are left out of the session's own. Where files lie changes nothing.
    """
    if stage.table is not None:
        left_out = _LISTING if stage.name == SESSION else ()
        is_place = [name.endswith(_PLACES) or name in left_out for name in map(str, value)]
        value = value.loc[:, [not found for found in is_place]]
    return value_digest(value)


def find_stale(
    outcomes: OutcomeStore,
    settings: Settings,
    eids: Iterable[str] | None = None,
    *,
    sessions: pd.DataFrame | None = None,
) -> list[Stale]:
    """Outputs that are out of date, in the order of sessions and stages.

    Parameters
    ----------
    outcomes : OutcomeStore
    settings : Settings
    eids : iterable of str, optional
        Only these sessions; by default all. What was never attempted is missing, not stale.
    sessions : DataFrame, optional
        Their rows, schema `iblnm.schemas.SESSIONS`, where they have been read already.

    Returns
    -------
    list of Stale
    """
    wanted = None if eids is None else list(dict.fromkeys(eids))
    store = SessionStore(settings)
    if wanted is not None and len(wanted) == 1:
        table = outcomes.origins(wanted[0])
        sessions = store.load(SESSION, wanted[0]) if sessions is None else sessions
    else:
        table = outcomes.origins()
        sessions = store.collect(SESSION) if sessions is None else sessions
    rows = {} if sessions is None else {row.eid: row for row in sessions.itertuples()}
    made: dict[str, dict[str, Any]] = {}
    for attempt in table.itertuples():
        made.setdefault(attempt.eid, {})[attempt.asset] = attempt
    facts = Facts(settings)
    now = {stage.name: made_with(stage, settings) for stage in all_stages()}
    texts = {name: canonical_text(values) for name, values in now.items()}
    found = []
    for eid in made if wanted is None else wanted:
        own = made.get(eid, {})
        digests = {name: attempt.digest for name, attempt in own.items()}
        for stage in all_stages():
            attempt = own.get(stage.name)
            if attempt is None:
                continue
            why = []
            if attempt.made_with != texts[stage.name]:
                why += changes(_parsed(attempt.made_with), now[stage.name])
            if attempt.made_from is not None:
                current = made_from(stage, eid, rows.get(eid), digests, facts)
                if canonical_text(current) != attempt.made_from:
                    why += _differences(json.loads(attempt.made_from), current)
            found += [Stale(eid, stage.name, reason) for reason in why]
    return found


def made_possible(outcomes: OutcomeStore, eid: str, ran: Collection[str]) -> set[str]:
    """Stages never attempted, of which all inputs are stored and one was made just now.

    Parameters
    ----------
    outcomes : OutcomeStore
    eid : str
    ran : collection of str
        Stages made just now.
    """
    table = outcomes.origins(eid)
    attempted = set(table["asset"])
    stored = set(table.loc[table["state"] == "stored", "asset"])
    return {
        stage.name
        for stage in all_stages()
        if stage.name not in attempted and stored >= set(stage.inputs) and {*stage.inputs} & {*ran}
    }


def tabulate(found: Iterable[Stale]) -> pd.DataFrame:
    """Sessions by asset and reason.

    Returns
    -------
    DataFrame
        Columns asset, sessions, why; in the order of the stages.
    """
    table = pd.DataFrame([vars(item) for item in found], columns=list(COLUMNS))
    counts = table.groupby(["asset", "why"], sort=False)["eid"].nunique()
    rows = counts.rename("sessions").reset_index()[["asset", "sessions", "why"]]
    order = {name: i for i, name in enumerate(stage_names())}
    return rows.sort_values(
        "asset", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    said = []
    old, new = before.get("upstream", {}), now.get("upstream", {})
    changed = [name for name in new if canonical_text(old.get(name)) != canonical_text(new[name])]
    if changed:
        said.append(f"another result of {', '.join(changed)}")
    old, new = before.get("datasets", {}), now.get("datasets", {})
    files = [
        name
        for name in sorted({*old, *new})
        if canonical_text(old.get(name)) != canonical_text(new.get(name))
    ]
    if files:
        said.append(f"other files: {', '.join(files[:3])}{' ...' if len(files) > 3 else ''}")
    if before.get("fibers") != now.get("fibers"):
        said.append("other fibers of the animal in the fiber table")
    if canonical_text(before.get("masks")) != canonical_text(now.get("masks")):
        said.append("other masks in the labels")
    return said


def _parsed(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)


def _known(value: Any) -> Any:
    return None if pd.isna(value) else value
