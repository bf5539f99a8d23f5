"""Targets decoded from response vectors."""

from iblnm.analysis.declaration import Analysis, Figure
from iblnm.analysis.decoding.compute import target_decoding
from iblnm.analysis.decoding.tables import TABLES
from iblnm.analysis.vectors.compute import vector_counts

# the tables of vectors do not tell their trials
_COUNTS = {"count_by": vector_counts, "count_tables": ("decoding_predictions", "responses")}
ANALYSIS = Analysis(
    name="target_decoding",
    compute=target_decoding,
    folder="responses",
    tables=TABLES,
    settings_read=(
        "discrimination.coverage",
        "discrimination.min_subjects",
        "discrimination.n_bootstrap",
        "discrimination.n_inner_folds",
        "discrimination.n_permutations",
        "discrimination.seed",
        "discrimination.tolerance",
    ),
    methods=(
        "analysis.decoding.decoder",
        "analysis.decoding.inference",
    ),
    figures=(
        Figure(
            "confusion",
            "figures:confusion_figure",
            ("decoding_predictions", "decoding_accuracy"),
            **_COUNTS,
        ),
        Figure(
            "decoder_coefficients",
            "figures:decoder_coefficients_figure",
            ("decoding_coefficients",),
            **_COUNTS,
        ),
        Figure(
            "contributions", "figures:contributions_figure", ("decoding_contributions",), **_COUNTS
        ),
        Figure("decoding_null", "figures:decoding_null_figure", ("decoding_null",), **_COUNTS),
    ),
)
