"""Failures that are not rules: each names the session, the file, the value and the limit."""

from __future__ import annotations

from pathlib import Path


class IblnmError(Exception):
    """Base of every failure that iblnm raises on purpose."""


class DataError(IblnmError):
    """A permanent fault of the data: retrying does not help.

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


class MissingFileError(DataError):
    """A dataset that the archive lists is not on disk."""


class UnreadableFileError(DataError):
    """A file is empty, truncated or not of its format."""


class MalformedFileError(DataError):
    """A file opens, but its columns, types, sizes or values cannot be used."""


class DownloadIntegrityError(DataError):
    """Size or hash of a file still differ from the archive's record after a fresh download."""


class InvalidNameError(DataError):
    """A text that is not a valid eid or region name was to become part of a path."""


class UnknownSessionError(DataError):
    """The archive has no session of this eid."""


class ArchiveMismatchError(IblnmError):
    """The outputs under this root belong to another archive."""


class TransientError(IblnmError):
    """A fault of network or server that may pass: worth a retry."""
