"""What a panel of the session page is: how a stage shows its data.

A stage of the pipeline declares its panels (`iblnm.pipeline.stage.Stage.panels`); the pages,
the live one and the report, follow from the stages, in their order. `build` returns what the
panel's drawing function in ``page/`` takes, as JSON with arrays (`Packer.array`), or raises
`NotThereError`: the page then shows the reason in the panel's place. Panels of the whole session
stand together by the group of their stage. Drawing functions are registered in the page's
scripts by `kind`; ``table`` (columns and rows) needs no script of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from iblnm.viewer.contents import Contents
from iblnm.viewer.wire import Packer


@dataclass(frozen=True)
class Axis:
    """Time axis that all traces of a session share.

    Parameters
    ----------
    start, stop : float
        First and last time shown [s, session clock].
    """

    start: float
    stop: float

    @property
    def n_bins(self) -> int:
        """Bins of 1 s."""
        return max(1, round(self.stop - self.start))


Build = Callable[[Contents, Packer, Axis, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Panel:
    """One panel.

    Parameters
    ----------
    name : str
        Also the id of its place in the page.
    title : str
    kind : str
        Drawing function: ``raw``, ``preprocessed``, ``responses``, ``psychometric``,
        ``scatter``, ``means`` or ``table``.
    scope : {'session', 'fiber'}
        Whether it is drawn once or for the chosen fiber.
    build : callable
        From contents, packer, time axis and recording (entry of `Contents.recordings`, empty
        for the scope session) to what is drawn.
    """

    name: str
    title: str
    kind: str
    scope: Literal["session", "fiber"]
    build: Build
