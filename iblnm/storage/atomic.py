"""Files that are written whole or not at all.

The new generation is built beside the old one, forced to disk, then renamed over it, so a
kill or a full disk at any moment leaves the old file as it was and readers need no lock.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from iblnm.errors import NotWritableError, TransientError

LOCK_TIMEOUT_S = 300.0
_FOREIGN_TEMP_AGE_S = 24 * 3600.0
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_SERIAL = count()
# a process may get the id of a dead one (containers always do): the start tells them apart
_STARTED = time.time_ns()


def _start_anew() -> None:
    global _STARTED
    _STARTED = time.time_ns()


if hasattr(os, "register_at_fork"):  # a fork is a process of its own
    os.register_at_fork(after_in_child=_start_anew)
_TEMP = re.compile(r"\.(?P<host>[^~]*)~(?P<pid>\d+)~(?P<started>\d+)~\d+\.tmp")


@contextmanager
def write_whole(path: Path | str) -> Iterator[Path]:
    """Give a temporary path that becomes the file when the block succeeds.

    Parameters
    ----------
    path : Path
        File to create or to replace; missing folders are made.

    Yields
    ------
    Path
        Where to write; in the same folder. After the block its content is forced to disk
        and renamed to `path`; if the block raises, it is removed and `path` stays.

    Raises
    ------
    NotWritableError
        If the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with write_whole(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    with _writing_in(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _remove_stale(path)
    temporary = _temporary_path(path)
    try:
        yield temporary
        _force_to_disk(temporary)
        temporary.replace(path)
        _force_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def file_stamp(status: os.stat_result) -> str:
    """Number, size and time of change: another one if the file was written whole since."""
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


@contextmanager
def update_whole(
    path: Path | str,
    *,
    is_intact: Callable[[Path], bool] | None = None,
    timeout_s: float = LOCK_TIMEOUT_S,
) -> Iterator[Path]:
    """Give a temporary copy of a file that replaces it when the block succeeds.

    Parameters
    ----------
    path : Path
        File to change; if it does not exist the temporary path does not either.
    is_intact : callable, optional
        Says of the existing file whether it can be updated; if not, `set_aside` keeps it
        and the update begins from nothing.
    timeout_s : float
        How long to wait for another process that is changing the same file.

    Yields
    ------
    Path
        The copy. Other processes that update the same file wait until the block is left.

    Raises
    ------
    TransientError
        If the lock cannot be had in time.
    """
    path = Path(path)
    with locked(path, timeout_s=timeout_s):
        if is_intact is not None and path.exists() and not is_intact(path):
            set_aside(path)
        with write_whole(path) as temporary:
            if path.exists():
                shutil.copyfile(path, temporary)
            yield temporary


def set_aside(path: Path) -> Path:
    """Rename an unreadable file to ``<name>.corrupt-<n>`` and warn; nothing is deleted.

    Returns
    -------
    Path
        The new name.
    """
    kept = next(
        candidate
        for n in count(1)
        if not (candidate := path.with_name(f"{path.name}.corrupt-{n}")).exists()
    )
    path.replace(kept)
    warnings.warn(
        f"{path.name} could not be read; it is kept as {kept.name} and a new file is begun",
        stacklevel=2,
    )
    return kept


@contextmanager
def locked(path: Path | str, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock of a file; the system frees it when the process ends, however it ends.

    Parameters
    ----------
    path : Path
        File that is protected; the lock itself lies in the hidden folder ``.locks`` beside it.
        Not re-entrant.
    timeout_s : float
        How long to wait.

    Raises
    ------
    TransientError
        If another process holds the lock for longer.
    """
    import filelock

    path = Path(path)
    folder = path.parent / ".locks"
    lock = filelock.FileLock(folder / f"{path.name}.lock")
    try:
        with _writing_in(path.parent):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=timeout_s)
    except filelock.Timeout as error:
        raise TransientError(
            f"{path.name}: another process has held its lock for {timeout_s:g} s"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _writing_in(folder: Path) -> Iterator[None]:
    """Say which folder cannot be written to."""
    try:
        yield
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        raise NotWritableError(
            f"{folder} cannot be written to ({error.strerror}): it is read-only, or belongs to "
            "another user"
        ) from error


def _temporary_path(path: Path) -> Path:
    owner = f"{_host()}~{os.getpid()}~{_STARTED}~{next(_SERIAL)}"
    return path.with_name(f".{path.name}.{owner}.tmp")


def _host() -> str:
    return socket.gethostname().replace("~", "-").replace("/", "-")


def _remove_stale(path: Path) -> None:
    prefix = f".{path.name}"
    for entry in os.scandir(path.parent):
        if not entry.name.startswith(prefix):
            continue
        found = _TEMP.fullmatch(entry.name[len(prefix) :])
        if found and _is_abandoned(found, entry):
            Path(entry.path).unlink(missing_ok=True)


def _is_abandoned(found: re.Match[str], entry: os.DirEntry[str]) -> bool:
    if found["host"] != _host():
        try:
            return time.time() - entry.stat().st_mtime > _FOREIGN_TEMP_AGE_S
        except FileNotFoundError:
            return False
    pid = int(found["pid"])
    if pid == os.getpid():
        return int(found["started"]) != _STARTED
    return not _is_running(pid)


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # signal 0 would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _force_to_disk(path: Path) -> None:
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
