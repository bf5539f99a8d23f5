"""A group's analyses: calls of the slices of `iblnm.analysis`, whose results the group keeps."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.constants import STIMULUS_EVENT
from iblnm.data._group_encoding import GroupEncoding
from iblnm.pipeline.rules.values import as_values

if TYPE_CHECKING:
    from iblnm.analysis.lmm.model import LMMResult


class GroupAnalyses(GroupEncoding):
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
            self.responses_with_times(),
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
        from iblnm.analysis.familiar import (
            short_event,
            warn_of_unknown_contrasts,
            with_known_names,
        )
        from iblnm.analysis.lmm.compute import coefficient_table, fit_responses
        from iblnm.analysis.trials import analyzed_trials

        trials, _ = analyzed_trials(self.responses_with_times(), self.settings, response_col)
        warn_of_unknown_contrasts(trials, contrast_coding, self.settings.analysis_contrasts)
        fits, self.lmm_notes = fit_responses(
            trials,
            self.settings,
            response_col=response_col,
            min_subjects=min_subjects,
            re_formulas=None if re_formulas is None else as_values(re_formulas),
            contrast_coding=contrast_coding,
        )
        if not fits:
            warnings.warn(
                f"no model is fitted: {'; '.join(self.lmm_notes) or 'too few subjects'}",
                stacklevel=2,
            )
        table = coefficient_table(
            fits,
            self.settings.models.correction,
            self.settings.models.min_subjects_for_p,
        )
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

        trials, _ = analyzed_trials(self.responses_with_times(), self.settings, response_col)
        trials = trials[trials["event"] == STIMULUS_EVENT]
        summary = fit_wheel_models(
            with_peak_velocity(trials, self.peak_velocity),
            self.settings,
            response_col=response_col,
            min_subjects=min_subjects,
        )
        if summary.empty:
            warnings.warn(
                f"no wheel model is fitted: {len(trials)} trials at the stimulus, {min_subjects} "
                "subjects of a target are needed",
                stacklevel=2,
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

        result = movement_encoding(self.responses_with_times(), self.peak_velocity, self.settings)
        self.movement_encoding = result.tables["movement_encoding"]
        self.movement_tests = result.tables["movement_tests"]
        self.movement_slopes = result.tables["movement_slopes"]
        return self.movement_encoding
