"""Failures that are not rules: each names the session, the file, the value and the limit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class IblnmError(Exception):
    """Base of every failure that iblnm raises on purpose."""


class SettingsError(IblnmError):
    """Settings that cannot be used, by the names of their variables."""


class DataError(IblnmError, ValueError):
    """A permanent fault of the data: retrying does not help.

    It is a `ValueError` as well, which scripts catch.

    Parameters
    ----------
    message : str
        What is wrong, with the value found and the limit or form expected.
    eid : str, optional
        Session.
    path : Path, optional
        File at fault.
    """

    def __init__(self, message: str, *, eid: str | None = None, path: Path | str | None = None):
        self.message = message
        self.eid = eid
        self.path = None if path is None else Path(path)
        where = [f"session {eid}" if eid else "", self.path.name if self.path else ""]
        prefix = ", ".join(part for part in where if part)
        super().__init__(f"{prefix}: {message}" if prefix else message)

    def __str__(self) -> str:
        # that of KeyError, which a subclass may also be, puts the message in quotes
        return Exception.__str__(self)


class MissingFileError(DataError):
    """A dataset that the archive lists is not on disk."""


class UnreadableFileError(DataError):
    """A file is empty, truncated or not of its format."""


class MalformedFileError(DataError):
    """A file opens, but its columns, types, sizes or values cannot be used."""


class MissingColumnError(MalformedFileError, KeyError):
    """A table lacks a column that is needed and cannot be derived; a `KeyError` as well."""


class RawTaskError(MalformedFileError):
    """Raw files of a task from which trials or wheel cannot be extracted."""


class DownloadIntegrityError(DataError):
    """Size or hash of a file still differ from the archive's record after a fresh download."""


class InvalidNameError(DataError):
    """A text that is not a valid eid or region name was to become part of a path."""


class UnknownSessionError(DataError):
    """The archive has no session of this eid."""


class IncompleteDesignError(DataError):
    """A factorial design lacks cells that the analysis needs.

    Parameters
    ----------
    message : str
        Names the cells.
    missing : DataFrame, optional
        All missing cells, one a row: subject and factor levels.
    """

    def __init__(self, message: str, *, missing: pd.DataFrame | None = None):
        super().__init__(message)
        self.missing = missing


class NotWritableError(IblnmError):
    """A folder or file cannot be written to."""


class WorkerDied(IblnmError):
    """The processes that ran a session died with it: killed, or out of memory."""


class ArchiveMismatchError(IblnmError):
    """The outputs under this root belong to another archive."""


class TransientError(IblnmError):
    """A fault of network or server that may pass: worth a retry."""


class RemoteTimeout(TransientError):
    """A server did not answer, or not to the end, in the time of the settings."""


class ServerUnreachableError(TransientError):
    """No connection to a server."""


class ServerError(TransientError):
    """A server could not answer now: HTTP 429 or 5xx, or an answer that cannot be read.

    Parameters
    ----------
    message : str
    retry_after_s : float, optional
        How long the server asks to wait [s].
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None):
        self.retry_after_s = retry_after_s
        super().__init__(message)


class RemoteError(IblnmError):
    """A server refused a request: the same request again would be refused again.

    Parameters
    ----------
    message : str
    status : int, optional
        HTTP status.
    """

    def __init__(self, message: str, *, status: int | None = None):
        self.status = status
        super().__init__(message)


class NotFoundError(RemoteError):
    """Alyx has no such record."""


class AuthenticationError(RemoteError):
    """A server did not accept the credentials of the settings."""
