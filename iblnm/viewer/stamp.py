"""Whether a document is still that of the files it was made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from iblnm import __version__
from iblnm.storage.names import validate_eid
from iblnm.viewer.report import METHOD_VERSION


def stamp_of(root: Path, eid: str) -> str:
    """Hash of sizes and times of the files that a document is made from."""
    eid = validate_eid(eid)
    paths = [root / "data/sessions" / f"{eid}.h5"]
    folders = ("metadata/sessions", "data/photometry", "data/performance")
    paths += [root / folder / f"{eid}.pqt" for folder in folders]
    facts: list[Any] = [METHOD_VERSION, __version__]
    for path in paths:
        try:
            stat = path.stat()
            facts.append([stat.st_size, stat.st_mtime_ns])
        except OSError:
            facts.append(None)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
