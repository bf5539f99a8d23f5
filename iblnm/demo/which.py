"""The simulated archive of the group of stages that a root runs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from iblnm.errors import ArchiveMismatchError

if TYPE_CHECKING:
    from iblnm.config import Settings


def ensure_demo(settings: Settings) -> Path:
    """Build the simulated archive of these settings once, whole.

    Returns
    -------
    Path
        Folder of the archive.

    Raises
    ------
    ArchiveMismatchError
        If the folder holds another archive.
    """
    if settings.group == "photometry":
        from iblnm.demo.archive import ensure_archive

        return ensure_archive(settings.cache_dir, seed=settings.demo_seed)
    return _ensure_layers(settings.cache_dir.absolute())


def _ensure_layers(folder: Path) -> Path:
    from filelock import FileLock

    from iblnm.demo.layers import build_layers_archive

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if (folder / "recordings.csv").is_file():
            return folder
        if folder.exists() and any(folder.iterdir()):
            raise ArchiveMismatchError(
                f"{folder} holds another archive; the data layers need a root of their own: set "
                "IBLNM_ROOT to a new folder, or remove this one with `iblnm reset`"
            )
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
        try:
            build_layers_archive(partial)
            partial.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder
