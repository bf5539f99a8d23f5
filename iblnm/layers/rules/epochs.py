"""Rules on the epochs of the passive protocol."""

from __future__ import annotations

from typing import Any

from iblnm.config import Settings
from iblnm.layers import items
from iblnm.layers.passive import EPOCHS
from iblnm.pipeline.rules.outcome import Finding, not_evaluated
from iblnm.pipeline.rules.registry import RuleError, rule
from iblnm.pipeline.rules.values import Row, as_row, get

_EPOCHS: dict[str, Any] = {"asset": "passive_epochs", "level": "session"}


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
    threshold=lambda _: 0.0,
    unit="epochs",
    description="Epochs follow each other without overlap, inside the recording.",
    remedy=(
        "Look at the passive files of the run that the message names; extract the passive "
        "protocol again."
    ),
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
    remedy=(
        "See whether the protocol was stopped early; metrics per epoch use the time that is there."
    ),
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
    threshold=lambda _: 0.0,
    unit="runs",
    description="The times of all epochs were extracted from the recording.",
    remedy=(
        "Extract the passive protocol of the run; until then its epochs come from the rig's "
        "clock or the replay."
    ),
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
    remedy=(
        "Compare the rig's start times with the recording: the rig's clock was set in "
        "between, or a run belongs to another session."
    ),
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
    remedy=(
        "Do not compare tone and noise of the replay in this session; the other stimuli are right."
    ),
)
def replay_tone_bug(passive_epochs: Row) -> Finding:
    version = get(as_row(passive_epochs), "tone_bug")
    if version is None:
        return Finding(True, None, "No run is of a version that played the tone for the noise.")
    return Finding(False, None, f"iblrig {version} played the tone for the noise in the replay.")
