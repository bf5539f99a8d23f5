"""Responses of one fiber: every trial as a heat map, and means of groups of trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from iblnm.viewer.conditions import condition_means, groupings
from iblnm.viewer.contents import Contents, NotThereError
from iblnm.viewer.panel import Axis, Panel
from iblnm.viewer.wire import Packer

_SATURATED = 99.0
# beyond the range of colors by more than a baseline can add; 25 levels from none to full color
_STORED_RANGES = 5.0


def responses_panel(
    contents: Contents, packer: Packer, axis: Axis, recording: Mapping[str, Any]
) -> dict[str, Any]:
    """Heat map (8 bits a sample), baselines, times of the next event, means of groups."""
    from iblnm.signal.perievent import in_window, time_to_next_event
    from iblnm.vis.panels import EVENT_LABELS

    del axis
    responses = contents.need("responses").get(recording["name"])
    if responses is None:
        raise NotThereError(f"The session file has no responses of {recording['name']}.")
    trials, signal = contents.need("trials"), contents.settings.signal
    responses = responses.transpose("event", "trial", "time")
    events = [str(event) for event in responses["event"].to_numpy()]
    rows, time = responses["trial"].to_numpy(), responses["time"].to_numpy()
    values = responses.to_numpy()
    limit = _limit(values)
    window = in_window(time, signal.baseline_window)
    valid = np.isfinite(values[..., window])
    total = np.where(valid, values[..., window], 0).sum(axis=-1)
    counts = valid.sum(axis=-1)
    baseline = np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)
    limits = time_to_next_event(trials, rows)
    groups = groupings(trials, recording.get("hemisphere"))
    means = condition_means(responses, trials, groups, signal)
    return {
        "events": events,
        "labels": [EVENT_LABELS.get(event, event) for event in events],
        "time": packer.array(time, "f4"),
        "limit": limit,
        "heat": packer.array(
            values, "i1", limits=(-_STORED_RANGES * limit, _STORED_RANGES * limit)
        ),
        "baseline": packer.array(baseline, "i2"),
        "baseline_window": list(signal.baseline_window),
        "next": packer.array(
            np.stack([limits.get(event, np.full(len(rows), np.nan)) for event in events]), "f4"
        ),
        "masked_share": packer.array(_masked_share(responses), "f4"),
        "groupings": [
            {
                "name": group.name,
                "label": group.label,
                "labels": list(group.labels),
                "ordered": group.ordered,
                "members": packer.array(group.members[rows], "i1", limits=(-127, 127)),
                "mean": packer.array(means[group.name]["mean"], "d2"),
                "sem": packer.array(means[group.name]["sem"], "i1"),
                "n": means[group.name]["n"],
            }
            for group in groups
        ],
    }


def _masked_share(responses: Any) -> np.ndarray:
    if "masked_share" in responses.coords:
        return responses["masked_share"].to_numpy()
    return np.zeros(responses.shape[:2])


def _limit(values: np.ndarray) -> float:
    found = np.abs(values[np.isfinite(values)])
    return float(np.percentile(found, _SATURATED)) if found.size else 1.0


RESPONSES = Panel("responses", "Responses", "responses", "fiber", responses_panel)
