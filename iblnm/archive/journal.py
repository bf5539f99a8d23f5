"""What an unfinished work has done, so that the next start goes on where it was."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import TextIO


class Journal:
    """Names of finished steps in a text file that only grows.

    A line is added after each step. A line that a kill cut off is not read, so that at most the
    last step is done again. `complete` deletes the file.

    Parameters
    ----------
    path : Path
    title : str
        Of the work; the steps of another work are not taken over.
    max_age_s : float
        Steps of an older work are not taken over.
    """

    def __init__(self, path: Path, title: str, *, max_age_s: float):
        self._path = path
        self._header = {"title": title, "started": time.time()}
        known = _read(path)
        header = known.pop(0) if known else None
        is_same = isinstance(header, dict) and header.get("title") == title
        if is_same and time.time() - float(header.get("started", 0)) <= max_age_s:
            self._header = header
            self._done = {step for step in known if isinstance(step, str)}
        else:
            self._done = set()
        self.resumed = len(self._done)
        self._file: TextIO | None = None

    def __enter__(self) -> Journal:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = [self._header, *sorted(self._done)]
        # rewritten, since the last line may be half of one
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def __contains__(self, step: str) -> bool:
        return step in self._done

    def add(self, step: str) -> None:
        """Record a finished step."""
        if self._file is None:
            raise ValueError("the journal is not open")
        self._done.add(step)
        self._file.write(f"{json.dumps(step)}\n")
        self._file.flush()

    def complete(self) -> None:
        """The work is finished: nothing is left to go on with."""
        self._path.unlink(missing_ok=True)


def _read(path: Path) -> list[object]:
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines
