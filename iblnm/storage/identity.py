"""Which archive the outputs under a root belong to: sessions of two archives never mix."""

from __future__ import annotations

import json
from pathlib import Path

from iblnm.config import Settings
from iblnm.errors import ArchiveMismatchError, UnreadableFileError
from iblnm.storage.atomic import write_whole


def archive_identity(settings: Settings) -> str:
    """Text that identifies the archive: demo seed, folder, or server and project."""
    if settings.is_demo:
        return f"demo archive, seed {settings.demo_seed}"
    if settings.one_mode == "local":
        return f"local archive {settings.cache_dir.resolve()}"
    return f"{settings.alyx_url}, project {settings.project}"


def identity_path(settings: Settings) -> Path:
    """File that records the archive of a root."""
    return settings.metadata_dir / "archive.json"


def claim_root(settings: Settings) -> str:
    """Record the archive under the root, or check that it is the one recorded.

    Returns
    -------
    str
        Identity of the archive.

    Raises
    ------
    ArchiveMismatchError
        The root holds outputs of another archive; the message names both ways out.
    UnreadableFileError
        The record itself cannot be read.
    """
    identity = archive_identity(settings)
    path = identity_path(settings)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as temporary:
            temporary.write_text(json.dumps({"archive": identity}) + "\n")
        return identity
    try:
        recorded = json.loads(path.read_text())["archive"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFileError(f"not a record of an archive ({error})", path=path) from error
    if recorded != identity:
        raise ArchiveMismatchError(
            f"the outputs under {settings.root} come from: {recorded}; now configured: "
            f"{identity}. Set IBLNM_ROOT to another folder, or run `iblnm reset` to delete "
            "the outputs of the first"
        )
    return identity
