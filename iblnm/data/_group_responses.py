"""A group's trial-level responses and the features made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from iblnm.analysis.regressors.tables import PEAK_VELOCITY
from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.analysis.stored import (
    ResponseTraces,
    Skipped,
    iterate_sessions,
)
from iblnm.analysis.traces.tables import MEAN_TRACES
from iblnm.analysis.vectors.tables import RESPONSE_MATRIX
from iblnm.pipeline.rules.values import as_values
from iblnm.schemas import PERFORMANCE, TRIAL_TIMING

if TYPE_CHECKING:
    import xarray as xr

    from iblnm.config import Settings


class Responses:
    """Responses of a group; every table is None until a method fills it.

    Attributes
    ----------
    response_magnitudes : DataFrame
        One row per recording, event and trial; also ``events``.
    response_features : DataFrame
        One row per recording, index (eid, target_NM, fiber_idx).
    mean_traces, trial_timing, peak_velocity, performance : DataFrame
        Schemas `MEAN_TRACES`, `TRIAL_TIMING`, `PEAK_VELOCITY`, `PERFORMANCE`.
    response_traces : mapping
        By (eid, fiber_idx), see `load_response_traces`; ``response_traces_tpts`` its times.
    skipped : Skipped
        What the last method that read session files could not use.
    """

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
    _BY_RECORDING: ClassVar[tuple[str, ...]] = (
        "response_magnitudes",
        "response_features",
        "mean_traces",
    )
    _BY_SESSION: ClassVar[tuple[str, ...]] = (
        "trial_timing",
        "trial_regressors",
        "peak_velocity",
        "performance",
    )

    settings: Settings
    h5_dir: Path
    sessions: pd.DataFrame
    recordings: pd.DataFrame
    skipped: Skipped
    _tell_if_empty: Any

    @property
    def events(self) -> pd.DataFrame | None:
        """The table of response magnitudes, under its earlier name."""
        return self.response_magnitudes

    def get_response_magnitudes(self, min_coverage: float | None = None) -> pd.DataFrame:
        """Mean early response of every recording, event and trial, from the session files.

        Parameters
        ----------
        min_coverage : float, optional
            Share of the window's samples that a magnitude needs; that of the settings by
            default. See `iblnm.analysis.trials.early_responses`.

        Returns
        -------
        DataFrame
            Schema `RESPONSE_MAGNITUDES`, all trials; also in ``response_magnitudes``.
        """
        from iblnm.analysis.responses.compute import collect_magnitudes

        self._tell_if_empty()
        self.response_magnitudes, self.skipped = collect_magnitudes(
            self.recordings, self.h5_dir, self.settings, min_coverage=min_coverage
        )
        return self.response_magnitudes

    def get_response_features(
        self,
        nan_handling: str | None = "drop_features",
        min_trials: int | None = None,
        events: str | Sequence[str] | None = None,
        max_nan_rate: float | None = None,
        response_col: str = "response_early",
    ) -> pd.DataFrame:
        """Mean response per condition of every recording.

        Parameters
        ----------
        nan_handling, max_nan_rate
            See `iblnm.analysis.vectors.matrix.handle_missing`.
        min_trials, events, response_col
            See `iblnm.analysis.vectors.matrix.response_matrix`.

        Returns
        -------
        DataFrame
            Index (eid, target_NM, fiber_idx); also in ``response_features``.
        """
        from iblnm.analysis.vectors.compute import features_of

        self.response_features, _, _ = features_of(
            self._magnitudes(),
            self.settings,
            nan_handling=nan_handling,
            min_trials=min_trials,
            events=None if events is None else as_values(events),
            max_nan_rate=max_nan_rate,
            response_col=response_col,
        )
        return self.response_features

    def get_mean_traces(self) -> pd.DataFrame:
        """Mean trace of every recording, event, contrast and outcome.

        Returns
        -------
        DataFrame
            Schema `MEAN_TRACES`; also in ``mean_traces``.
        """
        from iblnm.analysis.traces.compute import collect_traces

        self._tell_if_empty()
        self.mean_traces, self.skipped = collect_traces(
            self.recordings, self.h5_dir, self.settings
        )
        return self.mean_traces

    def get_trial_regressors(self) -> pd.DataFrame:
        """Task and movement variables of every trial, from the session files.

        Returns
        -------
        DataFrame
            Schema `TRIAL_REGRESSORS`; also in ``trial_regressors``.
        """
        from iblnm.analysis.regressors.compute import collect_regressors

        self._tell_if_empty()
        self.trial_regressors, self.skipped = collect_regressors(self.sessions, self.h5_dir)
        return self.trial_regressors

    def get_trial_timing(self) -> pd.DataFrame:
        """Conditions and times of every trial; also in ``trial_timing``."""
        from iblnm.data.catalog import stack_timing

        self._tell_if_empty()
        self.skipped = Skipped()
        sessions = iterate_sessions(self.sessions, self.h5_dir, "trials", skipped=self.skipped)
        self.trial_timing = stack_timing(
            (str(own["eid"].iloc[0]), data["trials"]) for own, data in sessions
        )
        return self.trial_timing

    def enrich_peak_velocity(self) -> pd.DataFrame:
        """Put the largest speed of the wheel beside the trials.

        Returns
        -------
        DataFrame
            Schema `PEAK_VELOCITY`; also in ``peak_velocity``, and as a column of
            ``response_magnitudes`` and ``trial_timing`` if they are there.
        """
        if self.peak_velocity is None:
            self.peak_velocity = self.get_trial_regressors()[PEAK_VELOCITY.names]
        for name in ("response_magnitudes", "trial_timing"):
            table = getattr(self, name)
            if table is not None:
                table = table.drop(columns="peak_velocity", errors="ignore")
                enriched = table.merge(self.peak_velocity, on=["eid", "trial"], how="left")
                setattr(self, name, enriched)
        return self.peak_velocity

    def load_response_traces(self) -> ResponseTraces:
        """Make the traces of every recording available, baseline subtracted and masked.

        Returns
        -------
        mapping of (eid, fiber_idx) to DataArray (event, trial, time)
            Read from the session file at first use; as many sessions as the settings allow
            stay in memory. Also in ``response_traces``.
        """
        from iblnm.signal.perievent import relative_times

        self._tell_if_empty()
        signal = self.settings.signal
        self.response_traces = ResponseTraces(
            self.recordings,
            self.h5_dir,
            self._prepare_traces,
            self.settings.cohort.max_cached_sessions,
        )
        self.response_traces_tpts = relative_times(signal.response_window, signal.fs)
        return self.response_traces

    def flush_response_traces(self) -> None:
        """Let the traces in memory go."""
        self.response_traces = None
        self.response_traces_tpts = None

    def load_response_magnitudes(self, path: Path | str | None = None) -> pd.DataFrame:
        """Read ``response_magnitudes``; from the results of the settings by default."""
        return self._load("response_magnitudes", path, "responses/responses.pqt")

    def load_mean_traces(self, path: Path | str | None = None) -> pd.DataFrame:
        """Read ``mean_traces``; from the results of the settings by default."""
        return self._load("mean_traces", path, "responses/mean_traces.pqt")

    def load_peak_velocity(self, path: Path | str | None = None) -> pd.DataFrame:
        """Read ``peak_velocity``; from the trial regressors of the settings by default."""
        return self._load("peak_velocity", path, "responses/trial_regressors.pqt")

    def load_trial_timing(self, path: Path | str | None = None) -> pd.DataFrame:
        """Read ``trial_timing``; from the table of the settings by default."""
        path = self.settings.data_dir / "trial_timing.pqt" if path is None else path
        return self._load("trial_timing", path)

    def load_performance(self, path: Path | str | None = None) -> pd.DataFrame:
        """Read ``performance``; from the table of the settings by default."""
        path = self.settings.data_dir / "performance.pqt" if path is None else path
        return self._load("performance", path)

    def load_response_features(self, path: Path | str | None = None) -> pd.DataFrame:
        """Read ``response_features``; from the results of the settings by default."""
        from iblnm.analysis.vectors.matrix import from_table
        from iblnm.storage.parquet import read_table

        path = path or self.settings.results_dir / "responses" / "response_matrix.pqt"
        matrix, _ = from_table(RESPONSE_MATRIX.conform(read_table(path)))
        self.response_features = self._of_recordings(matrix)
        return self.response_features

    # inside --------------------------------------------------------------------------------

    def _magnitudes(self) -> pd.DataFrame:
        self._tell_if_empty()
        if self.response_magnitudes is None:
            self.get_response_magnitudes()
        return self.response_magnitudes

    def _prepare_traces(self, responses: xr.DataArray, trials: pd.DataFrame) -> xr.DataArray:
        from iblnm.analysis.trials import prepare_traces

        values = prepare_traces(
            responses,
            trials,
            event_order=self.settings.response_events,
            baseline_window=self.settings.signal.baseline_window,
        )
        return responses.transpose("event", "trial", "time").copy(data=values)

    def _load(self, name: str, path: Path | str | None, default: str = "") -> pd.DataFrame:
        from iblnm.storage.parquet import read_table

        schema = _SCHEMAS[name]
        table = read_table(self.settings.results_dir / default if path is None else path)
        table = schema.conform(table)
        by_recording = name in self._BY_RECORDING
        table = self._of_recordings(table) if by_recording else self._of_sessions(table)
        setattr(self, name, table)
        return table

    def _of_sessions(self, table: pd.DataFrame) -> pd.DataFrame:
        return table[table["eid"].isin(self.recordings["eid"])].reset_index(drop=True)

    def _of_recordings(self, table: pd.DataFrame) -> pd.DataFrame:
        names = ["eid", "fiber_idx"]
        indexed = isinstance(table.index, pd.MultiIndex)
        keys = table.index.to_frame(index=False) if indexed else table
        wanted = pd.MultiIndex.from_frame(self.recordings[names].astype({"eid": object}))
        own = pd.MultiIndex.from_frame(keys[names].astype({"eid": object, "fiber_idx": int}))
        kept = table[own.isin(wanted)]
        return kept if indexed else kept.reset_index(drop=True)

    def _cut_tables(self) -> dict[str, Any]:
        """The tables that are there, cut to the recordings in use."""
        cut: dict[str, Any] = {}
        for names, of in (
            (self._BY_RECORDING, self._of_recordings),
            (self._BY_SESSION, self._of_sessions),
        ):
            cut.update({name: of(getattr(self, name)) for name in names if _there(self, name)})
        return cut


_SCHEMAS = {
    "response_magnitudes": RESPONSE_MAGNITUDES,
    "mean_traces": MEAN_TRACES,
    "peak_velocity": PEAK_VELOCITY,
    "trial_timing": TRIAL_TIMING,
    "performance": PERFORMANCE,
}


def _there(group: Responses, name: str) -> bool:
    return getattr(group, name) is not None
