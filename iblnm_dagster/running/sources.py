"""What a process was made from: files of its modules, settings of its environment."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import sysconfig
import time
from pathlib import Path

DEPENDENCIES_EVERY_S = 10.0
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
_OURS = ("iblnm", "iblnm_dagster")

_State = tuple[int, int] | None


class Sources:
    """Files that a process was made from, as they were when it read them.

    Parameters
    ----------
    module : str
        Module of the code location. It and the packages ``iblnm`` and ``iblnm_dagster`` are
        noted before they are imported, so that a file saved meanwhile counts as changed.
    """

    def __init__(self, module: str):
        self._own: dict[str, _State] = {}
        self._dependencies: dict[str, _State] = {}
        for name in {*_OURS, module.partition(".")[0]}:
            self._add(_files_of(name))
        self._add([str(Path(".env").resolve())])
        self._looked_at = time.monotonic()

    def add_imported(self) -> None:
        """Note the files of all modules that are imported by now."""
        files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        self._add([file for file in files if file])

    def changed(self) -> list[str]:
        """Files that are not what they were.

        Those of installed packages, thousands, are looked at every `DEPENDENCIES_EVERY_S` only.
        """
        found = _differing(self._own)
        if not found and time.monotonic() - self._looked_at > DEPENDENCIES_EVERY_S:
            found = _differing(self._dependencies)
            self._looked_at = time.monotonic()
        return found

    def _add(self, files: list[str]) -> None:
        for file in files:
            kind = self._dependencies if file.startswith(_INSTALLED) else self._own
            if file not in kind:
                kind[file] = _state(file)


def environment_digest() -> str:
    """Digest of the variables of this process that are settings."""
    given = sorted(item for item in os.environ.items() if item[0].upper().startswith("IBLNM_"))
    return hashlib.sha256(repr(given).encode()).hexdigest()


def _files_of(name: str) -> list[str]:
    spec = importlib.util.find_spec(name)
    if spec is None:
        return []
    folders = spec.submodule_search_locations
    if folders is None:
        return [spec.origin] if spec.origin else []
    return [str(file) for folder in folders for file in Path(folder).rglob("*.py")]


def _differing(states: dict[str, _State]) -> list[str]:
    return [file for file, state in states.items() if _state(file) != state]


def _state(file: str) -> _State:
    try:
        status = os.stat(file)  # noqa: PTH116 (thousands of them, before each run)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
