"""Settings of the data layers."""

from __future__ import annotations

from pydantic import BaseModel


class LayersSettings(BaseModel):
    """What the data layers look at, and the limits of their rules."""

    enabled: bool = False
    """Whether this root runs the data layers instead of the photometry; one root, one archive."""
    project: str = "psychedelics"
    protocol: str = "passiveChoiceWorld"
    """Sessions whose task protocol contains this text have data layers."""
    seed: int = 0
    n_permutations: int = 1000
    n_animal_permutations: int = 2000
    control: str = "control"
    """Name of the condition of control recordings."""
    min_units_effect: int = 5
    """Units that a session needs in a region to enter the comparison of conditions."""

    n_passive_runs: int = 2
    spontaneous_s: float = 300.0
    max_spontaneous_deviation_s: float = 1.0
    max_clock_shift_s: float = 2.0
    max_units_without_metrics: float = 0.05
    max_unlocated_units: float = 0.0
    max_duplicate_fraction: float = 0.01
    max_mask_drift: float = 0.001
