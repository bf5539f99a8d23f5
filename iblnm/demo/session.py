"""One simulated session in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from iblnm.demo import behavior, kinetics, photometry, wheel
from iblnm.demo.behavior import Psychometric
from iblnm.demo.photometry import Fiber, Frames

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_FIBERS = (Fiber("VTA-DA", "l", "G0"), Fiber("NBM-ACh", "r", "G1"))
DEFAULT_PSYCHOMETRIC = Psychometric(2.0, 22.0, 0.07, 0.08, 12.0)


@dataclass
class SimulatedSession:
    """Data of a session and the truth behind them.

    Parameters
    ----------
    trials : DataFrame
        ALF trials table.
    frames : Frames
        Interleaved photometry frames.
    wheel_times, wheel_position : ndarray
        [s], [rad].
    plan : dict
        Planned blocks.
    fibers : tuple of Fiber
    truth : dict
        Psychometric parameters, fibers with bleaching, wheel rule, rates.
    """

    trials: pd.DataFrame
    frames: Frames
    wheel_times: np.ndarray
    wheel_position: np.ndarray
    plan: dict[str, Any]
    fibers: tuple[Fiber, ...]
    truth: dict[str, Any]

    @property
    def recording_names(self) -> list[str]:
        """Names of the fibers in the session file: NBM, NBM_1, ..."""
        names: list[str] = []
        for fiber in self.fibers:
            n = sum(name.split("_")[0] == fiber.region for name in names)
            names.append(f"{fiber.region}_{n}" if n else fiber.region)
        return names

    @property
    def bands(self) -> dict[str, pd.DataFrame]:
        """Bands by name: index ``times`` [s], one column per recording, invalid samples NaN."""
        import pandas as pd

        result = {}
        for band in ("GCaMP", "Isosbestic"):
            index = np.flatnonzero(self.frames.band == band)
            if not len(index):
                continue
            valid = self.frames.valid[index]
            columns = {
                name: np.where(valid, self.frames.columns[fiber.roi][index], np.nan)
                for name, fiber in zip(self.recording_names, self.fibers, strict=True)
            }
            times = pd.Index(self.frames.times[index], name="times")
            result[band] = pd.DataFrame(columns, index=times)
        return result


def simulate_session(
    seed: int | np.random.SeedSequence = 0,
    *,
    duration_s: float = 3600.0,
    n_trials: int = 800,
    fibers: tuple[Fiber, ...] = DEFAULT_FIBERS,
    session_type: str = "biased",
    psychometric: Psychometric = DEFAULT_PSYCHOMETRIC,
    contrasts: tuple[float, ...] = behavior.FULL_CONTRASTS,
    rate_hz: float = 30.0,
    has_isosbestic: bool = True,
    **frame_options: Any,
) -> SimulatedSession:
    """Simulate one session: by default 60 minutes, two fibers, 800 trials.

    Parameters
    ----------
    seed : int or SeedSequence
    duration_s : float
        Length of the task.
    n_trials : int
        Fewer if the duration does not hold them.
    fibers : tuple of Fiber
    session_type : {'training', 'biased', 'ephys'}
        Training has no blocks.
    psychometric : Psychometric
    contrasts : tuple of float
        Fractions.
    rate_hz : float
        Photometry frames per second and band.
    has_isosbestic : bool
    **frame_options
        See `iblnm.demo.photometry.simulate_frames`.

    Returns
    -------
    SimulatedSession

    Examples
    --------
    >>> session = simulate_session(duration_s=300, n_trials=80)
    >>> sorted(session.bands), list(session.bands["GCaMP"])
    (['GCaMP', 'Isosbestic'], ['VTA', 'NBM'])
    """
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    rng = np.random.default_rng(sequence)
    trials, plan = behavior.simulate_trials(
        rng,
        psychometric,
        n_trials=n_trials,
        duration_s=duration_s,
        contrasts=contrasts,
        has_blocks=session_type != "training",
    )
    times, position = wheel.simulate_wheel(rng, trials)
    frames = photometry.simulate_frames(
        rng,
        trials,
        list(fibers),
        rate_hz=rate_hz,
        has_isosbestic=has_isosbestic,
        **frame_options,
    )
    truth = {
        "n_trials": len(trials),
        "psychometric": psychometric.to_dict(),
        "contrasts": [100 * c for c in contrasts],
        "band_rate_hz": rate_hz,
        "has_isosbestic": has_isosbestic,
        "photometry": frames.truth,
        "kinetics": {"rise_s": kinetics.RISE_S, "decay_s": kinetics.DECAY_S},
        "wheel": {
            "rule": "minimum jerk from firstMovement to feedback; peak = 1.875 * displacement "
            "/ duration; positive for rightward choices",
            "displacement_rad": wheel.N_COUNTS * wheel.COUNT_RAD,
            "median_peak_velocity_rad_s": round(
                float(np.nanmedian(wheel.peak_velocity(trials))), 9
            ),
        },
    }
    return SimulatedSession(trials, frames, times, position, plan, tuple(fibers), truth)
