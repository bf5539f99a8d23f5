"""A group's regression per recording, decomposition, canonical correlation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from iblnm.errors import DataError
from iblnm.pipeline.rules.values import as_values

if TYPE_CHECKING:
    from iblnm.analysis.encoding.decomposition import GLMPCAResult
    from iblnm.analysis.stats.cca import CCAResult
    from iblnm.config import Settings


class Encoding:
    """Methods of a group; results are None until a method fills them.

    Attributes
    ----------
    glm_response_features : DataFrame
        Coefficients by recording, index (eid, target_NM, fiber_idx).
    psychometric_features : DataFrame
        Lateralised psychometric parameters, same index.
    glm_pca_result, glm_ica_result : GLMPCAResult
    cca_result : CCAResult
        All recordings together.
    cohort_cca_results : dict of str to CCAResult
        By target, signs aligned; ``cohort_cca_data`` the features of each.
    cohort_cca_cross_projections : DataFrame
    cohort_cca_weight_similarities : dict of str to DataFrame
        ``x`` (encoding) and ``y`` (behaviour).
    """

    LAZY: ClassVar[tuple[str, ...]] = (
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
    recordings: pd.DataFrame
    response_magnitudes: pd.DataFrame | None
    performance: pd.DataFrame | None
    get_response_magnitudes: Any
    load_performance: Any
    _tell_if_empty: Any

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
        from iblnm.analysis.encoding.glm import features_of, fit_response_glm
        from iblnm.analysis.trials import analysed_trials

        self._tell_if_empty()
        if self.response_magnitudes is None:
            self.get_response_magnitudes()
        encoding = self.settings.encoding
        trials, _ = analysed_trials(self.response_magnitudes, self.settings)
        coefficients, errors = fit_response_glm(
            trials,
            event_name,
            min_trials=encoding.min_trials if min_trials is None else min_trials,
            contrast_coding=contrast_coding or encoding.contrast_coding,
            contrasts=self.settings.analysis_contrasts,
        )
        self.glm_response_features = features_of(coefficients, errors if weight_by_se else None)
        return self.glm_response_features

    def get_psychometric_features(
        self,
        performance_path: Path | str | None = None,
        params: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Psychometric parameters relative to the fibre of each recording.

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
            self.load_performance(performance_path or self.settings.data_dir / "performance.pqt")
        self.psychometric_features = psychometric_features(
            self.recordings,
            self.performance,
            as_values(params or self.settings.encoding.psychometric_parameters),
        )
        return self.psychometric_features

    def pca_glm_coefficients(
        self, n_components: int | None = None, cohort_weighted: bool = False
    ) -> GLMPCAResult:
        """Principal components of the coefficients; also in ``glm_pca_result``."""
        from iblnm.analysis.encoding.decomposition import pca_glm_coefficients

        features = self._glm_features()
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
        """Canonical correlation of coefficients and behaviour over all recordings.

        The intercept is left out; whole sessions are permuted. Also in ``cca_result``.
        """
        from iblnm.analysis.stats.cca import fit_cca

        encoding, behaviour = self._views(exclude_intercept=True)
        sessions = encoding.index.get_level_values("eid").to_numpy()
        self.cca_result = fit_cca(
            encoding, behaviour, n_components, n_permutations, sessions, seed
        )
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
        """First canonical pair of coefficients and behaviour for each target.

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

        encoding, behaviour = self._views(exclude_intercept)
        settings = self.settings.encoding
        fitted = fit_cohort_ccas(
            encoding,
            behaviour,
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
            ``x`` (encoding) and ``y`` (behaviour), square; also in
            ``cohort_cca_weight_similarities``.
        """
        from iblnm.analysis.encoding.cca_compare import pairwise_weight_similarities

        self.cohort_cca_weight_similarities = pairwise_weight_similarities(self._fitted(cohorts))
        return self.cohort_cca_weight_similarities

    def _glm_features(self) -> pd.DataFrame:
        if self.glm_response_features is None:
            self.get_glm_response_features()
        return self.glm_response_features

    def _views(self, exclude_intercept: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
        encoding = self._glm_features()
        if self.psychometric_features is None:
            self.get_psychometric_features()
        if exclude_intercept:
            encoding = encoding.drop(columns="intercept", errors="ignore")
        common = encoding.index.intersection(self.psychometric_features.index).sort_values()
        return encoding.loc[common], self.psychometric_features.loc[common]

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
