"""A group's analyses: calls of the slices of `iblnm.analysis`, whose results the group keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.constants import STIMULUS_EVENT
from iblnm.data._group_tables import GroupTables
from iblnm.errors import DataError
from iblnm.pipeline.rules.values import as_values

if TYPE_CHECKING:
    from iblnm.analysis.encoding.decomposition import GLMPCAResult
    from iblnm.analysis.lmm.model import LMMResult
    from iblnm.analysis.stats.cca import CCAResult


class GroupAnalyses(GroupTables):
    """Analyses of a group; what they return stays as an attribute, None until then.

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
    lmm_results : dict of (target, event) to LMMResult
        ``lmm_re_formula`` their random effects, ``lmm_notes`` what could not be fitted.
    wheel_lmm_results : dict of (target, contrast, variable) to dict
    cohort_cca_results : dict of str to CCAResult
        By target, signs aligned; ``cohort_cca_data`` the features of each.
    """

    def response_similarity_matrix(self, **features: Any) -> pd.DataFrame:
        """Cosine similarity of the response vectors of every two recordings.

        Parameters
        ----------
        **features
            For `get_response_features`, if the features are not there yet.

        Returns
        -------
        DataFrame
            Index and columns (eid, target_NM, fiber_idx); also in ``similarity_matrix``. The
            features are made with their defaults if they are not there.
        """
        from iblnm.analysis.similarity.cosine import cosine_similarity_matrix

        self.similarity_matrix = cosine_similarity_matrix(self._features(**features))
        return self.similarity_matrix

    def decode_target(
        self,
        normalize: bool = True,
        C: float | None = None,
        Cs: Sequence[float] | None = None,
        *,
        contributions: bool = True,
        **features: Any,
    ) -> Any:
        """Decode the target of every recording from animals that the decoder has not seen.

        Parameters
        ----------
        normalize, C, Cs
            See `iblnm.analysis.decode_target_nm`.
        contributions : bool
            Whether the contribution of each feature is computed too.
        **features
            For `get_response_features`, if the features are not there yet.

        Returns
        -------
        TargetNMDecoder
            Fitted; also in ``decoder``.
        """
        from iblnm.analysis.decoding.decoder import TargetNMDecoder

        vectors = self._features(**features)
        vectors = vectors[vectors.notna().all(axis=1)]
        labels = vectors.index.get_level_values("target_NM")
        self.decoder = TargetNMDecoder(vectors, labels, self._subjects(vectors), normalize)
        self.decoder.fit(C=C, Cs=Cs)
        if contributions:
            self.decoder.unique_contribution()
        return self.decoder

    def anova_response_magnitudes(
        self,
        response_col: str = "response_early",
        min_subjects: int | None = None,
        min_trials: int | None = None,
    ) -> dict[tuple[str, str], pd.DataFrame]:
        """Repeated-measures ANOVA per target and event.

        Parameters
        ----------
        response_col, min_subjects, min_trials
            See `iblnm.analysis.anova.compute.response_anova`.

        Returns
        -------
        dict of (target, event) to DataFrame
            Columns as of `iblnm.analysis.anova_rm`, events without ``_times``; empty if
            nothing can be analyzed. Also in ``anova_results``.
        """
        from iblnm.analysis.anova.compute import response_anova
        from iblnm.analysis.familiar import anova_tables

        result = response_anova(
            self._magnitudes(),
            self.settings,
            response_col=response_col,
            min_subjects=min_subjects,
            min_trials=min_trials,
        )
        self.anova_results = anova_tables(result.tables["response_anova"])
        return self.anova_results

    def fit_lmm(
        self,
        response_col: str = "response_early",
        min_subjects: int = 2,
        re_formulas: Sequence[str] | None = None,
        contrast_coding: str = "log",
    ) -> dict[tuple[str, str], LMMResult]:
        """Fit the mixed model of every target and event.

        Parameters
        ----------
        response_col : str
        min_subjects : int
        re_formulas : sequence of str, optional
            Random effects in order of preference; those of the settings by default.
        contrast_coding : {'log', 'linear', 'rank'}

        Returns
        -------
        dict of (target, event) to LMMResult
            Events without ``_times``; also in ``lmm_results``. ``lmm_coefficients`` has their
            fixed effects with corrected p.
        """
        from iblnm.analysis.familiar import short_event, with_known_names
        from iblnm.analysis.lmm.compute import coefficient_table, fit_responses
        from iblnm.analysis.trials import analyzed_trials

        fits, self.lmm_notes = fit_responses(
            analyzed_trials(self._magnitudes(), self.settings, response_col)[0],
            self.settings,
            response_col=response_col,
            min_subjects=min_subjects,
            re_formulas=None if re_formulas is None else as_values(re_formulas),
            contrast_coding=contrast_coding,
        )
        table = coefficient_table(fits, self.settings.models.correction)
        self.lmm_coefficients = with_known_names(table)
        self.lmm_results = {
            (target, short_event(event)): fit for (target, event), fit in fits.items()
        }
        self.lmm_re_formula = {key: fit.re_formula for key, fit in self.lmm_results.items()}
        return self.lmm_results

    def fit_wheel_lmm(
        self, response_col: str = "response_early", min_subjects: int = 2
    ) -> dict[tuple[str, float, str], dict[str, Any]]:
        """Fit the wheel models of every target, contrast and variable.

        Peak velocities are those of ``peak_velocity``; without them (see
        `enrich_peak_velocity`) that variable is left out.

        Returns
        -------
        dict of (target, contrast, variable) to dict
            Also in ``wheel_lmm_results``; ``wheel_lmm_summary`` is their table: schema
            `WHEEL_MODELS` and the names of `iblnm.analysis.fit_wheel_lmm`.
        """
        from iblnm.analysis.familiar import wheel_summary
        from iblnm.analysis.movement.compute import fit_wheel_models, with_peak_velocity
        from iblnm.analysis.trials import analyzed_trials

        trials, _ = analyzed_trials(self._magnitudes(), self.settings, response_col)
        trials = trials[trials["event"] == STIMULUS_EVENT]
        summary = fit_wheel_models(
            with_peak_velocity(trials, self.peak_velocity),
            self.settings,
            response_col=response_col,
            min_subjects=min_subjects,
        )
        rows = [wheel_summary(row) for row in summary.to_dict("records")]
        self.wheel_lmm_summary = pd.DataFrame(rows, columns=None if rows else summary.columns)
        self.wheel_lmm_results = {
            (row["target_NM"], row["contrast"], row["dv"]): row for row in rows
        }
        return self.wheel_lmm_results

    def fit_movement_encoding(self) -> pd.DataFrame:
        """Cross-validated ΔR² of contrast and timing, its test, and slopes per contrast.

        Returns
        -------
        DataFrame
            Schema `MOVEMENT_ENCODING`; also in ``movement_encoding``, the others in
            ``movement_tests`` and ``movement_slopes``.
        """
        from iblnm.analysis.movement.compute import movement_encoding

        result = movement_encoding(self._magnitudes(), self.peak_velocity, self.settings)
        self.movement_encoding = result.tables["movement_encoding"]
        self.movement_tests = result.tables["movement_tests"]
        self.movement_slopes = result.tables["movement_slopes"]
        return self.movement_encoding

    def get_glm_response_features(
        self,
        event_name: str = "stimOn_times",
        weight_by_se: bool = False,
        min_trials: int | None = None,
        contrast_coding: str | None = None,
    ) -> pd.DataFrame:
        """Coefficients of a linear model of each recording's responses to an event.

        Parameters
        ----------
        event_name : str
        weight_by_se : bool
            Divide every coefficient by its standard error.
        min_trials, contrast_coding
            See `iblnm.analysis.fit_response_glm`; those of the settings by default.

        Returns
        -------
        DataFrame
            Index (eid, target_NM, fiber_idx); also in ``glm_response_features``.
        """
        from iblnm.analysis.encoding.compute import recording_features

        self.glm_response_features = recording_features(
            self._magnitudes(),
            event_name,
            self.settings,
            weight_by_se=weight_by_se,
            min_trials=min_trials,
            contrast_coding=contrast_coding,
        )
        return self.glm_response_features

    def get_psychometric_features(
        self,
        performance_path: Path | str | None = None,
        params: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Psychometric parameters relative to the fiber of each recording.

        Parameters
        ----------
        performance_path : path, optional
            Table of performance; by default the one that is loaded, else that of the settings.
        params : sequence of str, optional
            See `iblnm.analysis.encoding.psychometric_features.psychometric_features`.

        Returns
        -------
        DataFrame
            Index (eid, target_NM, fiber_idx); also in ``psychometric_features``.
        """
        from iblnm.analysis.encoding.psychometric_features import psychometric_features

        self._tell_if_empty()
        if performance_path is not None or self.performance is None:
            self.load_performance(performance_path)
        if self.performance is None:
            raise DataError("no table of performance: give its path, or assign .performance")
        self.psychometric_features = psychometric_features(
            self.recordings,
            self.performance,
            as_values(params or self.settings.encoding.psychometric_parameters),
        )
        return self.psychometric_features

    def pca_glm_coefficients(
        self,
        event_name: str | None = None,
        contrast_coding: str | None = None,
        n_components: int | None = None,
        min_trials: int | None = None,
        cohort_weighted: bool = False,
    ) -> GLMPCAResult | None:
        """Principal components of the coefficients of each recording's regression.

        Parameters
        ----------
        event_name, contrast_coding, min_trials
            Given any, the regression is fitted first, see `get_glm_response_features`; else
            that of ``glm_response_features`` is taken if it is there.
        n_components : int, optional
            That of the settings by default.
        cohort_weighted : bool
            See `iblnm.analysis.pca_glm_coefficients`.

        Returns
        -------
        GLMPCAResult or None
            Also in ``glm_pca_result``; None without recordings.
        """
        from iblnm.analysis.encoding.decomposition import pca_glm_coefficients

        if any(given is not None for given in (event_name, contrast_coding, min_trials)):
            self.get_glm_response_features(
                event_name or STIMULUS_EVENT,
                min_trials=min_trials,
                contrast_coding=contrast_coding,
            )
        features = self._glm_features()
        if features.empty:
            self.glm_pca_result = None
            return None
        self.glm_pca_result = pca_glm_coefficients(
            features,
            n_components or self.settings.encoding.n_components,
            cohort_weighted,
            subjects=self._subjects(features),
        )
        return self.glm_pca_result

    def ica_glm_coefficients(
        self,
        n_components: int | None = None,
        cohort_weighted: bool = False,
        seed: int | None = None,
    ) -> GLMPCAResult:
        """Independent components of the coefficients; also in ``glm_ica_result``."""
        from iblnm.analysis.encoding.decomposition import ica_glm_coefficients

        features = self._glm_features()
        self.glm_ica_result = ica_glm_coefficients(
            features,
            n_components or self.settings.encoding.n_components,
            cohort_weighted,
            subjects=self._subjects(features),
            seed=self.settings.encoding.seed if seed is None else seed,
        )
        return self.glm_ica_result

    def fit_cca(
        self, n_components: int | None = None, n_permutations: int = 1000, seed: int = 42
    ) -> CCAResult:
        """Canonical correlation of coefficients and behavior over all recordings.

        The intercept is left out; whole sessions are permuted. Also in ``cca_result``.
        """
        from iblnm.analysis.stats.cca import fit_cca

        encoding, behavior = self._views(exclude_intercept=True)
        sessions = encoding.index.get_level_values("eid").to_numpy()
        self.cca_result = fit_cca(encoding, behavior, n_components, n_permutations, sessions, seed)
        return self.cca_result

    def fit_cohort_cca(
        self,
        n_permutations: int = 1000,
        seed: int = 42,
        min_recordings: int | None = None,
        exclude_intercept: bool = True,
        sparse: bool = False,
        alpha: float | Sequence[float] | None = None,
        l1_ratio: float = 0.0,
        unit_norm: bool = True,
    ) -> dict[str, CCAResult]:
        """First canonical pair of coefficients and behavior for each target.

        Parameters
        ----------
        n_permutations, seed
            Of whole sessions.
        min_recordings : int, optional
            Complete recordings that a target needs; that of the settings by default.
        exclude_intercept : bool
        sparse, alpha, l1_ratio, unit_norm
            See `iblnm.analysis.fit_sparse_cca`; the penalty is by default chosen among those
            of the settings, within every permutation.

        Returns
        -------
        dict of str to CCAResult
            By target, signs aligned; also in ``cohort_cca_results``, the features of each
            target in ``cohort_cca_data``. Targets with fewer recordings are left out.
        """
        from iblnm.analysis.encoding.cohort_cca import fit_cohort_ccas

        encoding, behavior = self._views(exclude_intercept)
        settings = self.settings.encoding
        fitted = fit_cohort_ccas(
            encoding,
            behavior,
            n_permutations=n_permutations,
            seed=seed,
            min_recordings=settings.min_recordings if min_recordings is None else min_recordings,
            sparse=sparse,
            alpha=settings.penalties if alpha is None else alpha,
            l1_ratio=l1_ratio,
            unit_norm=unit_norm,
            subjects=self._subject_of_session(),
        )
        self.cohort_cca_results, self.cohort_cca_data = fitted.results, fitted.data
        return self.cohort_cca_results

    def cross_project_cca(self, cohorts: Sequence[str] | None = None) -> pd.DataFrame:
        """Correlation that each target's weights give in each target's recordings.

        Parameters
        ----------
        cohorts : sequence of str, optional
            Targets; all that were fitted by default.

        Returns
        -------
        DataFrame
            Rows the target of the data, columns that of the weights; also in
            ``cohort_cca_cross_projections``.
        """
        from iblnm.analysis.encoding.cca_compare import pairwise_projections

        self.cohort_cca_cross_projections = pairwise_projections(
            self._fitted(cohorts), self.cohort_cca_data
        )
        return self.cohort_cca_cross_projections

    def compare_cca_weights(self, cohorts: Sequence[str] | None = None) -> dict[str, pd.DataFrame]:
        """Cosine of the weights of every two targets.

        Parameters
        ----------
        cohorts : sequence of str, optional
            Targets; all that were fitted by default.

        Returns
        -------
        dict of str to DataFrame
            ``x`` (encoding) and ``y`` (behavior), square; also in
            ``cohort_cca_weight_similarities``.
        """
        from iblnm.analysis.encoding.cca_compare import pairwise_weight_similarities

        self.cohort_cca_weight_similarities = pairwise_weight_similarities(self._fitted(cohorts))
        return self.cohort_cca_weight_similarities

    def _features(self, **options: Any) -> pd.DataFrame:
        if self.response_features is None:
            self.get_response_features(**options)
        return self.response_features

    def _glm_features(self) -> pd.DataFrame:
        if self.glm_response_features is None:
            self.get_glm_response_features()
        return self.glm_response_features

    def _views(self, exclude_intercept: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
        from iblnm.analysis.encoding.compute import common_views

        encoding = self._glm_features()
        if self.psychometric_features is None:
            self.get_psychometric_features()
        return common_views(encoding, self.psychometric_features, exclude_intercept)

    def _subject_of_session(self) -> dict[str, str]:
        return dict(zip(self.recordings["eid"], self.recordings["subject"], strict=True))

    def _subjects(self, features: pd.DataFrame) -> list[str]:
        subjects = self._subject_of_session()
        return [subjects[eid] for eid in features.index.get_level_values("eid")]

    def _fitted(self, cohorts: Sequence[str] | None) -> dict[str, CCAResult]:
        if self.cohort_cca_results is None:
            raise DataError("no canonical correlation by target; call fit_cohort_cca() first")
        cohorts = None if cohorts is None else as_values(cohorts)
        missing = [name for name in cohorts or () if name not in self.cohort_cca_results]
        if missing:
            raise DataError(
                f"no result for {', '.join(missing)}; fitted are "
                f"{', '.join(self.cohort_cca_results) or 'none'}"
            )
        return {name: self.cohort_cca_results[name] for name in cohorts or self.cohort_cca_results}
