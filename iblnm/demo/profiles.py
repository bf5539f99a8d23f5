"""What the targets respond to: peaks of their responses."""

from __future__ import annotations

from typing import NamedTuple


class Profile(NamedTuple):
    """Peak dF/F of a target's responses.

    Stimulus: offset, slope with √contrast, factor on the ipsilateral side. Reward: offset,
    slope with √contrast.
    """

    stim: tuple[float, float, float]
    move: float
    reward: tuple[float, float]
    error: float


RESPONSE_PROFILES: dict[str, Profile] = {
    "VTA-DA": Profile((0.01, 0.04, 0.9), 0.004, (0.06, -0.035), -0.02),
    "SNc-DA": Profile((0.006, 0.018, 0.5), 0.035, (0.03, -0.012), -0.008),
    "DR-5HT": Profile((0.004, 0.006, 1.0), -0.012, (0.035, 0.01), 0.025),
    "MR-5HT": Profile((0.002, 0.004, 1.0), -0.02, (0.01, 0.004), 0.04),
    "LC-NE": Profile((0.012, 0.01, 1.0), 0.03, (0.008, 0.0), 0.055),
    "NBM-ACh": Profile((0.02, 0.03, 0.6), 0.015, (0.03, 0.0), 0.03),
    "SI-ACh": Profile((0.03, 0.01, 0.8), 0.006, (0.05, 0.005), 0.006),
    "PPT-ACh": Profile((0.008, 0.002, 0.4), 0.045, (-0.012, 0.0), -0.015),
}
