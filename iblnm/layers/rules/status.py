"""Rules on what is registered for a session, `dataset_status`."""

from __future__ import annotations

from typing import Any

from iblnm.config import Settings
from iblnm.layers import items
from iblnm.pipeline.rules.outcome import Finding, not_evaluated
from iblnm.pipeline.rules.registry import RuleError, rule
from iblnm.pipeline.rules.values import Row, as_row, get

_STATUS: dict[str, Any] = {"asset": "dataset_status", "level": "session"}


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
    threshold=lambda _: 0.0,
    unit="items",
    description="Everything has been extracted of which the raw data are there.",
    remedy=(
        "The page Datasets names the file that lacks, and what it is made of: run the "
        "extraction of that item again."
    ),
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
    threshold=lambda _: 0.0,
    unit="items",
    description="The raw data of every item are registered, but those of a probe that is not.",
    remedy=(
        "Find the raw files on the rig or the lab's server and register them, or leave the item."
    ),
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
    threshold=lambda _: 0.0,
    unit="runs",
    description="The settings of every task run can be read and name a protocol.",
    remedy=(
        "Look at _iblrig_taskSettings.raw.json of the run that the message names and restore "
        "it from the rig."
    ),
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
    remedy=(
        "Look at the raw_task_data folders of the session: a run was not registered, or was "
        "started twice."
    ),
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
    threshold=lambda _: 0.0,
    unit="probes",
    description="Spike times and clusters of a probe are of one revision.",
    remedy=(
        "Sort the probe again or register all files of one revision; values of two sortings "
        "do not fit each other."
    ),
)
def inconsistent_revision(dataset_status: Row) -> Finding:
    return _count(dataset_status, "n_inconsistent_revisions", "probes mix revisions")


class UnknownProbeLayout(RuleError):
    """Insertions that have no slot."""


@rule(
    UnknownProbeLayout,
    **_STATUS,
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="insertions",
    description="There are at most two probes, each with a name of its own.",
    remedy=(
        "Correct the names of the insertions on Alyx: probe00 and probe01, shanks as "
        "probe00a, probe00b."
    ),
)
def unknown_probe_layout(dataset_status: Row) -> Finding:
    return _count(dataset_status, "n_unknown_probes", "insertions have no slot of their own")


class ProbeNotOnDisk(RuleError):
    """Alyx names a probe that has no folder, while another has one."""


@rule(
    ProbeNotOnDisk,
    **_STATUS,
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="insertions",
    description="Every insertion of Alyx has a folder of its name.",
    remedy=(
        "Rename the insertion on Alyx to the folder of its recording, or register the missing "
        "folder."
    ),
)
def probe_not_on_disk(dataset_status: Row) -> Finding:
    return _count(dataset_status, "n_probes_not_on_disk", "insertions have no folder")


class HistologyUnknown(RuleError):
    """Whether there are image stacks could not be found out."""


@rule(
    HistologyUnknown,
    **_STATUS,
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="animals",
    description="The data server says which image stacks the animal has.",
    remedy=(
        "Ask again when the data server can be reached (user and password are settings); what "
        "is unknown is not counted as missing."
    ),
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
    threshold=lambda _: 0.0,
    unit="insertions",
    description="What is resolved has picks, and what was resolved by someone is resolved.",
    remedy=(
        "Look at the insertion on Alyx: set or withdraw alignment_resolved, or upload the picks."
    ),
)
def histology_inconsistent(dataset_status: Row) -> Finding:
    return _count(dataset_status, "n_inconsistent_histology", "insertions contradict themselves")
