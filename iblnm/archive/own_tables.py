"""Tables of ONE for a folder that has none, beside the outputs; the archive is not written to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from iblnm.archive.cache_tables import TABLES, read_one_table, write_one_table
from iblnm.archive.local_folders import AddedFolders, add_folders, unlisted_folders
from iblnm.config import Settings
from iblnm.errors import MissingFileError

_OF_A_LAB = "Subjects"


@dataclass(frozen=True)
class FolderReport:
    """What was found in a folder that should be an archive.

    Parameters
    ----------
    n_sessions, n_files : int
    missing : dict
        Modality to number of sessions that have no data of it.
    left_out : dict
        Folder to why it is no session.
    """

    n_sessions: int
    n_files: int
    missing: dict[str, int]
    left_out: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.n_sessions} sessions with {self.n_files} files"]
        lines += [
            f"  without {name}: {count} of {self.n_sessions}"
            for name, count in self.missing.items()
            if count
        ]
        lines += [f"  left out: {place}: {reason}" for place, reason in self.left_out.items()]
        return "\n".join(lines)


def tables_dir(settings: Settings) -> Path:
    """Folder of the tables by which ONE knows the sessions of a local archive.

    That of the archive if it has tables, else the one under the root that `make_tables` fills.
    """
    in_archive = any((settings.cache_dir / f"{name}.pqt").is_file() for name in TABLES)
    return settings.cache_dir if in_archive else own_tables_dir(settings)


def own_tables_dir(settings: Settings) -> Path:
    """Where tables are made for an archive without any."""
    return settings.metadata_dir / "one_tables"


def has_tables(settings: Settings) -> bool:
    """Whether ONE can open the local archive."""
    folder = tables_dir(settings)
    return all((folder / f"{name}.pqt").is_file() for name in TABLES)


def are_own_tables(settings: Settings) -> bool:
    """Whether the archive is known by tables that were made here."""
    return has_tables(settings) and tables_dir(settings) == own_tables_dir(settings)


def need_tables(settings: Settings) -> Path:
    """Folder of the tables.

    Raises
    ------
    MissingFileError
        The archive's folder or its tables do not exist. The message says what is there instead
        and what to do.
    """
    if not has_tables(settings):
        place = settings.cache_dir
        raise MissingFileError(f"{place}: {_what_is_wrong(settings)}")
    return tables_dir(settings)


def make_tables(settings: Settings) -> FolderReport:
    """Make tables of ONE of an archive without any, or bring them up to date.

    They are made anew from the folders each time, under the root (`own_tables_dir`). A session
    has the eid of its record of Alyx beside the tree, or else one made from its place, which is
    always the same.

    Parameters
    ----------
    settings : Settings
        ``one_mode`` 'local'; sessions without a record are of its project.

    Returns
    -------
    FolderReport

    Raises
    ------
    MissingFileError
        If there is no session folder.
    """
    archive, folder = settings.cache_dir, own_tables_dir(settings)
    places = session_folders(archive)
    if not places:
        raise MissingFileError(f"{archive}: {_what_is_wrong(settings)}")
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".new") as temporary:
        new = Path(temporary)
        _write_empty(new, archive)
        added = add_folders(archive, places, tables=new, settle_s=0.0, project=settings.project)
        tables = {name: read_one_table(new / f"{name}.pqt")[0] for name in TABLES}
    # the datasets first, so that no listed session is without its files
    for name in reversed(TABLES):
        path = folder / f"{name}.pqt"
        former, _ = read_one_table(path)
        write_one_table(path, tables[name], former, {}, f"folders of {archive}")
    return _report(tables["datasets"], added, settings)


def session_folders(archive: Path) -> list[str]:
    """All session folders with datasets below a folder, relative to it."""
    if not archive.is_dir() or archive.name == _OF_A_LAB:
        return []
    return unlisted_folders(archive, tables=None)


def _write_empty(folder: Path, archive: Path) -> None:
    from one.alf.cache import EMPTY_DATASETS_FRAME, EMPTY_SESSIONS_FRAME

    empty = {"sessions": EMPTY_SESSIONS_FRAME, "datasets": EMPTY_DATASETS_FRAME}
    for name, table in empty.items():
        write_one_table(folder / f"{name}.pqt", table, None, {}, f"folders of {archive}")


def _report(datasets: pd.DataFrame, added: AddedFolders, settings: Settings) -> FolderReport:
    from iblnm.pipeline.rules.dataset import missing_modalities

    paths = datasets["rel_path"].groupby(level="eid").agg(list)
    missing: Counter[str] = Counter()
    for eid in added.added.values():
        missing.update(missing_modalities({"datasets": paths.get(eid, [])}, settings).keys())
    return FolderReport(len(added.added), len(datasets), dict(missing), added.left_out)


def _what_is_wrong(settings: Settings) -> str:
    place = settings.cache_dir
    if not place.exists():
        return "this folder does not exist (IBLNM_ONE_CACHE_DIR)"
    if not place.is_dir():
        return "this is a file; IBLNM_ONE_CACHE_DIR is the folder with the sessions"
    n = len(session_folders(place))
    if n:
        return (
            f"{n} session folders and no tables of ONE (sessions.pqt, datasets.pqt): "
            "`iblnm batch --make-tables` makes them beside the outputs"
        )
    for other, words in _nearby(place):
        n = len(session_folders(other))
        if n:
            return f"no session folders; {words}, {other}, has {n}: set IBLNM_ONE_CACHE_DIR to it"
    return (
        "no session folders; they are expected as [lab/Subjects/]subject/yyyy-mm-dd/nnn with "
        "ALF files below (IBLNM_ONE_CACHE_DIR)"
    )


def _nearby(place: Path) -> list[tuple[Path, str]]:
    below = [(path, "the folder below") for path in sorted(place.iterdir()) if path.is_dir()]
    if place.name == _OF_A_LAB:
        return [(place.parent.parent, "the folder above")]
    return [*below, (place.parent, "the folder above")] if (place / _OF_A_LAB).is_dir() else below
