"""Outputs as another program writes them: exactly the layout of the user's document.

No attributes, columns or provenance that only our writer adds.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

SCALARS = [
    "eid",
    "subject",
    "start_time",
    "number",
    "task_protocol",
    "session_type",
    "lab",
    "NM",
    "strain",
    "line",
    "end_time",
    "session_length",
    "day_n",
    "session_n",
    "url",
]
LISTS = ["genotype", "projects", "users", "brain_region", "hemisphere", "target_NM", "datasets"]
TRIALS = [
    "stimOn_times",
    "firstMovement_times",
    "feedback_times",
    "response_times",
    "choice",
    "feedbackType",
    "probabilityLeft",
    "signed_contrast",
    "contrast",
    "stim_side",
]
SESSION_COLUMNS = [
    "eid",
    "subject",
    "start_time",
    "session_type",
    "NM",
    "brain_region",
    "hemisphere",
    "target_NM",
    "lab",
    "day_n",
    "session_n",
    "session_length",
    "strain",
    "line",
    "genotype",
    "datasets",
]


def rewrite_session_file(source: Path, target: Path, *, text: str = "fixed") -> None:
    """Write what a session file of ours holds as the document lays it out.

    Parameters
    ----------
    text : {'fixed', 'variable'}
        How text is stored.
    """
    from iblnm.storage.h5 import read_groups

    groups = read_groups(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(target, "w") as file:
        _metadata(file, groups["metadata"].iloc[0], text)
        file.create_group("errors")
        trials = groups["trials"]
        for name in TRIALS:
            _column(file.require_group("trials"), name, trials[name], text)
        for name, recording in groups.get("photometry/preprocessed", {}).items():
            group = file.create_group(f"photometry/{name}/preprocessed")
            group["times"] = recording["time"].to_numpy()
            group["signal"] = recording["signal"].to_numpy()
            group.attrs["fs"] = 30
        for name, responses in groups.get("photometry/responses", {}).items():
            group = file.create_group(f"photometry/{name}/responses")
            group["times"] = responses["time"].to_numpy()
            group["trials"] = responses["trial"].to_numpy().astype(np.int64)
            for event in responses["event"].to_numpy():
                group[str(event)] = responses.sel(event=event).to_numpy()
            group.attrs.update(fs=30, response_window=[-1.0, 1.0])
        if "photometry/qc" in groups:
            for name, rows in groups["photometry/qc"].groupby("brain_region"):
                group = file.create_group(f"photometry/{name}/qc")
                for column in ("band", "brain_region", "n_unique_samples", "ar_score"):
                    if column in rows:
                        _column(group, column, rows[column], text)
        if "wheel" in groups:
            group = file.create_group("wheel/responses")
            group["velocity"] = groups["wheel"].to_numpy().astype(np.float32)
            group.attrs.update(fs=100, t0_event="stimOn_times", t1_event="feedback_times")


def rewrite_sessions_table(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of the document, with '' where a side is not known."""
    sides = [[side or "" for side in sides] for sides in table["hemisphere"]]
    return table.assign(hemisphere=sides)[SESSION_COLUMNS]


def _metadata(file: h5py.File, row: pd.Series, text: str) -> None:
    group = file.create_group("metadata")
    for name in SCALARS:
        value = row.get(name)
        is_null = value is None or (np.isscalar(value) and pd.isna(value))
        group.attrs[name] = "__none__" if is_null else value
    for name in LISTS:
        value = row.get(name)
        values = [] if value is None else ["" if item is None else item for item in value]
        _column(group, name, pd.Series(values, dtype=object), text)


def _column(group: h5py.Group, name: str, values: pd.Series, text: str) -> None:
    if values.dtype.kind in "biuf":
        group[name] = values.to_numpy()
        return
    texts = [str(value) for value in values]
    if text == "variable":
        group.create_dataset(name, data=np.array(texts, object), dtype=h5py.string_dtype())
    else:
        encoded = [value.encode() for value in texts]
        length = max(map(len, [b" ", *encoded]))
        group.create_dataset(name, data=np.array(encoded, dtype=f"S{length}"))
