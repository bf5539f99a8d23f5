"""Preprocessing by a list of steps as in `iblphotometry.pipelines`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.errors import MalformedFileError

if TYPE_CHECKING:
    import xarray as xr

    from iblnm.config import SignalSettings

REFERENCE, RESULT = "reference", "result"


class StepsList:
    """A list of steps as the correction of one recording.

    Parameters
    ----------
    steps : sequence of mapping
        Each with ``function``, ``inputs`` (names), ``output`` (a name) and perhaps
        ``parameters``. The first inputs are ``signal`` and ``reference``, the last output is
        ``result``.

    Raises
    ------
    ValueError
        If a step has no function, inputs or output, an input is made by no earlier step, or no
        step makes ``result``.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]]):
        self.steps = [dict(step) for step in steps]
        known = {"signal", REFERENCE}
        for number, step in enumerate(self.steps):
            lacking = {"function", "inputs", "output"} - set(step)
            if lacking:
                raise ValueError(f"step {number} of the pipeline has no {sorted(lacking)}")
            unknown = set(step["inputs"]) - known
            if unknown:
                raise ValueError(
                    f"step {number} takes {sorted(unknown)}; no step before makes that"
                )
            known.add(step["output"])
        if RESULT not in known:
            raise ValueError(f"no step of the pipeline has the output {RESULT!r}")

    @property
    def needs_reference(self) -> bool:
        """Whether a step takes the reference."""
        return any(REFERENCE in step["inputs"] for step in self.steps)

    def __call__(
        self, signal: pd.Series, reference: pd.Series | None, settings: SignalSettings
    ) -> xr.Dataset:
        """Result of the steps at the rate of the settings, on the valid samples of the signal.

        Parameters
        ----------
        signal, reference, settings
            As of `iblnm.signal.preprocess.preprocess_recording`; the reference is interpolated
            to the times of the signal.

        Returns
        -------
        Dataset
            Variable ``signal`` on ``time`` (s), in the unit of the last step, not z-scored by
            us; gaps stay gaps.

        Raises
        ------
        MalformedFileError
            If there is no valid sample, or no reference for steps that need one.
        """
        import xarray as xr
        from iblphotometry.pipelines import run_pipeline

        from iblnm.signal.checks import pair_by_time
        from iblnm.signal.resample import resample_signal

        name = str(signal.name or "signal")
        valid = signal.dropna()
        other = None
        if self.needs_reference:
            if reference is None or reference.notna().sum() < 2:
                raise MalformedFileError(f"{name}: the pipeline needs a reference; there is none")
            paired = pair_by_time(
                valid.index.to_numpy(),
                reference.index.to_numpy(),
                reference.to_numpy(dtype=float),
                settings.max_gap_s,
            )
            other = pd.Series(paired, index=valid.index, name=name)
            valid, other = valid[other.notna()], other.dropna()
        if len(valid) < 2:
            raise MalformedFileError(f"{name}: {len(valid)} valid samples; at least 2 are needed")
        result = run_pipeline(self.steps, valid, other)
        corrected = resample_signal(
            pd.Series(np.asarray(result, dtype=float), index=result.index, name=name),
            settings.fs,
            max_gap_s=settings.max_gap_s,
        )
        names = [getattr(step["function"], "__name__", "step") for step in self.steps]
        return xr.Dataset(
            {"signal": ("time", corrected.to_numpy())},
            {"time": ("time", corrected.index.to_numpy())},
            attrs={"fs": float(settings.fs), "pipeline": json.dumps(names)},
        )
