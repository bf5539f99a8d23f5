"""Former place of the selection of trials, for notebooks that import it from here."""

from iblnm.analysis.trials import select_trials

__all__ = ["select_trials"]
