"""Sessions of a group: opened on demand, a few of them kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iblnm.config import Settings
    from iblnm.data.session import PhotometrySession

# the catalog's row knows more than the metadata in the session file
STORED_GROUPS = ("errors", "photometry", "trials", "wheel")


class LazyConnection:
    """The ONE client of the settings, opened by the first use of an attribute."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._client: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._client is None:
            from iblnm.archive.connection import connect

            self._client = connect(self._settings)
        return getattr(self._client, name)


class SessionCache:
    """The sessions used last.

    Parameters
    ----------
    open_session : callable
        Takes an eid, returns the session.
    size : int
        Sessions kept. The oldest is let go before another one is opened.
    """

    def __init__(self, open_session: Callable[[str], Any], size: int):
        if size < 1:
            raise ValueError(f"{size} sessions in memory; at least 1 is needed")
        self._open = open_session
        self._size = size
        self._sessions: OrderedDict[str, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, eid: str) -> Any:
        """The session, opened if it is not held."""
        if eid not in self._sessions:
            while len(self._sessions) >= self._size:
                self._sessions.popitem(last=False)
            self._sessions[eid] = self._open(eid)
        self._sessions.move_to_end(eid)
        return self._sessions[eid]

    def clear(self) -> None:
        """Let all sessions go."""
        self._sessions.clear()


def open_session(
    row: Any, one: Any, settings: Settings, h5_dir: Path, groups: Iterable[str]
) -> PhotometrySession:
    """A session with what its session file holds, or without data if there is no file.

    Raises
    ------
    UnreadableFileError
        If the file is damaged.
    """
    from iblnm.data.session import PhotometrySession
    from iblnm.storage.names import validate_name

    session = PhotometrySession(row, one=one, settings=settings)
    groups = list(groups)
    path = h5_dir / f"{validate_name(session.eid)}.h5" if groups else None
    if path is not None and path.exists():
        session.load_h5(path, groups=groups)
    return session
