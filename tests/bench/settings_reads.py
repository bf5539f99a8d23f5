"""Settings that tell which of their fields are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel


def watched(model: BaseModel, note: Callable[[str], None], prefix: str = "") -> Any:
    """A copy of settings that calls `note` with the dotted name of each field that is read.

    A whole group written down as it is (``model_dump``) is no reading.
    """
    own = type(model)

    class Watched(own):
        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if name not in own.model_fields:
                return value
            if isinstance(value, BaseModel):
                return watched(value, note, f"{prefix}{name}.")
            note(f"{prefix}{name}")
            return value

    return Watched.model_construct(**dict(model))
