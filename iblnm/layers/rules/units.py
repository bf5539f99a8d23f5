"""Rules on units, spikes and the output of bombcell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.rules.outcome import Finding, not_evaluated
from iblnm.pipeline.rules.registry import RuleError, rule

_UNITS: dict[str, Any] = {"asset": "units", "level": "session"}
_SPIKES: dict[str, Any] = {"asset": "spikes", "level": "session"}
_BOMBCELL: dict[str, Any] = {"asset": "bombcell", "level": "session"}


class SpikesClustersMismatch(RuleError):
    """Times, clusters and uuids of a sorting do not fit each other."""


@rule(
    SpikesClustersMismatch,
    **_SPIKES,
    severity="BLOCK",
    threshold=lambda _: 0.0,
    unit="probes",
    description="Spike times, cluster numbers and uuids fit each other; times are in order.",
    remedy=(
        "Sort or register the probe again: the message names the file and the fault. Nothing "
        "of this probe is used until then."
    ),
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
    remedy=(
        "Load spikes without duplicates (remove_duplicates), and look at the sorting of this "
        "probe."
    ),
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
    remedy="Compute the metrics of the sorting again for this probe.",
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
    remedy=(
        "Trace and align the probe (iblnm histology says what is next); until then its units "
        "count in no region."
    ),
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
    threshold=lambda _: 0.0,
    unit="units",
    description="Bombcell has labeled every unit.",
    remedy=("Run bombcell again for this probe; units without a label are kept and have none."),
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
    threshold=lambda _: 0.0,
    unit="clusters",
    description="Every cluster of bombcell is a unit of the sorting that is used.",
    remedy="Bombcell was run on another sorting: run it on the one that is used.",
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
    remedy=(
        "Use the duplicates of iblnm, not bombcell's mask, which would look like an effect of "
        "time."
    ),
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
