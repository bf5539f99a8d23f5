"""A group's similarity and decoding."""

from __future__ import annotations

from typing import Any, ClassVar


class Discrimination:
    """Methods of a group; results are None until a method fills them."""

    LAZY: ClassVar[tuple[str, ...]] = (
        "similarity_matrix",
        "decoder",
    )

    settings: Any
