"""What `iblnm analyse` says while it computes, and at its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from dagster import DagsterEventType

from iblnm.config import Settings
from iblnm.pipeline.groups import PHOTOMETRY
from iblnm_dagster.cohort import NOT_DRAWN, WITHOUT_DATA

if TYPE_CHECKING:
    from types import TracebackType

    from dagster import DagsterEvent, EventLogEntry

    from iblnm.analysis.declaration import Analysis

_WIDTH = 28
_STATES = {
    DagsterEventType.STEP_SUCCESS: "made",
    DagsterEventType.STEP_FAILURE: "failed",
    DagsterEventType.STEP_SKIPPED: "skipped",
}


class Progress:
    """Tells of each step that ended; on a terminal a bar says which one is computed.

    Parameters
    ----------
    total : int
        Steps.
    report : callable
        Is given the lines.

    Attributes
    ----------
    notes : dict of str to str
        What the steps of figures said of figures without data, by step.
    """

    def __init__(self, total: int, report: Callable[[str], None]):
        from tqdm import tqdm

        self.notes: dict[str, str] = {}
        self._total, self._report = total, report
        self._n, self._started = 0, time.perf_counter()
        self._running: list[str] = []
        is_terminal = sys.stderr.isatty()
        self._bar = tqdm(total=total, unit="analysis", disable=not is_terminal, leave=False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def show(self, entry: EventLogEntry) -> None:
        """Listener of the events of the run."""
        event = entry.dagster_event
        if event is None or event.step_key is None:
            return
        kind, step = event.event_type, event.step_key
        if kind == DagsterEventType.STEP_START:
            self._started = time.perf_counter()
            self.begin(step)
        elif kind == DagsterEventType.ASSET_MATERIALIZATION:
            notes = notes_of(event)
            if notes:
                self.notes[step] = notes
        elif kind in _STATES:
            self.end(step, _STATES[kind], time.perf_counter() - self._started)

    def begin(self, step: str) -> None:
        """Say on the bar what is computed."""
        self._running.append(step)
        self._bar.set_description(", ".join(self._running))

    def end(self, step: str, state: str, seconds: float, problem: str = "") -> None:
        """Tell of a step that was made, failed or skipped."""
        if step in self._running:
            self._running.remove(step)
        self._n += 1
        words = {"failed": "failed: ", "skipped": "skipped, as what it starts from failed: "}
        place = f"[{self._n:{len(str(self._total))}d}/{self._total}]"
        self._bar.clear()
        self._report(f"{place} {words.get(state, '')}{step:<{_WIDTH}} {seconds:5.1f} s")
        if problem:
            self._report(f"    {problem}")
        self._bar.set_description(", ".join(self._running))
        self._bar.update()


def notes_of(event: DagsterEvent) -> str:
    """What an event of a run says of figures without data; empty for any other."""
    if event.event_type != DagsterEventType.ASSET_MATERIALIZATION:
        return ""
    metadata = event.step_materialization_data.materialization.metadata
    return "\n".join(str(metadata[n].value) for n in (WITHOUT_DATA, NOT_DRAWN) if n in metadata)


def report_lines(settings: Settings, names: Sequence[str], notes: dict[str, str]) -> Iterator[str]:
    """What the selections left of the sessions, and the figures without data.

    Parameters
    ----------
    settings : Settings
    names : sequence of str
        Analyses and figures that were made.
    notes : dict of str to str
        See `Progress`.

    Yields
    ------
    str
        Each account of a selection stands once, under the analyses that have it.
    """
    yield from _accounts(settings, names)
    for step, text in notes.items():
        yield f"{step}, without data:"
        figures: dict[str, list[str]] = {}
        for line in text.splitlines():
            name, _, reason = line.removeprefix("* ").partition(": ")
            figures.setdefault(reason, []).append(name)
        yield from (f"  {', '.join(same)}: {reason}" for reason, same in figures.items())


def _accounts(settings: Settings, names: Sequence[str]) -> Iterator[str]:
    from iblnm.analysis import registry
    from iblnm.analysis.account import account_lines, stored_account, stored_notes

    if settings.group != PHOTOMETRY:
        return
    by_account: dict[tuple[str, ...], list[Analysis]] = {}
    for entry in registry.ANALYSES:
        if entry.name in names:
            lines = tuple(account_lines(stored_account(entry, settings.root)))
            by_account.setdefault(lines, []).append(entry)
    for lines, users in by_account.items():
        if lines:
            yield f"sessions of {', '.join(entry.name for entry in users)}:"
            yield from (f"  {line}" for line in lines)
        for entry in users:
            for note in stored_notes(entry, settings.root):
                yield f"  {entry.name}: {note}"
