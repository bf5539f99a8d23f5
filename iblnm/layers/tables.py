"""Schemas of the data layers."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from iblnm.errors import MalformedFileError
from iblnm.layers.bombcell import LABELS
from iblnm.layers.histology import STATES, TASKS
from iblnm.layers.items import ITEMS
from iblnm.layers.items import STATES as ITEM_STATES
from iblnm.layers.passive import ADMINISTRATION_SOURCES, EPOCHS, SOURCES
from iblnm.schemas.core import Column, Table

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name")
_PID = Column("pid", "str", "Insertion identifier on Alyx (UUID)")
_PROBE = Column("probe", "str", "Name of the insertion", nullable=False)
_UUID = Column("uuid", "str", "Unit identifier (UUID)", nullable=False)
_START = Column("start_time", "str", "Start of the session, ISO 8601")


@dataclass(frozen=True)
class OpenTable(Table):
    """A table whose further columns depend on the data; they keep their own types.

    Parameters
    ----------
    text : str
        What a further column holds.
    """

    text: str = ""

    def conform(self, df: pd.DataFrame) -> pd.DataFrame:
        known = super().conform(df)
        others = [name for name in df.columns if name not in known]
        odd = [name for name in others if not isinstance(name, str)]
        if odd:
            raise MalformedFileError(f"table {self.name}: columns {odd[:5]} are no texts")
        return pd.concat([known, df[others].reset_index(drop=True)], axis=1)

    def validate(self, df: pd.DataFrame) -> pd.DataFrame:
        conformed = self.conform(df)
        Table.validate(Table(self.name, self.description, self.columns, self.key), conformed)
        return conformed

    def restore(self, df: pd.DataFrame) -> pd.DataFrame:
        return self.conform(df)


@dataclass(frozen=True)
class StatusTable(Table):
    """A table in which the texts of items are ``''`` where there is none, as the document says."""

    def conform(self, df: pd.DataFrame) -> pd.DataFrame:
        conformed = super().conform(df)
        for item in ITEMS:
            if item.kind == "text":
                conformed[item.column] = conformed[item.column].fillna("")
        return conformed


def _item_columns() -> tuple[Column, ...]:
    kinds = {"state": "str", "text": "str", "flag": "bool"}
    return tuple(
        Column(
            item.column,
            kinds[item.kind],
            item.description,
            nullable=item.kind != "state",
            isin=ITEM_STATES if item.kind == "state" else None,
        )
        for item in ITEMS
    )


STATUS_COLUMNS = _item_columns()
_COUNTS = tuple(
    Column(f"n_{name}", "int", text, ge=0)
    for name, text in (
        ("passive_runs", "Runs of the passive protocol"),
        ("unreadable_settings", "Runs whose settings cannot be read"),
        ("inconsistent_revisions", "Probes whose files are of different revisions"),
        ("unknown_probes", "Insertions of a third slot, of an unknown name or of a name twice"),
        ("probes_not_on_disk", "Insertions of Alyx without a folder while another probe has one"),
        ("inconsistent_histology", "Insertions resolved by someone and not resolved, or unpicked"),
    )
)
DATASET_STATUS = StatusTable(
    "dataset_status",
    "Which data of a session exist, and what the rules need to judge it",
    (_EID, *STATUS_COLUMNS, *_COUNTS, Column("note", "str", "What could not be read")),
)
DATASET_DETAIL = Table(
    "dataset_detail",
    "One row per session and item: the file, its place, and the reason for its state",
    (
        _EID,
        Column("item", "str", "Column of dataset_status", nullable=False),
        Column("file", "str", "Name of the file"),
        Column("collection", "str", "Folder within the session"),
        Column("revision", "str", "Revision"),
        Column("version", "str", "Software that made it"),
        Column("size", "int", "Recorded size", "bytes"),
        Column("state", "str", "Value of the item"),
        Column("reason", "str", "Why"),
    ),
    key=("eid", "item"),
)


def _slot_columns(slot: str) -> tuple[Column, ...]:
    times = tuple(
        Column(f"{slot}_{epoch}_{edge}", "float", f"{edge} of {epoch}, {slot}", "s")
        for epoch in EPOCHS
        for edge in ("start", "stop")
    )
    source = Column(f"{slot}_source", "str", "Where the times are from", isin=SOURCES)
    return (*times, source)


EPOCH_COLUMNS = (
    *_slot_columns("task_pre"),
    *_slot_columns("task_post"),
    Column("LSD_admin", "float", "Administration of the drug", "s"),
    Column("LSD_admin_source", "str", "Where it is from", isin=ADMINISTRATION_SOURCES),
)
PASSIVE_EPOCHS = Table(
    "passive_epochs",
    "Epochs of the passive protocol in seconds of the spike clock",
    (
        _EID,
        *EPOCH_COLUMNS,
        Column("condition", "str", "Condition that the experimenter noted"),
        Column("control_recording", "bool", "Whether it is a control recording"),
        Column("n_passive_runs", "int", "Runs of the passive protocol", ge=0),
        *(
            Column(f"{slot}_spontaneous_length", "float", "Length before clipping", "s")
            for slot in ("task_pre", "task_post")
        ),
        Column("clock_shift", "float", "Predicted minus extracted start of the second run", "s"),
        Column("recording_stop", "float", "End of the recording", "s"),
        Column("tone_bug", "str", "Version of iblrig that played the tone for the noise"),
        Column("note", "str", "What could not be used"),
    ),
)
INSERTIONS = Table(
    "insertions",
    "One row per probe insertion",
    (
        Column("pid", "str", "Insertion identifier on Alyx (UUID)", nullable=False),
        _EID,
        Column("probe", "str", "Name of the insertion"),
        _SUBJECT,
        Column("lab", "str", "Recording lab"),
        _START,
        Column("number", "int", "Number of the session on its day"),
        Column("session_n", "float", "Index of the session within its subject"),
        Column("model", "str", "Model of the probe"),
        Column("serial", "str", "Serial number"),
        Column("ephys_qc", "str", "Quality verdict of the recording"),
        Column("n_units", "int", "Units"),
        Column("n_units_qc_pass", "int", "Units that pass"),
        Column("firing_rate_median", "float", "Median rate of the units", "Hz"),
        Column("firing_rate_max", "float", "Largest rate of the units", "Hz"),
        Column("drift_rms_um", "float", "Drift", "um"),
        Column("n_picks", "int", "Points picked along the track"),
        Column("tracing_exists", "bool", "Whether Alyx says that the track is traced"),
        Column("tracing_qc", "str", "Verdict on the tracing"),
        Column("alignment_count", "int", "Alignments uploaded"),
        Column("alignment_date", "str", "Last alignment, ISO 8601"),
        Column("alignment_resolved", "bool", "Whether the alignment is resolved"),
        Column("alignment_resolved_by", "str", "What resolved it"),
        Column("alignment_similarity", "float", "Similarity of the alignments"),
        Column("alignment_qc", "str", "Outcome of a person who resolved it"),
        Column("experimenter_qc", "str", "Verdict of the experimenter"),
        Column("histology_qc", "str", "Verdict on the histology"),
        Column("sorter", "str", "Sorter of the spikes that are used"),
        Column("revision", "str", "Their revision"),
        Column("version", "str", "Their version"),
        Column("bombcell_good", "float", "Share of GOOD units of bombcell"),
        Column("histology_state", "str", "Highest rung reached", isin=STATES),
    ),
    key=("pid",),
)
HISTOLOGY_STATUS = Table(
    "histology_status",
    "State of the histology of each probe and what is to be done next",
    (
        _SUBJECT,
        _EID,
        _START,
        _PID,
        _PROBE,
        Column("image_stacks", "bool", "Whether the image stacks are listed"),
        Column("picks", "bool", "Whether the track is picked"),
        Column("alignment_uploaded", "bool", "Whether an alignment is uploaded"),
        Column("alignment_resolved", "bool", "Whether it is resolved"),
        Column("state", "str", "Highest rung reached", nullable=False, isin=STATES),
        Column("next_task", "str", "What is to be done", isin=TASKS),
    ),
    key=("eid", "probe"),
)
_UNIT = (
    _UUID,
    Column("cluster_id", "int", "Number of the cluster", nullable=False, ge=0),
    _EID,
    _PID,
    _PROBE,
    _SUBJECT,
    Column("session_n", "float", "Index of the session within its subject"),
    Column("channel", "int", "Peak channel"),
    Column("depth", "float", "Depth along the probe", "um"),
    Column("axial_um", "float", "Position of the peak channel along the probe", "um"),
    Column("lateral_um", "float", "Position across the probe", "um"),
    *(Column(name, "float", f"Coordinate {name} of the peak channel", "m") for name in "xyz"),
    Column("atlas_id", "int", "Region's number in the Allen atlas"),
    Column("region", "str", "Acronym of the region"),
    Column("coarse_region", "str", "Major division of the brain"),
    Column("histology", "str", "File that gives the region"),
    Column("n_spikes", "int", "Spikes", nullable=False, ge=0),
    Column("sorter", "str", "Sorter"),
)
UNITS = OpenTable(
    "units",
    "One row per unit: place, counts and every column of clusters.metrics.pqt",
    _UNIT,
    key=("uuid",),
    text="Metrics of the sorting",
)
SPIKES = Table(
    "spikes",
    "What was stored of the spikes of each probe, and what does not fit",
    (
        _EID,
        _PROBE,
        _PID,
        Column("sorting", "str", "Sorter, revision and version"),
        Column("n_units", "int", "Units"),
        Column("n_spikes", "int", "Spikes"),
        Column("n_duplicates", "int", "Spikes that are another spike's double"),
        Column("fault", "str", "What does not fit"),
        Column("mask_n", "int", "Spikes that bombcell's own mask marks"),
        Column("mask_drift", "float", "Excess of its mask in the last quarter over the first"),
        Column("mask_fault", "str", "Why its mask cannot be compared"),
    ),
    key=("eid", "probe"),
)
BOMBCELL = OpenTable(
    "bombcell",
    "Metrics and label of bombcell, one row per cluster",
    (
        Column("uuid", "str", "Unit identifier (UUID)"),
        _PID,
        _EID,
        _PROBE,
        Column("cluster_id", "int", "Number of the cluster", nullable=False),
        Column("bc_unitType", "str", "Label of bombcell", isin=LABELS),
    ),
    key=("eid", "probe", "cluster_id"),
    text="Metrics of bombcell",
)
SINGLE_UNIT = OpenTable(
    "single_unit",
    "Metrics of single units before and after. A small MIp tells that a unit changed, not that "
    "a drug changed it: of units that merely drift (log rate sd 0.3, 200 s) two of three are "
    "below 0.05",
    (_UUID, _EID, Column("region", "str", "Region"), Column("coarse_region", "str", "Division")),
    key=("uuid",),
    text="{epoch}_{metric}[_dt{ms}]_{pre,post,MI,MIp}",
)
POPULATION = OpenTable(
    "population",
    "Dimensionality of sessions and regions, per epoch and in windows around the administration",
    (
        _EID,
        Column("region", "str", "all, or a coarse region", nullable=False),
        Column("kind", "str", "Epoch, or window", nullable=False),
        Column("side", "str", "Before or after", isin=("pre", "post")),
        Column("start", "float", "Start", "s"),
        Column("stop", "float", "Stop", "s"),
        Column("from_administration", "float", "Center, from the administration", "s"),
        Column("n_units", "int", "Units that vary"),
        Column("n_matched", "int", "Units of each draw"),
    ),
    key=("eid", "region", "kind", "start"),
    text="Metrics at equal numbers of units, {metric}_all, and similarity",
)
CONDITION_EFFECTS = Table(
    "condition_effects",
    "Task by condition with the animal as unit: estimates, permutation over animals, corrected p",
    (
        Column("source", "str", "Table of the metric", nullable=False),
        Column("metric", "str", "Metric", nullable=False),
        Column("region", "str", "all, or a coarse region", nullable=False),
        Column("condition", "str", "Condition against control", nullable=False),
        Column("estimate", "float", "Change under the condition minus change under control"),
        Column("se", "float", "Standard error of the mixed model"),
        Column("n_subjects", "int", "Animals"),
        Column("n_sessions", "int", "Sessions"),
        Column("p", "float", "Of permutations over animals"),
        Column("p_corrected", "float", "Corrected"),
        Column("correction", "str", "Method and family"),
        Column("note", "str", "Why there is no estimate"),
    ),
    key=("source", "metric", "region", "condition"),
)


def sessions_columns() -> tuple[Column, ...]:
    """What the data layers add to the table of sessions."""
    return (
        *STATUS_COLUMNS,
        *EPOCH_COLUMNS,
        Column("condition", "str", "Condition that the experimenter noted"),
        Column("control_recording", "bool", "Whether it is a control recording"),
        Column("n_probes", "int", "Probes", ge=0),
        Column("n_tasks", "int", "Runs of tasks", ge=0),
    )


def sessions_schema() -> Table:
    """The table of sessions of a root of data layers."""
    from iblnm.schemas import SESSIONS_TABLE

    optional = tuple(
        Column(c.name, c.dtype, c.description, c.unit, True, c.ge, c.le, c.isin)
        for c in sessions_columns()
    )
    return StatusTable(
        "layer_sessions",
        "One row per session: metadata, status of its data and epochs",
        (*SESSIONS_TABLE.columns, *optional),
    )


def catalog_tables() -> dict[str, Table]:
    """Tables over all sessions by name."""
    found = (
        sessions_schema(),
        DATASET_DETAIL,
        INSERTIONS,
        HISTOLOGY_STATUS,
        UNITS,
        BOMBCELL,
        SINGLE_UNIT,
        POPULATION,
        CONDITION_EFFECTS,
    )
    return {table.name: table for table in found}
