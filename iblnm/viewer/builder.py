"""Documents of sessions without a current report, made in a process of their own.

Making one takes pandas, xarray and scipy, 200 MB that the server does without. The process
ends when nobody has needed it for a while.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from iblnm.config import Settings

_IDLE_S = 30.0


class Builder:
    """One process that makes documents, started at need.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = 0
        self._end: asyncio.TimerHandle | None = None

    async def build(self, eid: str) -> tuple[str, dict[str, bytes]]:
        """Stamp and blocks of a session's document.

        Raises
        ------
        RuntimeError
            If the process died, from lack of memory for example.
        """
        loop = asyncio.get_running_loop()
        if self._end is not None:
            self._end.cancel()
        if self._pool is None:
            self._pool = start_pool()
        self._waiting += 1
        try:
            return await loop.run_in_executor(self._pool, build_blocks, self._settings, eid)
        except BrokenProcessPool as error:
            self.close()
            raise RuntimeError(f"the process that reads session {eid} ended") from error
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._end = loop.call_later(_IDLE_S, self.close)

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def start_pool() -> ProcessPoolExecutor:
    """One process that ends with this one, however this one ends."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=_end_with_parent)


def _end_with_parent() -> None:
    # a signal may end the server before it could end its pool, whose process would then wait
    # for ever
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def build_blocks(settings: Settings, eid: str) -> tuple[str, dict[str, bytes]]:
    """Make a document from what is stored."""
    from iblnm.storage.store import SessionStore
    from iblnm.viewer.document import stored_document

    document = stored_document(SessionStore(settings), eid, settings)
    return document.stamp, document.blocks
