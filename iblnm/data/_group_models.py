"""A group's mixed models, analysis of variance, movement and wheel models."""

from __future__ import annotations

from typing import Any, ClassVar


class Models:
    """Methods of a group; results are None until a method fills them."""

    LAZY: ClassVar[tuple[str, ...]] = (
        "lmm_results",
        "lmm_coefficients",
        "lmm_re_formula",
        "wheel_lmm_results",
        "wheel_lmm_summary",
        "anova_results",
    )

    settings: Any
