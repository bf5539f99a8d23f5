"""Corrections of the signal compared: on planted responses, and on recordings of the archive."""

from iblnm.analysis.corrections.compute import correction_benchmark
from iblnm.analysis.corrections.disagreement import CHAIN_DISAGREEMENT, evaluate_disagreement
from iblnm.analysis.corrections.tables import TABLES
from iblnm.analysis.declaration import SELECTION_SETTINGS, Analysis, Check, Figure

ANALYSIS = Analysis(
    name="correction_benchmark",
    compute=correction_benchmark,
    folder="corrections",
    tables=TABLES,
    settings_read=(
        *SELECTION_SETTINGS,
        "chains",
        "cohort.min_coverage",
        "response_events",
        "signal",
        "thresholds.min_event_completeness",
    ),
    methods=(
        "analysis.corrections.benchmark",
        "analysis.corrections.magnitudes",
        "analysis.corrections.protocol",
        "analysis.corrections.traits",
        "signal.chains.corrections",
        "signal.preprocess",
    ),
    figures=(
        Figure(
            "corrections_compared",
            "figures:ranking_figure",
            ("chain_ranking",),
        ),
    ),
    checks=(
        Check(
            CHAIN_DISAGREEMENT,
            "The early response is the same by the documented chain and by the ratio of the "
            "bands. The documented chain removes changes slower than about 100 s, as of blocks "
            "and arousal, with the bleaching.",
            "fraction of the documented response",
            evaluate_disagreement,
            remedy="compare all chains with `iblnm compare-chains`, look in correction_benchmark "
            "which of them stands what these recordings have, and report conclusions that only "
            "one chain gives as such.",
        ),
    ),
    reads=("trials", "photometry"),
)
