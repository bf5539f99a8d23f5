"""Similarity of response vectors within and between targets."""

from iblnm.analysis.declaration import Analysis, Figure
from iblnm.analysis.similarity.compute import response_similarity
from iblnm.analysis.similarity.tables import TABLES
from iblnm.analysis.vectors.compute import vector_counts

# the tables of vectors do not tell their trials
_COUNTS = {"count_by": vector_counts, "count_tables": ("similarity_matrix", "responses")}
ANALYSIS = Analysis(
    name="response_similarity",
    compute=response_similarity,
    folder="responses",
    tables=TABLES,
    settings_read=(
        "discrimination.coverage",
        "discrimination.n_bootstrap",
        "discrimination.n_similarity_permutations",
        "discrimination.seed",
    ),
    methods=("analysis.similarity.cosine",),
    figures=(
        Figure(
            "similarity_matrix",
            "figures:similarity_matrix_figure",
            ("similarity_matrix",),
            **_COUNTS,
        ),
        Figure(
            "target_similarity",
            "figures:target_similarity_figure",
            ("target_similarity", "similarity_pairs", "similarity_contrasts"),
            n_required=2,
            **_COUNTS,
        ),
    ),
)
