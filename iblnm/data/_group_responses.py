"""A group's trial-level responses and the features made of them."""

from __future__ import annotations

from typing import Any, ClassVar


class Responses:
    """Methods of a group; results are None until a method fills them."""

    LAZY: ClassVar[tuple[str, ...]] = (
        "response_magnitudes",
        "response_features",
        "response_traces",
        "response_traces_tpts",
        "mean_traces",
        "trial_timing",
        "trial_regressors",
        "peak_velocity",
        "performance",
    )

    settings: Any

    def _cut_tables(self) -> dict[str, Any]:
        """The tables that are there, cut to the recordings in use."""
        return {}
