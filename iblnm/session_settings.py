"""Limits of the rules and parameters of the processing; part of `iblnm.config.Settings`."""

from __future__ import annotations

from pydantic import BaseModel, Field

from iblnm.constants import MAX_UNUSABLE_TRIAL_SHARE, MIN_WINDOW_COVERAGE


class Thresholds(BaseModel):
    """Limits of the rules; each rule's message names its value and this limit."""

    min_trials: int = 90
    """Trials that a session needs for its behavior and responses to be described."""
    min_event_completeness: float = 0.9
    """Share of the trials in which an event needs a time to be aligned to."""
    min_block_length: int = 10
    """Trials of the shortest block that the task can have, but for the last."""
    n_unbiased_trials: int = 90
    """Trials of the unbiased block with which biased sessions begin."""
    max_negative_reaction_fraction: float = 0.05
    """Share of trials whose first movement may come before the stimulus."""
    min_unique_fraction: float = 0.05
    """Share of the samples of a signal that must differ from each other."""
    min_iso_r2: float = 0.0
    """Variance of the signal that its isosbestic reference must explain."""
    max_iso_slope_disagreement: float = 0.5
    """Difference of the least-squares and robust slopes, relative to the robust one."""
    max_video_length_difference_s: float = 120.0
    """By how much video and session may differ in length."""
    min_training_fraction_correct: float = 0.70
    """Share of correct choices that a training session needs for the cohort."""
    early_sample_tolerance_s: float = 1e-3
    """By how much the interval of two raw frames may differ from the usual one."""
    max_missing_frame_share: float = 0.01
    """Share of the frames of a band that may be missing beside the other band."""
    max_missing_share: float = 0.1
    """Share of the task, or of its trials, that gaps of the signal may cover."""
    max_pause_s: float = 2.0
    """Longest time between two frames; after a longer one the clock may have jumped."""
    max_still_s: float = 5.0
    """A signal that does not change for longer is missing there."""
    max_saturated_s: float = 0.5
    """The same at the top of its range."""
    max_lost_share: float = 0.001
    """Share of the raw frames for which late frames may leave room."""
    max_unusable_trial_share: float = MAX_UNUSABLE_TRIAL_SHARE
    """Share of trials that may lack side, choice, outcome or start."""
    max_missing_wheel_share: float = 0.1
    """Share of the trials whose wheel trace may have gaps."""
    max_wheel_fault_share: float = 0.01
    """Share of the wheel's samples that may lack value or order."""
    max_camera_fault_share: float = 0.01
    """The same of the camera's times."""
    max_sync_residual_s: float = 0.005
    """Root mean square between pulses and events after the clocks are fitted."""
    min_sync_matched_share: float = 0.95
    """Share of the events that need a pulse for raw frames to be put on the clock of trials."""
    min_pass_share: float = 0.5
    """Share of the sessions that should pass every BLOCK and ERROR check."""


class SignalSettings(BaseModel):
    """Parameters of photometry processing; rates in Hz, times in seconds."""

    fs: float = 30.0
    """Rate of the preprocessed signal."""
    task_padding_s: float = 5.0
    """Signal before the first and after the last trial that is kept."""
    max_gap_s: float = 0.1
    """Longest interval between two samples that is bridged."""
    lowpass_order: int = 3
    """Order of the Butterworth filter that takes the bleaching."""
    lowpass_hz: float = 0.01
    """Corner of that filter; slower changes of the signal are removed with the bleaching."""
    filter_edge_s: float = 50.0
    """Time at either end of the signal that the filter bends, marked as its edge."""
    qc_window_s: float = 120.0
    """Length of the sliding windows of the quality metrics."""
    qc_step_s: float = 60.0
    """Step from window to window."""
    qc_min_coverage: float = MIN_WINDOW_COVERAGE
    """Share of its samples that a window needs to be measured."""
    max_tau_durations: float = 10.0
    """Longest time constant of bleaching that is told apart from none, in durations of the
    recording."""
    response_window: tuple[float, float] = (-1.0, 1.0)
    """Around each event, what is kept of the signal as its response."""
    baseline_window: tuple[float, float] = (-0.1, 0.0)
    """Before each event, whose mean is subtracted."""
    early_window: tuple[float, float] = (0.1, 0.35)
    """After each event, whose mean is the early response."""
    late_window: tuple[float, float] = (0.35, 0.6)
    """After each event, whose mean is the late response."""


class ChainSettings(BaseModel):
    """Corrections of the signal that are compared with the documented one; times in seconds."""

    reference_lowpass_hz: float = Field(default=2.0, gt=0)
    """Corner of the low-pass filter of the reference in documented_smoothed_reference."""
    irls_tuning: float = Field(default=4.685, gt=0)
    """Tukey's bisquare constant of the robust regressions, in standard deviations; a residual
    beyond it does not count. 4.685 loses 5 % of the precision where noise is normal."""
    asls_period_s: float = Field(default=300.0, gt=0)
    """Period of half gain of the baseline of asls_irls, were it symmetric."""
    asls_asymmetry: float = Field(default=0.01, gt=0, lt=1)
    """Weight of samples above that baseline; those below have 1 minus it."""
    ica_seed: int = 0
    """Of the start of the independent component analysis."""
    max_disagreement: float = Field(default=0.2, gt=0)
    """By how much the early response may differ between the documented chain and the ratio, as a
    share of the former; the median over the recordings of a target and event."""
    sessions_per_target: int = Field(default=2, ge=1)
    """Recorded sessions of each target that the benchmark measures and compares chains on."""
    benchmark_seeds: int = Field(default=2, ge=1)
    """Simulated recordings of each case of the benchmark."""


class WheelSettings(BaseModel):
    """Parameters of wheel extraction; rate in Hz, duration in seconds."""

    fs: float = 100.0
    """Rate of the wheel's velocity."""
    max_trial_s: float = 60.0
    """Velocity of a trial that is kept, from the stimulus on."""
    max_speed_rad_s: float = 200.0
    """A faster step of more than a radian is a reset of the encoder."""
