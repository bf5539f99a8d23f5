"""The document of one session: all that its page shows, in compressed blocks.

One block tells of the session, and one of each fiber, so that a page loads what it shows.
The live viewer and the report draw the same document with the same script.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from iblnm.config import Settings
from iblnm.constants import TRIAL_EVENTS
from iblnm.errors import DataError
from iblnm.pipeline.graph import all_stages
from iblnm.pipeline.rules import RULES
from iblnm.storage.store import SessionStore
from iblnm.viewer.contents import (
    Contents,
    NotThereError,
    read_contents,
    shown_stages,
    title,
)
from iblnm.viewer.panel import Axis, Panel
from iblnm.viewer.stamp import stamp_of
from iblnm.viewer.wire import Packer, compress, plain

SESSION_BLOCK = "session"


@dataclass(frozen=True)
class Document:
    """Compressed blocks by name.

    Parameters
    ----------
    eid : str
    stamp : str
        Changes with the files that the document was made from; see `stamp_of`.
    blocks : dict of str to bytes
        ``session``, and ``fiber-0``, ``fiber-1``, ... in the order of the recordings.
    """

    eid: str
    stamp: str
    blocks: dict[str, bytes]


def stored_document(store: SessionStore, eid: str, settings: Settings) -> Document:
    """The document of a session from what is stored of it.

    Raises
    ------
    InvalidNameError
        If the eid is none.
    """
    stamp = stamp_of(settings.root, eid)
    contents = read_contents(store, eid, settings)
    return build_document(contents, provenance=_provenance(settings, eid), stamp=stamp)


def build_document(
    contents: Contents,
    *,
    provenance: Mapping[str, Any] | None = None,
    stamp: str = "",
) -> Document:
    """Put together what the pages of a session show.

    Parameters
    ----------
    contents : Contents
    provenance : mapping, optional
        By asset: software, parameters, inputs.
    stamp : str
    """
    axis = time_axis(contents)
    declared = {panel: stage for stage in all_stages() for panel in stage.panels}
    panels = tuple(declared)
    blocks = {}
    for i, recording in enumerate(contents.recordings):
        packer = Packer()
        drawn = _build(panels, "fiber", contents, packer, axis, recording)
        blocks[f"fiber-{i}"] = compress(packer.pack({"panels": drawn}))
    packer = Packer()
    head = {
        "eid": contents.eid,
        "stamp": stamp,
        "title": title(contents.row),
        "facts": _facts(contents),
        "axis": {
            "start": axis.start,
            "stop": axis.stop,
            "bins": axis.n_bins,
            "clock": _clock(contents),
        },
        "recordings": contents.recordings,
        "order": [
            {
                **{key: getattr(p, key) for key in ("name", "title", "kind", "scope")},
                "stage": stage.name,
                "group": stage.group,
            }
            for p, stage in declared.items()
        ],
        "style": _style(contents.settings, contents.recordings),
        "events": _events(contents, packer),
        "trials": _trials(contents, packer),
        "panels": _build(panels, "session", contents, packer, axis, {}),
        "missing": {
            asset: contents.why_missing(asset)
            for asset in shown_stages()
            if contents.stored.get(asset) is None
        },
        "checks": _checks(contents),
        "failures": [
            {"asset": name, "error_type": a.error_type, "error_message": contents.told_by(a)}
            for name, a in contents.attempts.items()
            if a.state == "failed"
        ],
        "provenance": provenance or {},
        "source": _source(contents),
    }
    blocks[SESSION_BLOCK] = compress(packer.pack(head))
    return Document(contents.eid, stamp, blocks)


def time_axis(contents: Contents) -> Axis:
    """From the first to the last sample, in whole seconds; from trials if there are none."""
    found: list[float] = []
    preprocessed = contents.stored.get("preprocessed") or {}
    for recording in preprocessed.values():
        times = recording["time"].to_numpy()
        found += [times[0], times[-1]] if len(times) else []
    try:
        for frame in contents.need_bands().values():
            found += [frame.index[0], frame.index[-1]]
    except NotThereError:
        pass
    if not found and contents.trials is not None and len(contents.trials):
        times = contents.trials[
            [name for name in TRIAL_EVENTS if name in contents.trials]
        ].to_numpy()
        times = times[np.isfinite(times)]
        found += [times.min() - 5, times.max() + 5] if times.size else []
    if not found:
        return Axis(0.0, 1.0)
    return Axis(float(math.floor(min(found))), float(math.ceil(max(found))))


def _clock(contents: Contents) -> str:
    """Clock of the times that are shown: that of the signal, if there is one."""
    reference = contents.stored.get("photometry")
    return "session" if reference is None or reference.empty else str(reference["clock"].iloc[0])


def _build(
    panels: Iterable[Panel],
    scope: str,
    contents: Contents,
    packer: Packer,
    axis: Axis,
    recording: Mapping[str, Any],
) -> dict[str, Any]:
    drawn = {}
    for panel in panels:
        if panel.scope != scope:
            continue
        try:
            drawn[panel.name] = panel.build(contents, packer, axis, recording)
        except NotThereError as error:
            drawn[panel.name] = {"missing": str(error)}
        except DataError as error:
            drawn[panel.name] = {"missing": f"Cannot be shown: {error.message}"}
    return drawn


def _events(contents: Contents, packer: Packer) -> dict[str, Any]:
    from iblnm.vis.panels import EVENT_LABELS

    trials = contents.trials
    if trials is None:
        return {"missing": contents.why_missing("trials")}
    return {
        name: {
            "label": EVENT_LABELS[name],
            # to half a millisecond after two hours
            "times": packer.array(np.sort(trials[name].dropna().to_numpy(dtype=float))),
            "n_missing": int(trials[name].isna().sum()),
        }
        for name in TRIAL_EVENTS
        if name in trials
    }


def _trials(contents: Contents, packer: Packer) -> dict[str, Any]:
    trials = contents.trials
    if trials is None:
        return {"n": 0}
    columns = ("signed_contrast", "contrast", "feedbackType", "reaction_time")
    return {
        "n": len(trials),
        **{
            name: packer.array(trials[name].to_numpy(dtype=float, na_value=np.nan))
            for name in columns
            if name in trials
        },
    }


def _facts(contents: Contents) -> dict[str, Any]:
    keys = ("subject", "start_time", "end_time", "lab", "session_type", "NM", "line", "strain")
    keys += ("task_protocol", "qc", "url")
    facts = {key: plain(contents.row.get(key)) for key in keys}
    facts["n_trials"] = None if contents.trials is None else len(contents.trials)
    performance = contents.stored.get("performance")
    if performance is not None and len(performance):
        facts["fraction_correct"] = float(performance["fraction_correct"].iloc[0])
    return facts


def _checks(contents: Contents) -> list[dict[str, Any]]:
    return [
        {
            "name": outcome.rule,
            "asset": RULES[outcome.rule].asset,
            "severity": outcome.severity,
            "outcome": _outcome(outcome.passed, outcome.severity),
            "value": outcome.value,
            "limit": outcome.limit,
            "unit": RULES[outcome.rule].unit,
            "message": outcome.message,
            "text": RULES[outcome.rule].description,
            "remedy": "" if outcome.passed is not False else RULES[outcome.rule].remedy,
        }
        for outcome in contents.checks
    ]


def _outcome(passed: bool | None, severity: str) -> str:
    if passed is None:
        return "not evaluated"
    return "pass" if passed else ("warn" if severity == "WARN" else "fail")


def _style(settings: Settings, recordings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from iblnm.analysis.quality.figures import BAND_STYLES
    from iblnm.vis.example_session import EVENT_STYLES
    from iblnm.vis.style import target_color

    own = [recording["target_NM"] for recording in recordings if recording.get("target_NM")]
    return {
        "bands": {band: style["color"] for band, style in BAND_STYLES.items()},
        "events": {name: style["color"] for name, style in EVENT_STYLES.items()},
        "targets": {
            name: target_color(name, settings)
            for name in dict.fromkeys([*settings.target_colors, *own])
        },
    }


def _source(contents: Contents) -> dict[str, Any]:
    """Where the live viewer finds the raw samples."""
    reference = contents.stored.get("photometry")
    if reference is None or reference.empty:
        return {}
    first = reference.iloc[0]
    pad = contents.settings.signal.task_padding_s
    start, stop = plain(first["task_start_s"]), plain(first["task_end_s"])
    mapped = reference.dropna(subset=["recording_name"])
    return {
        "path": str(first["signal_path"]),
        "columns": [str(name) for name in reference["column"]],
        "column": dict(zip(mapped["recording_name"], mapped["column"], strict=True)),
        "window": None if start is None or stop is None else [start - pad, stop + pad],
        "reading": {
            "is_raw": first["source"] == "raw",
            "max_still_s": plain(first["still_limit_s"]),
            "max_saturated_s": plain(first["saturated_limit_s"]),
        },
    }


def _provenance(settings: Settings, eid: str) -> dict[str, Any]:
    from iblnm.storage.h5 import list_groups, read_provenance

    path = settings.sessions_h5_dir / f"{eid}.h5"
    try:
        groups = set(list_groups(path)) if path.exists() else set()
        found = {
            stage.name: read_provenance(path, stage.h5_group)
            for stage in all_stages()
            if stage.h5_group in groups
        }
    except DataError:
        return {}
    return {name: json.loads(origin.to_json()) for name, origin in found.items() if origin}
