"""Tables of the comparison of corrections."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_FIBER = Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0)
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fiber")
_CHAIN = Column("chain", "str", "Name of the correction, see iblnm.signal.chains", nullable=False)
_CASE = Column("case", "str", "What was planted, see iblnm.analysis.corrections", nullable=False)
_SEED = Column("seed", "int", "Of the simulated recording, from 0", nullable=False, ge=0)
_SCORES = (
    Column("bias", "float", "Mean estimated over mean planted early response, minus 1"),
    Column(
        "trial_correlation",
        "float",
        "Correlation over trials of the estimated with the planted early response",
        ge=-1,
        le=1,
    ),
    Column(
        "trial_error",
        "float",
        "Root mean square over trials of estimated minus planted early response, as a share of "
        "that of the planted one",
        ge=0,
    ),
    Column(
        "artifact_left",
        "float",
        "Share of the movement artifact that the corrected signal still has; negative where too "
        "much was subtracted",
    ),
)
CORRECTION_BENCHMARK = Table(
    "correction_benchmark",
    "How near each chain comes to planted responses: one row per case, chain and seed",
    (
        _CASE,
        _CHAIN,
        _SEED,
        *_SCORES,
        Column("drawn_eid", "str", "Session whose traits were planted", nullable=False),
        Column("drawn_fiber_idx", "int", "Its fiber", nullable=False, ge=0),
        Column("note", "str", "Why the chain gave nothing"),
    ),
    key=("case", "chain", "seed"),
)
CHAIN_RANKING = Table(
    "chain_ranking",
    "Mean over seeds of the benchmark, and the place of each chain in each case by its error of "
    "single trials, the best first",
    (
        _CASE,
        _CHAIN,
        Column("n_seeds", "int", "Simulated recordings that it corrected", nullable=False, ge=0),
        *_SCORES,
        Column("rank", "float", "Place by trial_error among the chains of the case", ge=1),
    ),
    key=("case", "chain"),
)
RECORDING_TRAITS = Table(
    "recording_traits",
    "What was measured of the archive's recordings for the benchmark to plant",
    (
        _EID,
        _FIBER,
        _TARGET,
        Column("noise", "float", "White noise of the signal, standard deviation", "dF/F", ge=0),
        Column("reference_noise", "float", "The same of the reference", "dF/F", ge=0),
        Column(
            "reference_r2",
            "float",
            "Variance of the signal that its reference explains",
            ge=0,
            le=1,
        ),
        Column(
            "gain",
            "float",
            "Size of artifacts in the signal relative to the reference, corrected for its noise",
            ge=0,
        ),
        Column("bleaching", "float", "Fitted start over end of the signal", ge=0),
        Column("reference_bleaching", "float", "The same of the reference", ge=0),
        Column("response", "float", "Largest mean early response of its events", "dF/F"),
    ),
    key=("eid", "fiber_idx"),
)
CHAIN_MAGNITUDES = Table(
    "chain_magnitudes",
    "Mean early response of each recording and event under each chain, over all trials with a "
    "whole window",
    (
        _EID,
        Column("subject", "str", "Mouse name"),
        _TARGET,
        Column("brain_region", "str", "Recording target"),
        _FIBER,
        Column("event", "str", "Event that the response is aligned to", nullable=False),
        _CHAIN,
        Column("correction", "str", "What it came to: isosbestic or signal_only"),
        Column("n_trials", "int", "Trials of the mean", nullable=False, ge=0),
        Column("magnitude", "float", "Mean early response minus baseline", "dF/F"),
        Column("se", "float", "Its standard error over trials", "dF/F", ge=0),
        Column("magnitude_z", "float", "The same in standard deviations of the signal", "z"),
        Column("signal_sd", "float", "Standard deviation of the corrected signal", "dF/F", ge=0),
        Column(
            "difference",
            "float",
            "Magnitude minus that of the documented chain, as a share of the latter; missing "
            "where that is within two standard errors of 0, or of fewer than 10 trials",
        ),
        Column(
            "trial_correlation",
            "float",
            "Correlation over trials with the documented chain",
            ge=-1,
            le=1,
        ),
        Column("note", "str", "Why there is no magnitude"),
    ),
    key=("eid", "fiber_idx", "event", "chain"),
)

TABLES = {
    "correction_benchmark": CORRECTION_BENCHMARK,
    "chain_ranking": CHAIN_RANKING,
    "recording_traits": RECORDING_TRAITS,
    "chain_magnitudes": CHAIN_MAGNITUDES,
}
