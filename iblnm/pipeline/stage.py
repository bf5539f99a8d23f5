"""What a stage of a session is, and what it makes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from iblnm.config import Settings
from iblnm.pipeline.rules.values import as_row
from iblnm.schemas import Table
from iblnm.storage.provenance import Provenance
from iblnm.threads import one_thread

if TYPE_CHECKING:
    from iblnm.viewer.panel import Panel

SESSION = "session"
_FROM_CALLER = ("one", "eid", "settings")


@dataclass(frozen=True)
class Result:
    """What a stage made.

    Parameters
    ----------
    value : object or None
        None when the session has no such data; `note` says why.
    provenance : Provenance
        Software, parameters and inputs.
    numbers : dict
        Figures worth showing beside the asset.
    note : str
    """

    value: Any
    provenance: Provenance = field(default_factory=Provenance)
    numbers: dict[str, float | int | str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Stage:
    """One asset of a session: how it is computed and where it is stored.

    What else is known of it follows: its inputs are the parameters of the function, it talks to
    the archive if the function takes ``one``, and its guards are the stages above it that have
    a blocking rule (see `iblnm.pipeline.graph`).

    Parameters
    ----------
    name : str
    compute : callable
        Returns a `Result`. Each parameter is named like the stage whose value it takes, or
        ``one``, ``eid`` or ``settings``. As ``session`` it gets the row of the sessions table.
    group : str
        Group of the asset on the page.
    table : Table, optional
        Schema of the stored table.
    folder : str, optional
        Folder of the stored tables, one ``{eid}.pqt`` per session, from the root.
    h5_group : str, optional
        Group of the session file. A stage that has a folder too is read from there.
    after : tuple of str
        Stages that must have been made before, and whose value the function does not take.
    rule_input : str
        Name under which rules take the value; that of the stage by default.
    is_page : bool
        Whether the value is the text of an HTML page, one ``{eid}.html`` per session in the
        folder, which people read and no other stage.
    settings_read : tuple of str, optional
        Settings that change its numbers, with dots (``signal.lowpass_hz``; ``wheel`` for all of
        a group). By default all settings of the science, so that the stage is made again more
        often than it need be.
    methods : tuple of str
        Modules below ``iblnm`` whose ``METHOD_VERSION`` is that of its numbers; see
        `iblnm.pipeline.versions`.
    datasets : tuple of str, optional
        What a stage that takes ``session`` makes use of: categories of the settings'
        ``dataset_categories``, or patterns of paths; by default all datasets of the session.
    hand_made : tuple of str
        Tables that people write and it reads: ``fibers``, ``masks``.
    panels : tuple of Panel
        How the pages of a session show what it made, see `iblnm.viewer.panel`.
    """

    name: str
    compute: Callable[..., Result]
    group: str
    table: Table | None = None
    folder: str | None = None
    h5_group: str | None = None
    after: tuple[str, ...] = ()
    rule_input: str = ""
    is_page: bool = False
    settings_read: tuple[str, ...] | None = None
    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] | None = None
    hand_made: tuple[str, ...] = ()
    panels: tuple[Panel, ...] = ()

    def __post_init__(self) -> None:
        if self.is_page:
            if self.table is not None or self.h5_group is not None or self.folder is None:
                raise ValueError(f"stage {self.name}: a page has a folder, and no table or group")
            return
        if (self.table is None) != (self.folder is None):
            raise ValueError(f"stage {self.name}: a table and its folder are declared together")
        if self.folder is None and self.h5_group is None:
            raise ValueError(f"stage {self.name}: neither folder nor h5_group is declared")

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """What the function takes, in its order."""
        return tuple(inspect.signature(self.compute).parameters)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Stages that this one needs at once, in the order of the function's parameters."""
        taken = (name for name in self.parameters if name not in _FROM_CALLER)
        return tuple(dict.fromkeys((*taken, *self.after)))

    @property
    def uses_archive(self) -> bool:
        """Whether the stage talks to the archive, whose faults may pass by themselves."""
        return "one" in self.parameters

    @property
    def description(self) -> str:
        """First paragraph of the function's documentation."""
        return (inspect.getdoc(self.compute) or "").partition("\n\n")[0]

    def run(
        self, values: Mapping[str, Any], *, one: Any = None, eid: str = "", settings: Settings
    ) -> Result:
        """Compute the stage for one session.

        Parameters
        ----------
        values : mapping
            Value of each stage in `inputs`, by name; ``session`` as a row or as a one-row table.
        one : ONE, optional
            Needed if `uses_archive`.
        eid : str
            Needed by the stages that the session comes from.
        settings : Settings

        Returns
        -------
        Result
        """
        known = {**values, "one": one, "eid": eid, "settings": settings}
        if SESSION in known:
            known[SESSION] = as_row(known[SESSION])
        with one_thread():
            return self.compute(**{name: known[name] for name in self.parameters})
