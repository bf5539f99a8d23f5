"""Constants of the task and of the recordings; what a lab may choose is in the settings."""

from __future__ import annotations

TRIAL_EVENTS = ("stimOn_times", "firstMovement_times", "feedback_times")
"""Events of a trial, in their order."""
STIMULUS_EVENT, MOVEMENT_EVENT, FEEDBACK_EVENT = TRIAL_EVENTS
BLOCK_TASKS = ("biased", "ephys")
"""Session types whose trials come in blocks of unequal probability of the sides."""
TASK_CONTRASTS = (0.0, 6.25, 12.5, 25.0, 100.0)
"""Contrasts of the trained task [%]."""
UNBIASED = 0.5
"""Probability of a stimulus on the left where no side is more likely."""
SIGNAL_BAND, REFERENCE_BAND = "GCaMP", "Isosbestic"
"""Excitation channels of the signal and of its reference."""
MAX_UNUSABLE_TRIAL_SHARE = 0.1
"""Share of trials that may lack side, choice, outcome or start, unless the settings say more."""
MIN_WINDOW_COVERAGE = 0.95
"""Share of its samples that a window of the quality metrics needs."""
WHOLE_WINDOW, ANY_SAMPLE = 1.0, 0.0
"""Share of the samples of the early window that a magnitude needs: all of them; or one sample,
which mixes magnitudes of different times after the event, by the time to the next one."""
OPPOSITE_SIDE = {"l": "right", "r": "left"}
"""Side of the stimulus that is contralateral to a fiber, by the hemisphere of the fiber."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine that no other can be asked by."""
CURVE_WINDOW = (-0.5, 1.0)
"""Part of the responses that tables of whole curves hold, from the event [s]."""
EXTRACTED, RAW = "extracted", "raw"
"""Sources of data: extracted in the archive, or by iblnm from the raw files meanwhile."""
ERROR_COLUMNS = ("eid", "error_type", "error_message", "traceback")
"""Columns of a log of errors."""
