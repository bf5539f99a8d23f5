"""Faults of the data layers, each naming session, probe and value."""

from __future__ import annotations

from pathlib import Path

from iblnm.errors import DataError, MalformedFileError


class PassiveTableError(MalformedFileError):
    """A table of the passive protocol cannot be used."""


class TaskSettingsError(MalformedFileError):
    """Settings of a task run are absent, no JSON, or lack protocol or date."""


class SpikeSortingError(MalformedFileError):
    """Files of one spike sorting do not fit each other.

    Parameters
    ----------
    message : str
    probe : str, optional
        Name of the insertion.
    eid, path
        See `DataError`.
    """

    def __init__(
        self,
        message: str,
        *,
        probe: str | None = None,
        eid: str | None = None,
        path: Path | str | None = None,
    ):
        self.probe = probe
        super().__init__(f"{probe}: {message}" if probe else message, eid=eid, path=path)


class BombcellError(SpikeSortingError):
    """Output of bombcell that cannot be used."""


class UnknownUnitError(DataError):
    """No stored unit has this uuid."""
