"""A group's regression per recording, decomposition, canonical correlation."""

from __future__ import annotations

from typing import Any, ClassVar


class Encoding:
    """Methods of a group; results are None until a method fills them."""

    LAZY: ClassVar[tuple[str, ...]] = (
        "glm_response_features",
        "psychometric_features",
        "glm_pca_result",
        "glm_ica_result",
        "cca_result",
        "cohort_cca_results",
        "cohort_cca_data",
        "cohort_cca_cross_projections",
        "cohort_cca_weight_similarities",
    )

    settings: Any
