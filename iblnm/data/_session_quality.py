"""The rules about a session's data, as methods that raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.pipeline.error_log import exception_logger
from iblnm.pipeline.rules import RULES, raise_failed
from iblnm.pipeline.rules.photometry import QCValidationError
from iblnm.pipeline.rules.validators import row_rules, validator

if TYPE_CHECKING:
    from iblnm.config import Settings


class Quality:
    """Validators: each raises the typed exception of the rule that is broken.

    With ``exlog=[]`` the exception becomes an entry of that list; they return the session.
    Those about the session's row are made from the rules, below the class.
    """

    settings: Settings
    trials: pd.DataFrame | None
    photometry: dict[str, pd.DataFrame]
    qc: pd.DataFrame

    def _check(self, name: str, **inputs: Any) -> None:
        RULES[name].check(self.settings, **inputs)

    def _loaded_trials(self) -> pd.DataFrame:
        if self.trials is None:
            raise ValueError("no trials: call load_trials() or assign .trials first")
        return self.trials

    @exception_logger
    def validate_trials_in_photometry_time(self) -> Any:
        """Raise `TrialsNotInPhotometryTime` unless the recording covers the trials."""
        trials = self._loaded_trials()
        if not self.photometry:
            raise ValueError("no photometry: call load_photometry() or assign .photometry first")
        valid = [band.dropna(how="all") for band in self.photometry.values()]
        times = [band.index for band in valid if len(band)]
        window = {
            "first_stim_on_s": trials["stimOn_times"].min(),
            "last_feedback_s": trials["feedback_times"].max(),
            "first_sample_s": max(index[0] for index in times),
            "last_sample_s": min(index[-1] for index in times),
        }
        self._check("trials_not_in_photometry_time", reference=pd.DataFrame([window]))
        return self

    @exception_logger
    def validate_region_mapping(self) -> Any:
        """Raise `AmbiguousRegionMapping` unless each signal column belongs to one region."""
        self._check("ambiguous_region_mapping", reference=self.reference)
        return self

    @exception_logger
    def validate_isosbestic(self) -> Any:
        """Raise `MissingIsosbestic` if the loaded photometry has no isosbestic band."""
        bands = pd.DataFrame({"bands": [list(self.photometry)]})
        self._check("missing_isosbestic", reference=bands)
        return self

    @exception_logger
    def validate_n_trials(self) -> Any:
        """Raise `InsufficientTrials` if there are too few."""
        self._check("insufficient_trials", trials=self._loaded_trials())
        return self

    @exception_logger
    def validate_choice_sign(self) -> Any:
        """Raise `ChoiceSign` if correct choices are not towards the stimulus."""
        self._check("choice_sign", trials=self._loaded_trials())
        return self

    @exception_logger
    def validate_event_completeness(self) -> Any:
        """Raise `IncompleteEventTimes`, with ``missing_events``, if an event is often missing."""
        self._check("incomplete_event_times", trials=self._loaded_trials())
        return self

    @exception_logger
    def validate_block_structure(self) -> Any:
        """Raise `BlockStructureBug` (or its special case `MissingBlockInfo`)."""
        trials, row = self._loaded_trials(), self.to_series()
        self._check("block_structure_bug", trials=trials, session_row=row)
        self._check("missing_block_info", trials=trials, session_row=row)
        return self

    @exception_logger
    def validate_reaction_times(self) -> Any:
        """Raise `NegativeReactionTime` if movements often precede the stimulus."""
        self._check("negative_reaction_time", trials=self._loaded_trials())
        return self

    @exception_logger
    def validate_qc(self) -> Any:
        """Raise `BandInversion` or `EarlySamples`; `QCValidationError`, naming both, for both."""
        outcomes = [
            RULES[name].evaluate(self.settings, qc=self.qc)
            for name in ("band_inversion", "early_samples")
        ]
        failed = [outcome for outcome in outcomes if not outcome.passed]
        if len(failed) == len(outcomes):
            words = " ".join(
                f"{RULES[outcome.rule].exception.__name__}: {outcome.message}"
                for outcome in failed
            )
            raise QCValidationError(words, outcome=failed[0])
        raise_failed(*failed)
        return self

    @exception_logger
    def validate_few_unique_samples(self) -> Any:
        """Raise `FewUniqueSamples` if a signal takes too few distinct values."""
        self._check("few_unique_samples", qc=self.qc)
        return self

    @exception_logger
    def validate_isosbestic_fit(self, band: str = "GCaMP_preprocessed") -> Any:
        """Raise `IsosbesticFit` if the regression on the reference cannot be trusted."""
        self._check("isosbestic_fit", preprocessed=self.preprocessed(band))
        return self


for _name, _held in row_rules("session_row").items():
    setattr(Quality, _name, validator(_name, _held, lambda session: session.settings))
