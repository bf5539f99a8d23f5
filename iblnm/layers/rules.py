"""Rules of the data layers, one decorated function each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.layers import items
from iblnm.layers.passive import EPOCHS
from iblnm.pipeline.rules.outcome import Finding, not_evaluated
from iblnm.pipeline.rules.registry import RuleError, rule
from iblnm.pipeline.rules.values import Row, as_row, get

_STATUS: dict[str, Any] = {"asset": "dataset_status", "level": "session"}
_EPOCHS: dict[str, Any] = {"asset": "passive_epochs", "level": "session"}
_UNITS: dict[str, Any] = {"asset": "units", "level": "session"}
_SPIKES: dict[str, Any] = {"asset": "spikes", "level": "session"}
_BOMBCELL: dict[str, Any] = {"asset": "bombcell", "level": "session"}


def _none(_: Settings) -> float:
    return 0.0


def _cells(row: Row, state: str) -> list[str]:
    row = as_row(row)
    return [name for name in items.STATUS_COLUMNS if get(row, name) == state]


def _count(row: Row, name: str, what: str) -> Finding:
    row = as_row(row)
    n = get(row, name)
    if n is None:
        return not_evaluated(f"{name} is not known")
    note = get(row, "note") or ""
    return Finding(n == 0, float(n), f"{int(n)} {what}; 0 are expected. {note}".strip())


class ExtractionError(RuleError):
    """Raw data are there and what is made of them is not."""


@rule(
    ExtractionError,
    **_STATUS,
    severity="ERROR",
    threshold=_none,
    unit="items",
    description="Everything has been extracted of which the raw data are there.",
)
def extraction_error(dataset_status: Row) -> Finding:
    found = _cells(dataset_status, items.EXTRACTION_ERROR)
    message = f"{len(found)} items with raw data are not extracted; 0 are expected"
    names = f": {', '.join(found)}." if found else "."
    return Finding(not found, float(len(found)), message + names)


class RawDataMissing(RuleError):
    """Raw data of an item are not registered."""


@rule(
    RawDataMissing,
    **_STATUS,
    severity="WARN",
    threshold=_none,
    unit="items",
    description="The raw data of every item are registered, but those of a probe that is not.",
)
def raw_data_missing(dataset_status: Row) -> Finding:
    unused = items.unused_probe(as_row(dataset_status))
    found = [name for name in _cells(dataset_status, items.RAW_MISSING) if name not in unused]
    names = f": {', '.join(found)}." if found else "."
    return Finding(
        not found, float(len(found)), f"{len(found)} items without raw data; 0 are expected{names}"
    )


class UnreadableTaskSettings(RuleError):
    """Settings of a task run cannot be used."""


@rule(
    UnreadableTaskSettings,
    **_STATUS,
    severity="WARN",
    threshold=_none,
    unit="runs",
    description="The settings of every task run can be read and name a protocol.",
)
def unreadable_task_settings(dataset_status: Row) -> Finding:
    return _count(dataset_status, "n_unreadable_settings", "runs have no usable settings")


class PassiveRunCount(RuleError):
    """A session has not the expected number of passive runs."""


@rule(
    PassiveRunCount,
    **_STATUS,
    severity="WARN",
    threshold=lambda s: float(s.layers.n_passive_runs),
    unit="runs",
    description="The passive protocol ran once before and once after.",
)
def passive_run_count(dataset_status: Row, settings: Settings) -> Finding:
    n, wanted = get(as_row(dataset_status), "n_passive_runs"), settings.layers.n_passive_runs
    if n is None:
        return not_evaluated("the number of runs is not known")
    return Finding(n == wanted, float(n), f"{int(n)} passive runs; {wanted} are expected.")


class InconsistentRevision(RuleError):
    """Files of one sorting are of different revisions."""


@rule(
    InconsistentRevision,
    **_STATUS,
    severity="WARN",
    threshold=_none,
    unit="probes",
    description="Spike times and clusters of a probe are of one revision.",
)
def inconsistent_revision(dataset_status: Row) -> Finding:
    return _count(dataset_status, "n_inconsistent_revisions", "probes mix revisions")


class UnknownProbeLayout(RuleError):
    """Insertions that have no slot."""


@rule(
    UnknownProbeLayout,
    **_STATUS,
    severity="WARN",
    threshold=_none,
    unit="insertions",
    description="There are at most two probes, each with a name of its own.",
)
def unknown_probe_layout(dataset_status: Row) -> Finding:
    return _count(dataset_status, "n_unknown_probes", "insertions have no slot of their own")


class ProbeNotOnDisk(RuleError):
    """Alyx names a probe that has no folder, while another has one."""


@rule(
    ProbeNotOnDisk,
    **_STATUS,
    severity="WARN",
    threshold=_none,
    unit="insertions",
    description="Every insertion of Alyx has a folder of its name.",
)
def probe_not_on_disk(dataset_status: Row) -> Finding:
    return _count(dataset_status, "n_probes_not_on_disk", "insertions have no folder")


class HistologyUnknown(RuleError):
    """Whether there are image stacks could not be found out."""


@rule(
    HistologyUnknown,
    **_STATUS,
    severity="WARN",
    threshold=_none,
    unit="animals",
    description="The data server says which image stacks the animal has.",
)
def histology_unknown(dataset_status: Row) -> Finding:
    known = get(as_row(dataset_status), "image_stacks") is not None
    text = "is known" if known else "could not be found out"
    return Finding(known, 0.0 if known else 1.0, f"Whether there are image stacks {text}.")


class HistologyInconsistent(RuleError):
    """Alignment fields of an insertion contradict each other."""


@rule(
    HistologyInconsistent,
    **_STATUS,
    severity="WARN",
    threshold=_none,
    unit="insertions",
    description="What is resolved has picks, and what was resolved by someone is resolved.",
)
def histology_inconsistent(dataset_status: Row) -> Finding:
    return _count(dataset_status, "n_inconsistent_histology", "insertions contradict themselves")


def _windows(row: Row) -> list[tuple[str, float, float]]:
    row = as_row(row)
    found = []
    for slot in items.PASSIVE_SLOTS:
        for epoch in EPOCHS:
            start, stop = get(row, f"{slot}_{epoch}_start"), get(row, f"{slot}_{epoch}_stop")
            if start is not None and stop is not None:
                found.append((f"{slot} {epoch}", float(start), float(stop)))
    return found


class EpochsOrder(RuleError):
    """Epochs overlap, are out of order, or outside the recording."""


@rule(
    EpochsOrder,
    **_EPOCHS,
    severity="ERROR",
    threshold=_none,
    unit="epochs",
    description="Epochs follow each other without overlap, inside the recording.",
)
def epochs_order(passive_epochs: Row) -> Finding:
    windows = _windows(passive_epochs)
    if not windows:
        return not_evaluated("no epoch is known")
    stop_s = get(as_row(passive_epochs), "recording_stop")
    bad, previous = [], 0.0
    for name, start, stop in windows:
        outside = stop_s is not None and stop > stop_s
        if start >= stop or start < previous or outside:
            bad.append(f"{name} from {start:.1f} to {stop:.1f} s")
        previous = max(previous, stop)
    names = f": {', '.join(bad)}." if bad else "."
    return Finding(
        not bad, float(len(bad)), f"{len(bad)} epochs out of order; 0 are expected{names}"
    )


class SpontaneousLength(RuleError):
    """The spontaneous epoch has not the expected length."""


@rule(
    SpontaneousLength,
    **_EPOCHS,
    severity="WARN",
    threshold=lambda s: s.layers.max_spontaneous_deviation_s,
    unit="s",
    description="Spontaneous activity was recorded for 300 s in each run.",
)
def spontaneous_length(passive_epochs: Row, settings: Settings) -> Finding:
    row, limits = as_row(passive_epochs), settings.layers
    lengths = [get(row, f"{slot}_spontaneous_length") for slot in items.PASSIVE_SLOTS]
    lengths = [float(length) for length in lengths if length is not None]
    if not lengths:
        return not_evaluated("no run is extracted")
    worst = max(abs(length - limits.spontaneous_s) for length in lengths)
    text = " and ".join(f"{length:.1f}" for length in lengths)
    return Finding(
        worst <= limits.max_spontaneous_deviation_s,
        worst,
        f"Spontaneous activity lasts {text} s; {limits.spontaneous_s:g} ± "
        f"{limits.max_spontaneous_deviation_s:g} s are expected.",
    )


class EpochsEstimated(RuleError):
    """Times of epochs are estimated."""


@rule(
    EpochsEstimated,
    **_EPOCHS,
    severity="WARN",
    threshold=_none,
    unit="runs",
    description="The times of all epochs were extracted from the recording.",
)
def epochs_estimated(passive_epochs: Row) -> Finding:
    row = as_row(passive_epochs)
    sources = {slot: get(row, f"{slot}_source") for slot in items.PASSIVE_SLOTS}
    found = [f"{slot}: {source}" for slot, source in sources.items() if "estimated" in str(source)]
    return Finding(
        not found,
        float(len(found)),
        f"{len(found)} runs with estimated times; 0 are expected. {', '.join(found)}".strip(),
    )


class ClockShift(RuleError):
    """The rig's clock and the recording disagree."""


@rule(
    ClockShift,
    **_EPOCHS,
    severity="WARN",
    threshold=lambda s: s.layers.max_clock_shift_s,
    unit="s",
    description="The second run begins where the rig's clock says.",
)
def clock_shift(passive_epochs: Row, settings: Settings) -> Finding:
    shift, limit = get(as_row(passive_epochs), "clock_shift"), settings.layers.max_clock_shift_s
    if shift is None:
        return not_evaluated("not both runs are extracted and dated")
    return Finding(
        abs(shift) <= limit,
        abs(float(shift)),
        f"Predicted minus extracted start is {shift:.2f} s; at most {limit:g} s are expected.",
    )


class ReplayToneBug(RuleError):
    """The replay played the tone where the noise was due."""


@rule(
    ReplayToneBug,
    **_EPOCHS,
    severity="WARN",
    description="The version of iblrig (not 8.0.0 to 8.27.3) played the noise in the replay.",
)
def replay_tone_bug(passive_epochs: Row) -> Finding:
    version = get(as_row(passive_epochs), "tone_bug")
    if version is None:
        return Finding(True, None, "No run is of a version that played the tone for the noise.")
    return Finding(False, None, f"iblrig {version} played the tone for the noise in the replay.")


class SpikesClustersMismatch(RuleError):
    """Times, clusters and uuids of a sorting do not fit each other."""


@rule(
    SpikesClustersMismatch,
    **_SPIKES,
    severity="BLOCK",
    threshold=_none,
    unit="probes",
    description="Spike times, cluster numbers and uuids fit each other; times are in order.",
)
def spikes_clusters_mismatch(spikes: pd.DataFrame) -> Finding:
    bad = spikes.dropna(subset=["fault"])
    text = "; ".join(f"{row.probe}: {row.fault}" for row in bad.itertuples())
    return Finding(
        bad.empty,
        float(len(bad)),
        f"{len(bad)} probes with spikes that do not fit; 0 are expected. {text}".strip(),
    )


class DuplicateFraction(RuleError):
    """Many spikes were found twice."""


@rule(
    DuplicateFraction,
    **_SPIKES,
    severity="WARN",
    threshold=lambda s: s.layers.max_duplicate_fraction,
    unit="fraction",
    description="Few spikes were found twice.",
)
def duplicate_fraction(spikes: pd.DataFrame, settings: Settings) -> Finding:
    known = spikes.dropna(subset=["n_duplicates"])
    if known.empty or not known["n_spikes"].sum():
        return not_evaluated("duplicates are not known")
    worst = float((known["n_duplicates"] / known["n_spikes"].clip(lower=1)).max())
    limit = settings.layers.max_duplicate_fraction
    return Finding(
        worst <= limit,
        worst,
        f"{worst:.3%} of the spikes of a probe are duplicates; at most {limit:.1%} are expected.",
    )


class UnitsWithoutMetrics(RuleError):
    """Units lack the metrics of the sorting."""


@rule(
    UnitsWithoutMetrics,
    **_UNITS,
    severity="WARN",
    threshold=lambda s: s.layers.max_units_without_metrics,
    unit="fraction",
    description="Units with spikes have metrics of the sorting.",
)
def units_without_metrics(units: pd.DataFrame, settings: Settings) -> Finding:
    limit = settings.layers.max_units_without_metrics
    own = units[units["n_spikes"] > 0]
    if own.empty:
        return not_evaluated("no unit has spikes")
    metrics = own.columns[list(own.columns).index("sorter") + 1 :]
    without = float(own[metrics].isna().all(axis=1).mean()) if len(metrics) else 1.0
    return Finding(
        without <= limit,
        without,
        f"{without:.1%} of {len(own)} units with spikes have no metrics; at most {limit:.0%} are "
        "expected.",
    )


class UnlocatedUnits(RuleError):
    """Units have no region."""


@rule(
    UnlocatedUnits,
    **_UNITS,
    severity="WARN",
    threshold=lambda s: s.layers.max_unlocated_units,
    unit="fraction",
    description="Every unit has a brain region.",
)
def unlocated_units(units: pd.DataFrame, settings: Settings) -> Finding:
    limit = settings.layers.max_unlocated_units
    without = float(units["region"].isna().mean()) if len(units) else np.nan
    if len(units) == 0:
        return not_evaluated("the session has no units")
    return Finding(
        without <= limit,
        without,
        f"{without:.1%} of {len(units)} units have no region; at most {limit:.0%} are expected.",
    )


class BombcellWithoutLabels(RuleError):
    """Output of bombcell has no labels."""


@rule(
    BombcellWithoutLabels,
    **_BOMBCELL,
    severity="WARN",
    threshold=_none,
    unit="units",
    description="Bombcell has labeled every unit.",
)
def bombcell_without_labels(bombcell: pd.DataFrame) -> Finding:
    n = int(bombcell["bc_unitType"].isna().sum())
    return Finding(
        n == 0, float(n), f"{n} of {len(bombcell)} units have no label; 0 are expected."
    )


class BombcellUnmatched(RuleError):
    """Output of bombcell has clusters that the sorting lacks."""


@rule(
    BombcellUnmatched,
    **_BOMBCELL,
    severity="WARN",
    threshold=_none,
    unit="clusters",
    description="Every cluster of bombcell is a unit of the sorting that is used.",
)
def bombcell_unmatched(bombcell: pd.DataFrame) -> Finding:
    n = int(bombcell["uuid"].isna().sum())
    return Finding(
        n == 0, float(n), f"{n} of {len(bombcell)} clusters are no units; 0 are expected."
    )


class BombcellMaskDrift(RuleError):
    """Bombcell's mask of duplicates grows along the recording."""


@rule(
    BombcellMaskDrift,
    **_BOMBCELL,
    severity="WARN",
    threshold=lambda s: s.layers.max_mask_drift,
    unit="fraction",
    description="Bombcell's own mask of duplicates, which is not used, does not grow with time.",
)
def bombcell_mask_drift(spikes: pd.DataFrame, settings: Settings) -> Finding:
    limit = settings.layers.max_mask_drift
    faults = spikes["mask_fault"].dropna()
    if len(faults):
        return Finding(False, None, f"The mask cannot be compared: {faults.iloc[0]}.")
    drift = spikes["mask_drift"].dropna()
    if drift.empty:
        return not_evaluated("bombcell wrote no mask")
    worst = float(drift.abs().max())
    return Finding(
        worst <= limit,
        worst,
        f"Its excess grows by {worst:.3%} of the spikes; at most {limit:.1%} are expected.",
    )
