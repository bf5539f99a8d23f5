"""The tables and results that a group keeps, and how they follow its recordings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from iblnm.analysis.regressors.tables import PEAK_VELOCITY, TRIAL_REGRESSORS
from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.analysis.traces.tables import MEAN_TRACES
from iblnm.analysis.vectors.tables import RESPONSE_MATRIX
from iblnm.data.earlier_tables import (
    TIMES,
    complete_table,
    split_times,
    with_times,
    without_conditions,
)
from iblnm.errors import DataError
from iblnm.pipeline.rules.values import as_values
from iblnm.schemas import PERFORMANCE, TRIAL_TIMING
from iblnm.storage.names import validate_name

if TYPE_CHECKING:
    from iblnm.analysis.stored import ResponseTraces, Skipped
    from iblnm.config import Settings

# name: schema, file below the root
_STORED = {
    "response_magnitudes": (RESPONSE_MAGNITUDES, "results/responses/responses.pqt"),
    "mean_traces": (MEAN_TRACES, "results/responses/mean_traces.pqt"),
    "trial_regressors": (TRIAL_REGRESSORS, "results/responses/trial_regressors.pqt"),
    "peak_velocity": (PEAK_VELOCITY, "results/responses/trial_regressors.pqt"),
    "trial_timing": (TRIAL_TIMING, "data/trial_timing.pqt"),
    "performance": (PERFORMANCE, "data/performance.pqt"),
}


class GroupTables:
    """Tables by recording, tables by session and results of a group; None until they are made.

    When the recordings in use become fewer, the tables are cut to them and the results are
    forgotten.
    """

    BY_RECORDING: ClassVar[tuple[str, ...]] = (
        "response_magnitudes",
        "response_features",
        "mean_traces",
    )
    BY_SESSION: ClassVar[tuple[str, ...]] = (
        "trial_timing",
        "trial_regressors",
        "peak_velocity",
        "performance",
    )
    RESULTS: ClassVar[tuple[str, ...]] = (
        "response_traces",
        "response_traces_tpts",
        "similarity_matrix",
        "decoder",
        "anova_results",
        "lmm_results",
        "lmm_coefficients",
        "lmm_re_formula",
        "lmm_notes",
        "wheel_lmm_results",
        "wheel_lmm_summary",
        "movement_encoding",
        "movement_tests",
        "movement_slopes",
        "glm_response_features",
        "psychometric_features",
        "glm_pca_result",
        "glm_ica_result",
        "cca_result",
        "cohort_cca_results",
        "cohort_cca_data",
        "cohort_cca_cross_projections",
        "cohort_cca_weight_similarities",
    )

    settings: Settings
    h5_dir: Path
    sessions: Any
    recordings: Any
    skipped: Skipped
    _tell_if_empty: Any

    @property
    def events(self) -> pd.DataFrame | None:
        """The table of response magnitudes, under its earlier name."""
        return self.response_magnitudes

    @events.setter
    def events(self, table: pd.DataFrame | None) -> None:
        self.response_magnitudes = table

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
            Schema `RESPONSE_MAGNITUDES`, all trials, but for the times of the trials; also in
            ``response_magnitudes``. The times, one row per trial, are in ``trial_timing``
            unless that is there already.
        """
        from iblnm.analysis.responses.compute import collect_magnitudes

        self._tell_if_empty()
        table, self.skipped = collect_magnitudes(
            self.recordings, self.h5_dir, self.settings, min_coverage=min_coverage
        )
        return self._take_magnitudes(self._told(table))

    def get_response_features(
        self,
        nan_handling: str | None = "drop_features",
        nan_threshold: float | None = None,
        min_trials: int | None = None,
        events: str | Sequence[str] | None = None,
        response_col: str = "response_early",
        *,
        max_nan_rate: float | None = None,
    ) -> pd.DataFrame:
        """Mean response per condition of every recording.

        Parameters
        ----------
        nan_handling : str, optional
        nan_threshold : float, optional
            ``max_nan_rate`` of `iblnm.analysis.vectors.matrix.handle_missing`, under either
            name; that of the settings (0.3) by default.
        min_trials, events, response_col
            See `iblnm.analysis.vectors.matrix.response_matrix`.

        Returns
        -------
        DataFrame
            Index (eid, target_NM, fiber_idx); also in ``response_features``.
        """
        from iblnm.analysis.vectors.compute import features_of

        self.response_features, _, _ = features_of(
            self.responses_with_times(),
            self.settings,
            nan_handling=nan_handling,
            min_trials=min_trials,
            events=None if events is None else as_values(events),
            max_nan_rate=max_nan_rate if nan_threshold is None else nan_threshold,
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
        table, self.skipped = collect_traces(self.recordings, self.h5_dir, self.settings)
        self.mean_traces = self._told(table)
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
        table, self.skipped = collect_regressors(self.sessions, self.h5_dir)
        self.trial_regressors = self._told(table)
        return self.trial_regressors

    def get_trial_timing(self) -> pd.DataFrame:
        """Times of every trial, and the side chosen.

        Returns
        -------
        DataFrame
            ``eid``, ``trial``, ``reaction_time``, ``movement_time``, ``response_time`` [s],
            ``choice_side``; no column of ``response_magnitudes`` but the keys, so that the two
            can be merged. Also in ``trial_timing``.
        """
        from iblnm.analysis.stored import Skipped, iterate_sessions
        from iblnm.pipeline.catalog import stack_timing

        self._tell_if_empty()
        self.skipped = Skipped()
        sessions = iterate_sessions(self.sessions, self.h5_dir, "trials", skipped=self.skipped)
        timing = stack_timing((str(own["eid"].iloc[0]), data["trials"]) for own, data in sessions)
        self.trial_timing = without_conditions(self._told(timing))
        return self.trial_timing

    def enrich_peak_velocity(self) -> pd.DataFrame:
        """Put the largest speed of the wheel beside the trials.

        Returns
        -------
        DataFrame
            Schema `PEAK_VELOCITY`; also in ``peak_velocity``, and as a column of
            ``response_magnitudes``, without them of ``trial_timing``.
        """
        from iblnm.analysis.movement.compute import with_peak_velocity
        from iblnm.analysis.regressors.tables import PEAK_VELOCITY

        if self.peak_velocity is None:
            self.peak_velocity = self.get_trial_regressors()[PEAK_VELOCITY.names]
        for name in ("response_magnitudes", "trial_timing"):
            table = getattr(self, name)
            if table is not None:
                table = table.drop(columns="peak_velocity", errors="ignore")
                setattr(self, name, with_peak_velocity(table, self.peak_velocity))
                break
        return self.peak_velocity

    def load_response_traces(self) -> ResponseTraces:
        """Make the traces of every recording available, baseline subtracted and masked.

        Returns
        -------
        mapping of (eid, brain_region, event) to dict
            See `iblnm.analysis.stored.ResponseTraces`: ``traces``, ``tpts``, ``meta``,
            ``trials``. Read from the session file at first use; as many sessions as the
            settings allow stay in memory. Also in ``response_traces``.

        Raises
        ------
        DataError
            If none of the sessions has a file.
        """
        from functools import partial

        from iblnm.analysis.stored import ResponseTraces
        from iblnm.analysis.trials import prepared_traces
        from iblnm.signal.perievent import relative_times

        self._tell_if_empty()
        eids = self.recordings["eid"].unique()
        if len(eids) and not any((self.h5_dir / f"{validate_name(e)}.h5").exists() for e in eids):
            raise DataError(f"none of the {len(eids)} sessions in use has a file in {self.h5_dir}")
        signal = self.settings.signal
        self.response_traces = ResponseTraces(
            self.recordings,
            self.h5_dir,
            partial(prepared_traces, settings=self.settings),
            self.settings.cohort.max_cached_sessions,
        )
        self.skipped = self.response_traces.skipped
        self.response_traces_tpts = relative_times(signal.response_window, signal.fs)
        return self.response_traces

    def flush_response_traces(self) -> None:
        """Let the traces in memory go."""
        self.response_traces = None
        self.response_traces_tpts = None

    def load_response_magnitudes(self, path: Path | str | None = None) -> pd.DataFrame | None:
        """Read ``response_magnitudes``; from the results of the settings by default.

        Tables of earlier runs are completed: fiber, side of the stimulus. Times of the trials
        in the table become ``trial_timing``, unless that is there already.
        This and the other ``load_*`` warn of a file that does not exist, and leave None.
        """
        return self._load("response_magnitudes", path)

    def load_trial_regressors(self, path: Path | str | None = None) -> pd.DataFrame | None:
        """Read ``trial_regressors``; from the results of the settings by default."""
        return self._load("trial_regressors", path)

    def load_mean_traces(self, path: Path | str | None = None) -> pd.DataFrame | None:
        """Read ``mean_traces``; from the results of the settings by default."""
        return self._load("mean_traces", path)

    def load_peak_velocity(self, path: Path | str | None = None) -> pd.DataFrame | None:
        """Read ``peak_velocity``; from the trial regressors of the settings by default."""
        return self._load("peak_velocity", path)

    def load_trial_timing(self, path: Path | str | None = None) -> pd.DataFrame | None:
        """Read ``trial_timing``; from the table of the settings by default.

        Without the conditions of the trials, which are in ``response_magnitudes``.
        """
        return self._load("trial_timing", path)

    def load_performance(self, path: Path | str | None = None) -> pd.DataFrame | None:
        """Read ``performance``; from the table of the settings by default."""
        return self._load("performance", path)

    def load_response_features(self, path: Path | str | None = None) -> pd.DataFrame | None:
        """Read ``response_features``; from the results of the settings by default."""
        from iblnm.analysis.vectors.matrix import from_table
        from iblnm.storage.parquet import read_table

        default = self.settings.results_dir / "responses" / "response_matrix.pqt"
        path = default if path is None else Path(path)
        if not path.exists():
            warnings.warn(f"{path} does not exist: response_features stays None", stacklevel=2)
            self.response_features = None
            return None
        table = read_table(path)
        if any(name is not None for name in table.index.names):
            table = table.reset_index()
        table = complete_table(table, self.recordings)
        matrix, _ = from_table(RESPONSE_MATRIX.conform(table))
        self.response_features = self._of_recordings(matrix)
        return self.response_features

    def responses_with_times(self) -> pd.DataFrame:
        """The table of response magnitudes with the times of its trials, as analyses take it.

        Returns
        -------
        DataFrame
            ``response_magnitudes``, made if they are not there, joined with ``trial_timing``;
            what an assigned table lacks and can be derived is added.

        Raises
        ------
        MissingColumnError
            A `ValueError`: if there are no times of the trials.
        """
        self._tell_if_empty()
        if self.response_magnitudes is None:
            self.get_response_magnitudes()
        needs_times = self.settings.cohort.min_response_time_s is not None
        table = complete_table(self.response_magnitudes, self.recordings)
        return with_times(table, self.trial_timing, ("response_time",) if needs_times else ())

    def _told(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table that was read, with a warning of what was not; an error if that is all."""
        notes = "; ".join(self.skipped.notes())
        if table.empty and len(self.recordings):
            raise DataError(
                f"nothing could be read of {len(self.recordings)} recordings in {self.h5_dir}: "
                f"{notes or 'no trials are stored'}"
            )
        if notes:
            warnings.warn(notes, stacklevel=3)
        return table

    def _take_magnitudes(self, table: pd.DataFrame) -> pd.DataFrame:
        self.response_magnitudes, timing = split_times(table)
        if self.trial_timing is None:
            self.trial_timing = timing
        return self.response_magnitudes

    def _load(self, name: str, path: Path | str | None) -> pd.DataFrame | None:
        from iblnm.storage.parquet import read_table

        schema, default = _STORED[name]
        path = self.settings.root / default if path is None else Path(path)
        if not path.exists():
            warnings.warn(f"{path} does not exist: {name} stays None", stacklevel=3)
            setattr(self, name, None)
            return None
        table = complete_table(read_table(path), self.recordings)
        if name == "response_magnitudes":
            timing_path = self.settings.root / _STORED["trial_timing"][1]
            stored = read_table(timing_path) if timing_path.exists() else None
            table = with_times(table, stored)
            known = [column for column in TIMES if column in table]
            table = self._of_recordings(schema.conform(table))
            lacking = [column for column in TIMES if column not in known]
            return self._take_magnitudes(table.drop(columns=lacking))
        of = self._of_recordings if name in self.BY_RECORDING else self._of_sessions
        table = of(schema.conform(table))
        setattr(self, name, without_conditions(table) if name == "trial_timing" else table)
        return getattr(self, name)

    def _of_sessions(self, table: pd.DataFrame) -> pd.DataFrame:
        return table[table["eid"].isin(self.recordings["eid"])].reset_index(drop=True)

    def _of_recordings(self, table: pd.DataFrame) -> pd.DataFrame:
        indexed = isinstance(table.index, pd.MultiIndex)
        keys = table.index.to_frame(index=False) if indexed else table
        # tables that a script assigned may have no fiber
        names = ["eid", "fiber_idx"]
        if "fiber_idx" not in keys:
            names = [name for name in ("eid", "target_NM", "brain_region") if name in keys]
        wanted = pd.MultiIndex.from_frame(self.recordings[names].astype(object))
        kept = table[pd.MultiIndex.from_frame(keys[names].astype(object)).isin(wanted)]
        return kept if indexed else kept.reset_index(drop=True)

    def _cut_tables(self) -> dict[str, Any]:
        """The tables that are there, cut to the recordings in use."""
        cut: dict[str, Any] = {}
        for names, of in (
            (self.BY_RECORDING, self._of_recordings),
            (self.BY_SESSION, self._of_sessions),
        ):
            there = {name: getattr(self, name) for name in names}
            cut |= {name: of(table) for name, table in there.items() if table is not None}
        return cut

    def _forget_results(self) -> None:
        for name in (*self.BY_RECORDING, *self.BY_SESSION, *self.RESULTS):
            setattr(self, name, None)
