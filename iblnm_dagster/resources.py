"""Resources of the graph: the archive's client and the settings."""

from __future__ import annotations

import threading
from typing import Any

from iblnm.config import Settings


class Archive:
    """The ONE archive of the settings; connects at first use.

    ONE clients are not safe to share between processes, and connecting costs more than
    processing a session, so the definitions of a process hold exactly one.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self._one: Any = None
        self._connecting = threading.Lock()

    @property
    def one(self) -> Any:
        """The ONE client; an attempt to connect that failed is made again."""
        with self._connecting:
            if self._one is None:
                from iblnm.archive.connection import connect
                from iblnm.archive.identity import claim_root

                claim_root(self.settings)
                self._one = connect(self.settings)
            return self._one
