"""Rules about the wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iblnm.config import Settings
from iblnm.pipeline.rules.outcome import Finding, not_evaluated
from iblnm.pipeline.rules.registry import RuleError, rule

if TYPE_CHECKING:
    import xarray as xr


class IncompleteWheel(RuleError):
    """The wheel was not recorded in too many trials."""


@rule(
    IncompleteWheel,
    asset="wheel_velocity",
    level="trials",
    severity="WARN",
    threshold=lambda s: s.thresholds.max_missing_wheel_share,
    unit="fraction of trials",
    description=(
        "The wheel covers the task: from stimulus to feedback its trace is whole in nearly all "
        "trials; movements are not known in a trial that lacks a part."
    ),
    remedy=(
        "Look in the viewer from which trial on the wheel is missing; the encoder may have been "
        "unplugged, or the file was cut: copy or extract it again."
    ),
)
def incomplete_wheel(wheel_velocity: xr.DataArray, settings: Settings) -> Finding:
    n, n_incomplete = (wheel_velocity.attrs.get(k) for k in ("n_timed", "n_incomplete"))
    if n is None or n_incomplete is None:
        return not_evaluated("how many trials the wheel covers is not stored")
    if not n:
        return not_evaluated("no trial has a stimulus and a feedback")
    share, limit = float(n_incomplete / n), settings.thresholds.max_missing_wheel_share
    return Finding(
        share <= limit,
        share,
        f"{n_incomplete} of {n} trials lack a part of the wheel's trace ({share:.1%}); at most "
        f"{limit:.0%} is accepted.",
    )
