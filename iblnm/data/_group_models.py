"""A group's mixed models of responses, movements and the wheel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from iblnm.pipeline.rules.values import as_values

if TYPE_CHECKING:
    import pandas as pd

    from iblnm.analysis.lmm.model import LMMResult
    from iblnm.config import Settings


class Models:
    """Methods of a group; results are None until a method fills them.

    Attributes
    ----------
    lmm_results : dict of (target, event) to LMMResult
    lmm_coefficients : DataFrame
        Schema `iblnm.analysis.lmm.tables.LMM_COEFFICIENTS`.
    lmm_re_formula : dict of (target, event) to str
        Random effects of each fit.
    lmm_notes : list of str
        Targets and events that could not be fitted, and why.
    wheel_lmm_results : dict of (target, contrast, variable) to dict
    wheel_lmm_summary : DataFrame
        Schema `iblnm.analysis.movement.tables.WHEEL_MODELS`.
    movement_encoding, movement_tests, movement_slopes : DataFrame
        Schemas of these names.
    """

    LAZY: ClassVar[tuple[str, ...]] = (
        "lmm_results",
        "lmm_coefficients",
        "lmm_re_formula",
        "lmm_notes",
        "wheel_lmm_results",
        "wheel_lmm_summary",
        "movement_encoding",
        "movement_tests",
        "movement_slopes",
        "anova_results",
    )

    settings: Settings
    peak_velocity: pd.DataFrame | None
    _magnitudes: Any

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
            Also in ``lmm_results``; ``lmm_coefficients`` has their fixed effects with
            corrected p.
        """
        from iblnm.analysis.lmm.compute import coefficient_table, fit_responses

        fits, self.lmm_notes = fit_responses(
            self._selected(response_col),
            self.settings,
            response_col=response_col,
            min_subjects=min_subjects,
            re_formulas=None if re_formulas is None else as_values(re_formulas),
            contrast_coding=contrast_coding,
        )
        self.lmm_results = fits
        self.lmm_coefficients = coefficient_table(fits, self.settings.models.correction)
        self.lmm_re_formula = {key: fit.re_formula for key, fit in fits.items()}
        return fits

    def fit_wheel_lmm(
        self, response_col: str = "response_early", min_subjects: int = 2
    ) -> pd.DataFrame:
        """Fit the wheel models of every target, contrast and variable.

        Peak velocities are those of ``peak_velocity``; without them (see
        `enrich_peak_velocity`) that variable is left out.

        Returns
        -------
        DataFrame
            Schema `WHEEL_MODELS`; also in ``wheel_lmm_summary``.
        """
        from iblnm.analysis.movement.compute import fit_wheel_models, with_peak_velocity
        from iblnm.constants import STIMULUS_EVENT

        trials = self._selected(response_col)
        trials = trials[trials["event"] == STIMULUS_EVENT]
        summary = fit_wheel_models(
            with_peak_velocity(trials, self.peak_velocity),
            self.settings,
            response_col=response_col,
            min_subjects=min_subjects,
        )
        self.wheel_lmm_summary = summary
        self.wheel_lmm_results = {
            (row["target_NM"], row["contrast"], row["dv"]): row
            for row in summary.to_dict("records")
        }
        return summary

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

    def _selected(self, response_col: str) -> pd.DataFrame:
        from iblnm.analysis.trials import analysed_trials

        return analysed_trials(self._magnitudes(), self.settings, response_col)[0]
