"""The groups of stages, and which of them this process runs.

A root belongs to one archive and runs one group: the photometry, or the data layers if the
settings say so. Rules are those of the group that is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from iblnm.pipeline.rules import RULES, Rule
from iblnm.pipeline.stage import Stage

PHOTOMETRY = "photometry"
DATA_LAYERS = "data_layers"
_chosen: list[str] = []


def _photometry() -> tuple[Stage, ...]:
    from iblnm.pipeline import stages

    return stages.STAGES


def _data_layers() -> tuple[Stage, ...]:
    from iblnm.layers import rules, stages  # noqa: F401 its import registers the rules

    return stages.STAGES


_STAGES: dict[str, Callable[[], tuple[Stage, ...]]] = {
    PHOTOMETRY: _photometry,
    DATA_LAYERS: _data_layers,
}
# rules written here are those of the data layers, all others those of the photometry
_RULES_OF_LAYERS = "iblnm.layers."


def running_group() -> str:
    """The group that this process runs: the chosen one, else that of its settings."""
    if _chosen:
        return _chosen[-1]
    from iblnm.config import get_settings

    return get_settings().group


@contextmanager
def run_group(name: str) -> Iterator[None]:
    """Run another group within the block."""
    _chosen.append(name)
    try:
        yield
    finally:
        _chosen.pop()


def stages_of_group() -> tuple[Stage, ...]:
    """Stages of the group that is run; each comes after those that it needs."""
    return _STAGES[running_group()]()


def running_rules() -> list[Rule]:
    """Rules of the group that is run, in the order of their definition."""
    stages_of_group()
    is_of_layers = running_group() == DATA_LAYERS
    return [
        entry
        for entry in RULES.values()
        if entry.function.__module__.startswith(_RULES_OF_LAYERS) == is_of_layers
    ]
