"""The task: contrasts, blocks, performance, psychometric curves and times of trials."""

from iblnm.task.blocks import (
    BlockRepair,
    get_block_lengths,
    reconstruct_probability_left,
    repair_blocks,
    validate_block_match,
    validate_block_structure,
    without_debiasing,
)
from iblnm.task.contrasts import (
    add_relative_contrast,
    add_trial_columns,
    compute_choice_side,
    compute_trial_contrasts,
    sort_trials_by_type,
)
from iblnm.task.performance import (
    compute_fraction_correct,
    compute_nogo_fraction,
    count_sessions_to_stage,
    get_subjects_by_stage,
    session_performance,
)
from iblnm.task.psychometric import (
    compute_bias_shift,
    fit_psychometric,
    fit_psychometric_by_block,
)
from iblnm.task.timing import trial_timing

__all__ = [
    "BlockRepair",
    "add_relative_contrast",
    "add_trial_columns",
    "compute_bias_shift",
    "compute_choice_side",
    "compute_fraction_correct",
    "compute_nogo_fraction",
    "compute_trial_contrasts",
    "count_sessions_to_stage",
    "fit_psychometric",
    "fit_psychometric_by_block",
    "get_block_lengths",
    "get_subjects_by_stage",
    "reconstruct_probability_left",
    "repair_blocks",
    "session_performance",
    "sort_trials_by_type",
    "trial_timing",
    "validate_block_match",
    "validate_block_structure",
    "without_debiasing",
]
