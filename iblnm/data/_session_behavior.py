"""A session's trials, wheel and performance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.io.task_files import known_collection
from iblnm.pipeline import steps

if TYPE_CHECKING:
    import xarray as xr

    from iblnm.config import Settings

_BLOCK_COLUMNS = ("psych_20_", "psych_80_", "bias_shift")


class Behavior:
    """Behavior of a session."""

    eid: str
    one: Any
    settings: Settings
    trials: pd.DataFrame | None
    wheel: pd.DataFrame | None
    wheel_velocity: xr.DataArray | None
    _wheel_samples: tuple[Any, ...] | None

    def load_trials(self) -> pd.DataFrame:
        """Load the trials: the ALF table with sides, contrasts [%] and reaction times [s].

        Returns
        -------
        DataFrame
            One row per trial; also in ``trials``.
        """
        self.trials = steps.read_trials(
            self.one, self.eid, self.settings, known_collection(self._row)
        )
        return self.trials

    def fix_block_structure(self) -> bool:
        """Replace broken blocks by those of the session's plan, and debiasing by none.

        Returns
        -------
        bool
            Whether ``trials`` was changed; ``trials.attrs["block_repair"]`` says what was.
        """
        row = self._complete_row(("session_type",))
        if steps.has_blocks(row):
            row = self._complete_row(("session_json",))
        repair = steps.repair_session_blocks(self._loaded_trials(), row, self.settings)
        self.trials = repair.trials
        self.trials.attrs["block_repair"] = repair.note
        return repair.repaired

    def get_trial_timings(self) -> pd.DataFrame:
        """Times of each trial [s]: eid, trial, reaction_time, movement_time, response_time."""
        from iblnm.task import trial_timing

        timing = trial_timing(self._loaded_trials())
        timing.insert(0, "eid", self.eid)
        return timing

    def load_wheel(self, fs: float | None = None) -> pd.DataFrame:
        """Load the wheel on a uniform grid.

        Parameters
        ----------
        fs : float, optional
            Rate [Hz]; that of the settings by default.

        Returns
        -------
        DataFrame
            Columns times [s], position [rad], velocity [rad/s]; also in ``wheel``.
        """
        from iblnm.signal.wheel import wheel_velocity

        trace = steps.read_wheel(self.one, self.eid, self.settings, known_collection(self._row))
        times, position = trace.times, trace.position
        grid, velocity = wheel_velocity(times, position, fs=fs or self.settings.wheel.fs)
        self.wheel = pd.DataFrame(
            {"times": grid, "position": np.interp(grid, times, position), "velocity": velocity}
        )
        self.wheel.attrs["source"] = trace.source
        self._wheel_samples = (self.wheel, times, position, trace.resets)
        return self.wheel

    def extract_wheel_velocity(
        self, t0_event: str = "stimOn_times", t1_event: str = "feedback_times"
    ) -> xr.DataArray:
        """Velocity of the wheel in each trial, from one event to another.

        Returns
        -------
        DataArray
            Dims (trial, time), rad/s, NaN after the trial's end; also in ``wheel_velocity``.
        """
        if self.wheel is None:
            raise ValueError("no wheel: call load_wheel() or assign .wheel first")
        if self._wheel_samples is not None and self._wheel_samples[0] is self.wheel:
            _, times, position, resets = self._wheel_samples  # as recorded, not as resampled
        else:
            times, position = (self.wheel[name].to_numpy() for name in ("times", "position"))
            resets = None
        with steps.faults_of(self.eid):
            self.wheel_velocity = steps.cut_wheel(
                times,
                position,
                self._loaded_trials(),
                self.settings,
                resets,
                t0_event=t0_event,
                t1_event=t1_event,
            )
        if "source" in self.wheel.attrs:
            self.wheel_velocity.attrs["source"] = self.wheel.attrs["source"]
        return self.wheel_velocity

    def basic_performance(self) -> dict[str, Any]:
        """Fractions correct and without a choice, and the fit of the unbiased block."""
        return {
            name: value
            for name, value in self._performance().items()
            if not name.startswith(_BLOCK_COLUMNS) and name != "eid"
        }

    def block_performance(self) -> dict[str, Any]:
        """Psychometric fits of the biased blocks and their shift; empty without such blocks."""
        if not steps.has_blocks(self.to_series()):
            return {}
        return {
            name: value
            for name, value in self._performance().items()
            if name.startswith(_BLOCK_COLUMNS)
        }

    def fit_psychometric(self, probability_left: float | None = None) -> dict[str, Any]:
        """Psychometric fit: bias, threshold, lapse_left, lapse_right, r_squared, n_trials.

        Parameters
        ----------
        probability_left : float, optional
            Only trials of this block; all trials by default.
        """
        from iblnm.task import fit_psychometric

        return fit_psychometric(self._loaded_trials(), probability_left=probability_left)

    def _performance(self) -> dict[str, Any]:
        return steps.measure_performance(self._loaded_trials(), self.to_series(), self.settings)
