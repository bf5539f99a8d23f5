"""Probes of a session: their slots, their collections, the sorting that is used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from iblnm.layers.items import SLOTS
from iblnm.layers.registry import Entry, Registry

SORTERS = ("iblsorter", "pykilosort")
BARE_SORTER = "ks2"
SPIKE_TIMES = "spikes.times.npy"
SPIKE_CLUSTERS = "spikes.clusters.npy"
UUIDS = "clusters.uuids.csv"
BOMBCELL_METRICS = "templates._bc_qMetrics.parquet"
# any run, gate and probe number: 3A probes have none, and iblrig writes one or two digits
RAW_AP = re.compile(r"_spikeglx_ephysData.*\.ap\.cbin")
SYNC = re.compile(r"_spikeglx_ephysData.*\.sync\.npy")
_NAME = re.compile(r"(probe\d\d)([a-z]?)")
_COLLECTION = re.compile(r"(?:raw_ephys_data|alf)/(probe[^/]*)(?:/.*)?")


@dataclass(frozen=True)
class Sorting:
    """The spike sorting of a probe that is used.

    Parameters
    ----------
    sorter : str
        ``iblsorter``, ``pykilosort``, or ``ks2`` for the bare folder of the probe.
    collection : str
    times : Entry
        The registered spike times; revision and version are theirs.
    """

    sorter: str
    collection: str
    times: Entry

    @property
    def revision(self) -> str:
        return self.times.revision

    @property
    def version(self) -> str:
        return self.times.version

    @property
    def text(self) -> str:
        """Sorter, revision and version; what is empty is left out.

        Examples
        --------
        >>> entry = Entry("alf/probe00/iblsorter", SPIKE_TIMES, "2025-06-01", True, "1.9.0")
        >>> Sorting("iblsorter", "alf/probe00/iblsorter", entry).text
        'iblsorter#2025-06-01# (1.9.0)'
        """
        revision = f"#{self.revision}#" if self.revision else ""
        version = f" ({self.version})" if self.version else ""
        return f"{self.sorter}{revision}{version}"


def slot_of(name: str | None) -> str | None:
    """Slot of an insertion's name; shanks of one probe share its slot.

    Examples
    --------
    >>> slot_of("probe01"), slot_of("probe00a"), slot_of("probe02"), slot_of("imec0")
    ('probe01', 'probe00', None, None)
    """
    found = _NAME.fullmatch(name or "")
    return found[1] if found and found[1] in SLOTS else None


def probe_names(registry: Registry) -> list[str]:
    """Names of the probes that have a collection, sorted."""
    found = {match[1] for c in registry.collections if (match := _COLLECTION.fullmatch(c))}
    return sorted(found)


def members_of_slots(names: Iterable[str]) -> dict[str, list[str]]:
    """Probe names of each slot: its shanks if there are any, else the probe itself."""
    members: dict[str, list[str]] = {}
    for slot in SLOTS:
        own = sorted({name for name in names if slot_of(name) == slot})
        shanks = [name for name in own if name != slot]
        if own:
            members[slot] = shanks or own
    return members


def choose_sorting(registry: Registry, probe: str) -> Sorting | None:
    """First of the sorters, in order of preference, with spike times of the probe."""
    for sorter in (*SORTERS, BARE_SORTER):
        collection = f"alf/{probe}" if sorter == BARE_SORTER else f"alf/{probe}/{sorter}"
        times = registry.find(collection, SPIKE_TIMES)
        if times is not None:
            return Sorting(sorter, collection, times)
    return None


def raw_file(registry: Registry, probe: str, pattern: re.Pattern[str]) -> Entry | None:
    """A raw file of a probe; shanks are recorded in the folder of their probe or in their own."""
    found = registry.match(f"raw_ephys_data/{probe}", pattern)
    slot = slot_of(probe)
    if found is None and slot is not None and slot != probe:
        found = registry.match(f"raw_ephys_data/{slot}", pattern)
    return found


def bombcell_collection(sorter: str, probe: str) -> str:
    """Folder of bombcell's output for a sorting."""
    return f"spike_sorters/{sorter}/{probe}/bombcell"
