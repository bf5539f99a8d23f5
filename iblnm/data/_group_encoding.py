"""Encoding and behavior of a group's recordings: regressions, components, canonical variates."""

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
    from iblnm.analysis.stats.cca import CCAResult


class GroupEncoding(GroupTables):
    """Methods of a group over the coefficients of its recordings and their behavior."""

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
            self.responses_with_times(),
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
        """Behavior of the session of each recording, sides relative to its fiber.

        Parameters
        ----------
        performance_path : path, optional
            Table of performance; by default the one that is loaded, else that of the settings.
        params : sequence of str, optional
            Columns of the table of performance; by default threshold, bias and both lapses of
            the 50 block.

        Returns
        -------
        DataFrame
            Index that of ``response_features``, without them that of
            ``glm_response_features``, else of the recordings; columns as of
            `iblnm.analysis.familiar_encoding.behavior_features`: ``psych_50_bias`` is relative
            to the fiber, ``psych_50_lapse_contra`` and ``psych_50_lapse_ipsi`` stand for left
            and right. Also in ``psychometric_features``.
        """
        from iblnm.analysis.encoding.glm import recording_index
        from iblnm.analysis.familiar_encoding import BEHAVIOR, behavior_features

        self._tell_if_empty()
        if performance_path is not None or self.performance is None:
            self.load_performance(performance_path)
        if self.performance is None:
            raise DataError("no table of performance: give its path, or assign .performance")
        features = [self.response_features, self.glm_response_features]
        indices = [table.index for table in features if table is not None]
        self.psychometric_features = behavior_features(
            indices[0] if indices else recording_index(self.recordings),
            self.recordings,
            self.performance,
            BEHAVIOR if params is None else as_values(params),
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

        features = self._features_of_event(event_name, contrast_coding, min_trials)
        if features is None:
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
        event_name: str | None = None,
        contrast_coding: str | None = None,
        n_components: int | None = None,
        min_trials: int | None = None,
        cohort_weighted: bool = False,
        *,
        seed: int | None = None,
    ) -> GLMPCAResult | None:
        """Independent components, as `pca_glm_coefficients`; also in ``glm_ica_result``."""
        from iblnm.analysis.encoding.decomposition import ica_glm_coefficients

        features = self._features_of_event(event_name, contrast_coding, min_trials)
        if features is None:
            self.glm_ica_result = None
            return None
        self.glm_ica_result = ica_glm_coefficients(
            features,
            n_components or self.settings.encoding.n_components,
            cohort_weighted,
            subjects=self._subjects(features),
            seed=self.settings.encoding.seed if seed is None else seed,
        )
        return self.glm_ica_result

    def _features_of_event(
        self, event_name: str | None, contrast_coding: str | None, min_trials: int | None
    ) -> pd.DataFrame | None:
        """Coefficients, fitted anew if anything is given; None without recordings."""
        if any(given is not None for given in (event_name, contrast_coding, min_trials)):
            self.get_glm_response_features(
                event_name or STIMULUS_EVENT,
                min_trials=min_trials,
                contrast_coding=contrast_coding,
            )
        features = self._glm_features()
        return None if features.empty else features

    def fit_cca(
        self, n_components: int | None = None, n_permutations: int = 1000, seed: int = 42
    ) -> CCAResult:
        """Canonical correlation of response vectors and behavior over all recordings.

        Of ``response_features`` and ``psychometric_features``, which are made with their
        defaults if they are not there. Whole sessions are permuted. Also in ``cca_result``.
        """
        from iblnm.analysis.encoding.compute import common_views
        from iblnm.analysis.stats.cca import fit_cca

        responses = self._features()
        if self.psychometric_features is None:
            self.get_psychometric_features()
        x, y = common_views(responses, self.psychometric_features, False)
        sessions = x.index.get_level_values("eid").to_numpy()
        self.cca_result = fit_cca(x, y, n_components, n_permutations, sessions, seed)
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
            See `iblnm.analysis.fit_penalized_cca`; the penalty is by default chosen among those
            of the settings, within every permutation.

        Returns
        -------
        dict of str to CCAResult
            By target, signs aligned; also in ``cohort_cca_results``. ``cohort_cca_data`` has
            the two standardized arrays of each target. Targets with fewer recordings are left
            out.

        Raises
        ------
        DataError
            A `ValueError`: if no target has enough recordings.
        """
        from iblnm.analysis.encoding.cohort_cca import fit_cohort_ccas
        from iblnm.analysis.stats.cca import standardize_views

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
        if not fitted.results:
            why = "; ".join(f"{target}: {note}" for target, note in fitted.notes.items())
            raise DataError(f"no target can be analyzed: {why or 'no recordings'}")
        self.cohort_cca_results = fitted.results
        views = {target: standardize_views(*data) for target, data in fitted.data.items()}
        self.cohort_cca_data = {
            target: (own.x.to_numpy(), own.y.to_numpy()) for target, own in views.items()
        }
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
            ``data_cohort``, ``weight_cohort``, ``correlation``: every two targets, in both
            directions. Also in ``cohort_cca_cross_projections``.
        """
        from iblnm.analysis.encoding.cca_compare import pairwise_projections
        from iblnm.analysis.familiar_encoding import long_projections

        square = pairwise_projections(self._fitted(cohorts), self.cohort_cca_data)
        self.cohort_cca_cross_projections = long_projections(square)
        return self.cohort_cca_cross_projections

    def compare_cca_weights(self, cohorts: Sequence[str] | None = None) -> pd.DataFrame:
        """Cosine of the weights of every two targets.

        Parameters
        ----------
        cohorts : sequence of str, optional
            Targets; all that were fitted by default.

        Returns
        -------
        DataFrame
            ``cohort_a``, ``cohort_b``, ``neural_cosine``, ``behavioral_cosine``; also in
            ``cohort_cca_weight_similarities``.
        """
        from iblnm.analysis.encoding.cca_compare import pairwise_weight_similarities
        from iblnm.analysis.familiar_encoding import long_similarities

        square = pairwise_weight_similarities(self._fitted(cohorts))
        self.cohort_cca_weight_similarities = long_similarities(square)
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
