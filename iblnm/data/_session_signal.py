"""A session's photometry: loading, quality, preprocessing, peri-event responses."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.constants import SIGNAL_BAND
from iblnm.errors import DataError
from iblnm.pipeline import steps

if TYPE_CHECKING:
    import xarray as xr

    from iblnm.config import Settings

_KEYS = ("eid", "brain_region", "band", "fiber_idx")
_REFERENCE_NEEDS = ("brain_region", "recording_name", "hemisphere", "roi")


class Signal:
    """Photometry of a session."""

    eid: str
    one: Any
    settings: Settings
    trials: pd.DataFrame | None
    photometry: dict[str, pd.DataFrame]
    qc: pd.DataFrame
    responses: dict[str, xr.DataArray]
    recordings: dict[str, dict[str, Any]]
    _reference: pd.DataFrame | None
    _raw_metrics: dict[str, Any] | None
    _recordings: dict[str, dict[str, xr.Dataset]]

    @property
    def reference(self) -> pd.DataFrame:
        """Verified reference to the signal; see `iblnm.io.photometry_reference`."""
        if self._reference is None:
            row = self._complete_row(_REFERENCE_NEEDS)
            self._reference = steps.read_reference(self.one, row, self.settings)
        return self._reference

    def load_photometry(self, restrict: bool = True) -> dict[str, pd.DataFrame]:
        """Load the bands: index ``times`` [s], one column per recording name, invalid NaN.

        Parameters
        ----------
        restrict : bool
            Whether to keep only the time of the task.

        Returns
        -------
        dict of str to DataFrame
            ``GCaMP`` and, if it was recorded, ``Isosbestic``; also in ``photometry``.
        """
        bands = steps.read_bands(self.reference, self.settings, restrict=restrict)
        self.photometry = {**self.photometry, **bands}
        return self.photometry

    def run_raw_qc(self, raw_metrics: Iterable[str] | None = None) -> pd.DataFrame:
        """Count band inversions and early samples on the raw frames.

        Parameters
        ----------
        raw_metrics : iterable of str, optional
            Of the metrics of raw frames (``n_band_inversions``, ...); all by default.

        Returns
        -------
        DataFrame
            One row per region and band, null where raw frames are not registered; also in
            ``qc``.
        """
        wanted = _subset(raw_metrics, _raw_metrics())
        self._raw_metrics = steps.measure_raw_frames(self.reference, self.settings)
        metrics = self._raw_metrics or {}
        values = {name: float(metrics.get(name, "nan")) for name in wanted}
        rows = [{**key, **values} for key in self._signal_keys()]
        self._merge_qc(pd.DataFrame(rows, columns=[*_KEYS, *wanted]))
        return self.qc

    def run_sliding_qc(
        self,
        signal_band: str | None = None,
        sliding_metrics: Iterable[str] | None = None,
        metrics_kwargs: Mapping[str, Any] | None = None,
        sliding_kwargs: Mapping[str, Any] | None = None,
        brain_region: str | Iterable[str] | None = None,
        pipeline: Any = None,
    ) -> pd.DataFrame:
        """Measure signal quality in sliding windows.

        Parameters
        ----------
        signal_band : str, optional
            Only this band.
        sliding_metrics : iterable of str, optional
            Only these columns.
        metrics_kwargs : mapping, optional
            Fields of the signal settings to change, for example ``max_tau_durations``.
        sliding_kwargs : mapping, optional
            Window and step in seconds: ``w_len`` and ``step_len`` (or ``qc_window_s`` and
            ``qc_step_s``).
        brain_region : str or iterable of str, optional
            Only these recordings.
        pipeline : None
            The windows are detrended; another treatment is not available.

        Returns
        -------
        DataFrame
            One row per region and band; also in ``qc``, where it joins the raw metrics.
        """
        from iblnm.signal.qc import qc_table

        if pipeline is not None:
            raise ValueError("a pipeline of its own is not available for the sliding metrics")
        names = {"w_len": "qc_window_s", "step_len": "qc_step_s"}
        changes = {names.get(k, k): v for k, v in {**(sliding_kwargs or {})}.items()}
        settings = self._signal_settings({**(metrics_kwargs or {}), **changes})
        bands = self._raw_bands(signal_band, brain_region)
        fiber_idx = {key["brain_region"]: key["fiber_idx"] for key in self._signal_keys()}
        with steps.faults_of(self.eid):
            table = qc_table(
                bands,
                eid=self.eid,
                fiber_idx=fiber_idx,
                raw=self._raw_metrics,
                settings=settings,
            )
        if self._raw_metrics is None:
            table = table.drop(columns=[name for name in _raw_metrics() if name in self.qc])
        if sliding_metrics is not None:
            values = [name for name in table if name not in _KEYS]
            table = table[[*_KEYS, *_subset(sliding_metrics, values)]]
        if self._reference is not None and len(self._reference):
            table = table.assign(source=self._reference["source"].iloc[0])
        self._merge_qc(table)
        return self.qc

    def preprocess(
        self,
        pipeline: Callable[..., xr.Dataset] | Sequence[Mapping[str, Any]] | None = None,
        signal_band: str = "GCaMP",
        reference_band: str | None = "Isosbestic",
        targets: Iterable[str] | None = None,
        output_band: str = "GCaMP_preprocessed",
        regression_method: str = "mse",
    ) -> pd.DataFrame:
        """Correct bleaching, regress out the isosbestic band, resample and z-score.

        Windows that are masked in the labels are missing samples.

        Parameters
        ----------
        pipeline : callable or list of dict, optional
            Takes signal, reference (or None) and the signal settings, returns a Dataset with
            the variable ``signal`` on ``time``; `iblnm.signal.preprocess_recording` by default.
            Or steps as in `iblphotometry.pipelines`, see `iblnm.signal.steps_list.StepsList`.
        signal_band, reference_band : str
            Without the reference band the regression is left out.
        targets : iterable of str, optional
            Only these recordings.
        output_band : str
            Name of the result in ``photometry``.
        regression_method : {'mse'}
            Ordinary least squares.

        Returns
        -------
        DataFrame
            Index ``times`` at 30 Hz, one column per recording name; mean 0, sd 1, or in the
            unit of the last of the steps. ``qc`` gets ``bleaching_tau`` and
            ``iso_correlation`` of each recording.

        Raises
        ------
        ValueError
            If there is no such band, a step needs the reference and there is no reference
            band, or the steps do not fit together.
        """
        from iblnm.pipeline.label_rows import labels_paths, rows_in_force
        from iblnm.pipeline.masks import masked_windows
        from iblnm.signal.masking import preprocess_masked
        from iblnm.signal.steps_list import StepsList

        if regression_method != "mse":
            raise ValueError(f"regression method {regression_method!r} is unknown; only 'mse'")
        bands = self._raw_bands(None, targets)
        if signal_band not in bands:
            raise ValueError(f"no band {signal_band!r}; loaded are {list(bands)}")
        if pipeline is not None and not callable(pipeline):
            pipeline = StepsList(pipeline)
            if pipeline.needs_reference and reference_band not in bands:
                raise ValueError(
                    f"a step of the pipeline needs the reference; reference_band is "
                    f"{reference_band!r}, the bands are {list(bands)}"
                )
        if bands[signal_band].columns.empty:
            return self.set_preprocessed({}, output_band)
        known = self.recordings
        fibers = {name: known.get(name, {}).get("fiber_idx") for name in bands[signal_band]}
        rows = rows_in_force(labels_paths(self.settings))
        windows = masked_windows(rows, self.eid, fibers)
        failures: dict[str, str] = {}
        with steps.faults_of(self.eid):
            recordings = preprocess_masked(
                bands,
                windows,
                self.settings.signal,
                signal_band=signal_band,
                reference_band=reference_band,
                correct=pipeline,
                failures=failures,
            )
        if self._reference is not None and len(self._reference):
            for recording in recordings.values():
                recording.attrs |= steps.origin_of(self._reference)
        for reason in failures.values():
            warnings.warn(f"left out: {reason}", stacklevel=2)
        self._measure_correction(bands, signal_band, set(recordings))
        return self.set_preprocessed(recordings, output_band)

    def _measure_correction(
        self, bands: dict[str, pd.DataFrame], signal_band: str, names: set[str]
    ) -> None:
        """Join bleaching and shared part of the signal band to ``qc``."""
        from iblnm.signal.qc import preprocessing_metrics

        own = {band: frame[[c for c in frame if c in names]] for band, frame in bands.items()}
        if signal_band != SIGNAL_BAND or own[signal_band].columns.empty:
            return
        fibers = {key["brain_region"]: key["fiber_idx"] for key in self._signal_keys()}
        self._merge_qc(
            preprocessing_metrics(
                own, eid=self.eid, fiber_idx=fibers, settings=self.settings.signal
            )
        )

    def set_preprocessed(
        self, recordings: dict[str, xr.Dataset], band: str = "GCaMP_preprocessed"
    ) -> pd.DataFrame:
        """Take preprocessed recordings as a band of ``photometry``; returns its frame."""
        signals = {name: data["signal"].to_series() for name, data in recordings.items()}
        self._recordings[band] = dict(recordings)
        self.photometry[band] = pd.DataFrame(signals).rename_axis("times")
        return self.photometry[band]

    def preprocessed(self, band: str = "GCaMP_preprocessed") -> dict[str, xr.Dataset]:
        """Preprocessed recordings with dF/F, filter edges and how they were corrected."""
        return self._recordings.get(band, {})

    def extract_responses(
        self,
        events: Iterable[str] | None = None,
        band: str = "GCaMP_preprocessed",
        window: tuple[float, float] | None = None,
    ) -> dict[str, xr.DataArray]:
        """Cut the signal around events of every trial.

        Parameters
        ----------
        events : iterable of str, optional
            Those of the settings by default.
        band : str
        window : tuple of float, optional
            From, to [s]; that of the settings by default.

        Returns
        -------
        dict of str to DataArray
            By recording name, dims (event, trial, time); also in ``responses``.
        """
        from iblnm.signal.masking import with_masked_share

        if band not in self.photometry:
            raise ValueError(f"no band {band!r}: call preprocess() or load_h5() first")
        self._refuse_another_clock()
        frame, trials = self.photometry[band], self._loaded_trials()
        responses = steps.cut_responses(
            frame,
            trials,
            self.settings,
            events=events or self.settings.response_events,
            window=window,
        )
        stored = self._recordings.get(band, {})
        for name, values in responses.items():
            source = steps.source_of(trials, stored.get(name, trials))
            if source:
                values.attrs["source"] = source
        self.responses = {
            name: with_masked_share(
                values, trials, frame.index.to_numpy(), stored.get(name, {}).get("masked")
            )
            for name, values in responses.items()
        }
        return self.responses

    def _refuse_another_clock(self) -> None:
        if self._reference is None or self._reference.empty:
            return
        first = self._reference.iloc[0]
        own = self._loaded_trials().attrs.get("clock", "session")
        if first["clock"] == "camera":
            reason = first.get("sync_note")
            raise DataError(
                "the signal was read from raw frames, whose clock is the camera's: it cannot be "
                "cut around the events of the trials"
                + ("" if pd.isna(reason) else f" ({reason})"),
                eid=self.eid,
            )
        if first["clock"] != own:
            raise DataError(
                f"the signal is on the clock of the {first['clock']}, the trials on that of the "
                f"{own}",
                eid=self.eid,
            )

    def subtract_baseline(
        self, responses: xr.DataArray, window: tuple[float, float] | None = None
    ) -> xr.DataArray:
        """Responses of one region minus their mean before the event."""
        from iblnm.signal.perievent import subtract_baseline

        return subtract_baseline(responses, window or self.settings.signal.baseline_window)

    def mask_subsequent_events(
        self, responses: xr.DataArray, event_order: Iterable[str] | None = None
    ) -> xr.DataArray:
        """Responses of one region, NaN from the next event of the same trial on."""
        from iblnm.signal.perievent import mask_subsequent_events

        order = list(event_order or self.settings.response_events)
        return mask_subsequent_events(self.of_trials(responses), self._loaded_trials(), order)

    def of_trials(self, values: xr.DataArray) -> xr.DataArray:
        """Responses or velocities of the trials in ``trials``, which may be some of all trials.

        Parameters
        ----------
        values : DataArray (..., trial, time)
            As they were made for all trials of the session.

        Returns
        -------
        DataArray
            The rows of the trials that the index of ``trials`` names, numbered anew; as given
            where their numbers are positions in ``trials``.

        Raises
        ------
        DataError
            If the index does not tell which trials they are.
        """
        n_trials = len(self._loaded_trials())
        numbers = values["trial"].to_numpy()
        if numbers.size == 0 or numbers.max() < n_trials:
            return values
        labels = self._loaded_trials().index
        numbered = labels.equals(pd.RangeIndex(n_trials))
        if numbered or not labels.is_unique or not labels.isin(numbers).all():
            raise DataError(
                f"trials up to number {numbers.max()} were cut, {n_trials} are in .trials, and "
                "their index does not tell which: cut again, extract_responses() or "
                "extract_wheel_velocity()",
                eid=self.eid,
            )
        own = values.sel(trial=labels.to_numpy())
        return own.assign_coords(trial=np.arange(n_trials, dtype=np.int64))

    def get_response_vector(
        self,
        brain_region: str,
        hemisphere: str | None,
        min_trials: int = 5,
        normalize: str | None = None,
        events: Iterable[str] | None = None,
    ) -> pd.Series:
        """Mean early response per condition; see `iblnm.analysis.vectors.recording`."""
        from iblnm.analysis.vectors.recording import response_vector

        return response_vector(
            self.of_trials(self.responses[brain_region]),
            self._loaded_trials(),
            hemisphere,
            self.settings,
            min_trials=min_trials,
            normalize=normalize,
            events=events,
        )

    def _signal_settings(self, changes: Mapping[str, Any]) -> Any:
        settings = self.settings.signal
        unknown = [name for name in changes if name not in type(settings).model_fields]
        if unknown:
            raise ValueError(f"the signal settings have no {', '.join(unknown)}")
        return settings.model_copy(update=dict(changes))

    def _raw_bands(
        self, band: str | None, names: str | Iterable[str] | None
    ) -> dict[str, pd.DataFrame]:
        bands = {
            name: frame
            for name, frame in self.photometry.items()
            if name not in self._recordings and band in (None, name)
        }
        if not bands:
            raise ValueError("no photometry: call load_photometry() or assign .photometry first")
        if names is None:
            return bands
        names = [names] if isinstance(names, str) else list(names)
        return {
            name: frame[[column for column in frame if column in names]]
            for name, frame in bands.items()
        }

    def _signal_keys(self) -> list[dict[str, Any]]:
        fibers = self.recordings
        return [
            {
                "eid": self.eid,
                "brain_region": name,
                "band": band,
                "fiber_idx": fibers[name]["fiber_idx"] if name in fibers else i,
            }
            for band, frame in self._raw_bands(None, None).items()
            for i, name in enumerate(frame)
        ]

    def _merge_qc(self, table: pd.DataFrame) -> None:
        """Join new columns to ``qc``; a column that it has already is replaced."""
        if self.qc.empty:
            self.qc = table
            return
        keys = [name for name in _KEYS if name in self.qc]
        old = self.qc[keys + [name for name in self.qc if name not in table]]
        joined = table.merge(old, on=keys, how="left")
        rest = self.qc.merge(table[keys], on=keys, how="left", indicator=True)
        rest = rest[rest.pop("_merge") == "left_only"]
        self.qc = pd.concat([joined, rest], ignore_index=True) if len(rest) else joined


def _raw_metrics() -> list[str]:
    from iblnm.signal.metrics import metrics

    return [metric.name for metric in metrics("frames")]


def _subset(names: Iterable[str] | None, known: Iterable[str]) -> list[str]:
    known = list(known)
    if names is None:
        return known
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown metrics {unknown}; known are {known}")
    return list(names)
