"""Settings of the data layers."""

from __future__ import annotations

from pydantic import BaseModel


class LayersSettings(BaseModel):
    """What the data layers look at, and the limits of their rules."""

    enabled: bool = False
    """Whether this root runs the data layers instead of the photometry; one root, one archive."""
    project: str = "psychedelics"
    """Project on Alyx whose sessions have data layers."""
    protocol: str = "passiveChoiceWorld"
    """Sessions whose task protocol contains this text have data layers."""
    seed: int = 0
    """Of permutations and draws of units."""
    n_permutations: int = 1000
    """Permutations of blocks behind the p-value of a unit."""
    n_animal_permutations: int = 2000
    """Permutations of animals behind the effect of a condition."""
    control: str = "control"
    """Name of the condition of control recordings."""
    min_units_effect: int = 5
    """Units that a session needs in a region to enter the comparison of conditions."""

    n_passive_runs: int = 2
    """Runs of the passive protocol that a session should have."""
    spontaneous_s: float = 300.0
    """Length of spontaneous activity that is expected and at most used."""
    max_spontaneous_deviation_s: float = 1.0
    """By how much it may differ from that."""
    max_clock_shift_s: float = 2.0
    """Between the start of the second run and what the rig's clock predicts."""
    max_units_without_metrics: float = 0.05
    """Share of the units with spikes that may lack metrics of the sorting."""
    max_unlocated_units: float = 0.0
    """Share of the units that may lack a region."""
    max_duplicate_fraction: float = 0.01
    """Share of the spikes of a probe that may be duplicates."""
    max_mask_drift: float = 0.001
    """Growth along the recording of what bombcell masks beyond the duplicates, in shares of the
    spikes."""
