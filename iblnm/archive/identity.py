"""Which archive the outputs under a root belong to: sessions of two archives never mix."""

from __future__ import annotations

import json
from pathlib import Path

from iblnm.archive.sync_state import open_state, state_place
from iblnm.config import Settings
from iblnm.errors import ArchiveMismatchError, IblnmError, UnreadableFileError
from iblnm.storage.atomic import write_whole
from iblnm.storage.database import remove


def archive_identity(settings: Settings) -> str:
    """Text that identifies the archive: demo seed, folder, or server and project.

    Raises
    ------
    IblnmError
        There is no address of a server.
    """
    if settings.is_demo:
        return f"demo archive, seed {settings.demo_seed}"
    if settings.one_mode == "local":
        return f"local archive {settings.cache_dir.resolve()}"
    if not settings.alyx_url:
        raise IblnmError(
            "IBLNM_ONE_MODE=remote needs IBLNM_ALYX_URL, the address of an Alyx server, like "
            "https://alyx.example.org"
        )
    return f"{settings.alyx_url}, project {settings.project}"


def identity_path(settings: Settings) -> Path:
    """File that records the archive of a root."""
    return settings.metadata_dir / "archive.json"


def claim_root(settings: Settings) -> str:
    """Record the archive under the root, or check that it is the one recorded.

    As long as no session of the recorded archive is known, another takes its place: the first
    address was a wrong one.

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
    recorded = _read(path)
    if recorded is not None and recorded != identity and _is_unused(settings):
        # its clocks are those of the other archive
        remove(state_place(settings))
        recorded = None
    if recorded is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as temporary:
            temporary.write_text(json.dumps({"archive": identity}) + "\n")
        return identity
    if recorded != identity:
        raise ArchiveMismatchError(
            f"the outputs under {settings.root} come from: {recorded}; now configured: "
            f"{identity}. Set IBLNM_ROOT to another folder, or run `iblnm reset` to delete "
            "the outputs of the first"
        )
    return identity


def _read(path: Path) -> str | None:
    try:
        return json.loads(path.read_text())["archive"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFileError(f"not a record of an archive ({error})", path=path) from error


def _is_unused(settings: Settings) -> bool:
    """Whether no session of the recorded archive is known, and nothing is stored of any."""
    folders = (settings.metadata_dir / "sessions", settings.data_dir)
    if any(path.is_file() for folder in folders for path in folder.rglob("*")):
        return False
    if not state_place(settings).exists():
        return True
    return not any(open_state(settings).counts()[name] for name in ("known", "withdrawn"))
