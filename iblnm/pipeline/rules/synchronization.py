"""The rule about raw frames that were put on the clock of the trials."""

from __future__ import annotations

import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.rules.outcome import Finding, not_evaluated
from iblnm.pipeline.rules.registry import RuleError, rule
from iblnm.pipeline.rules.values import get


class ImpreciseSynchronization(RuleError):
    """The clock of the photometry fits that of the trials badly."""


@rule(
    ImpreciseSynchronization,
    asset="photometry",
    level="photometry",
    severity="WARN",
    threshold=lambda s: s.thresholds.max_sync_residual_s,
    unit="s",
    description=(
        "Raw frames are put on the clock of the trials by pulses that both have logged; what is "
        "left between them (root mean square) is small."
    ),
    remedy=(
        "Do not trust fine timing before the official extraction; see whether the cable of "
        "the digital input was loose."
    ),
)
def imprecise_synchronization(reference: pd.DataFrame, settings: Settings) -> Finding:
    first = reference.iloc[0]
    residual, fault = get(first, "sync_residual_s"), get(first, "sync_note")
    if residual is None:
        return not_evaluated(fault or "the archive has synchronized the signal")
    limit = settings.thresholds.max_sync_residual_s
    drift = float(get(first, "sync_drift_ppm"))
    return Finding(
        residual <= limit,
        float(residual),
        f"{int(first['sync_n_matched'])} of {int(first['sync_n_events'])} events of the task have "
        f"a pulse in the camera's log; the clocks fit to {1e3 * residual:.2f} ms (drift "
        f"{drift:.1f} ppm), at most {1e3 * limit:g} ms are accepted.",
        metadata={"drift [ppm]": drift},
    )
