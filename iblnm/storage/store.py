"""Reading what the pipeline stored, session by session or all sessions together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.config import Settings
from iblnm.errors import UnreadableFileError
from iblnm.storage.names import validate_eid

if TYPE_CHECKING:
    from iblnm.pipeline.stage import Stage


class SessionStore:
    """The stored assets of all sessions under one root, at the places that `STAGES` declares.

    Parameters
    ----------
    settings : Settings

    Attributes
    ----------
    h5_dir : Path
        Folder of the session files.
    """

    def __init__(self, settings: Settings):
        self._root = settings.root
        self.h5_dir = settings.sessions_h5_dir

    def h5_path(self, eid: str) -> Path:
        """Session file of an eid."""
        return self.h5_dir / f"{validate_eid(eid)}.h5"

    def load(self, asset: str, eid: str) -> Any:
        """Stored value of one session's asset, or None if it was never stored.

        Raises
        ------
        KeyError
            There is no such asset.
        UnreadableFileError
            The file is there but damaged.
        """
        from iblnm.storage.h5 import list_groups, read_group, read_provenance
        from iblnm.storage.parquet import read_table

        stage = _stage(asset)
        if stage.is_page:
            page = self._root / stage.folder / f"{validate_eid(eid)}.html"
            return page.read_text(encoding="utf-8") if page.exists() else None
        if stage.table is not None:
            path = self._root / stage.folder / f"{validate_eid(eid)}.pqt"
            return stage.table.restore(read_table(path)) if path.exists() else None
        path, group = self.h5_path(eid), stage.h5_group
        if not path.exists() or group not in list_groups(path):
            return None
        value = read_group(path, group)
        if asset == "trials":
            origin = read_provenance(path, group)
            value.attrs["block_repair"] = origin.parameters.get("block_repair", "")
        return value

    def remove(self, assets: Iterable[str], eid: str) -> None:
        """Take back what was stored of a session's assets; pages stay until they are renewed.

        Parameters
        ----------
        assets : iterable of str
            Those of which nothing is stored are passed over.
        eid : str
        """
        from iblnm.storage.h5 import list_groups, write_groups

        stages = [stage for stage in map(_stage, assets) if not stage.is_page]
        for stage in stages:
            if stage.folder is not None:
                path = self._root / stage.folder / f"{validate_eid(eid)}.pqt"
                path.unlink(missing_ok=True)
        path = self.h5_path(eid)
        if not path.exists():
            return
        try:
            stored = set(list_groups(path))
        except UnreadableFileError:  # nothing is read of it, and it is put aside when written
            return
        gone = {stage.h5_group: None for stage in stages if stage.h5_group in stored}
        if gone:
            write_groups(path, gone)

    def eids(self, asset: str) -> list[str]:
        """Eids with a stored value, sorted; for HDF5 assets, those with a session file."""
        stage = _stage(asset)
        pattern = "*.html" if stage.is_page else "*.pqt"
        folder = stage.folder
        paths = (self._root / folder).glob(pattern) if folder else self.h5_dir.glob("*.h5")
        return sorted(path.stem for path in paths)

    def table_paths(self, asset: str) -> list[Path]:
        """Stored tables of an asset, in order of their eids."""
        return sorted((self._root / _stage(asset).folder).glob("*.pqt"))

    def collect(self, asset: str) -> pd.DataFrame:
        """Rows of all sessions of an asset that is stored in parquet, ordered by eid."""
        import pyarrow.dataset as ds

        stage = _stage(asset)
        if stage.table is None:
            raise ValueError(f"{asset} is stored in the session files, not as tables")
        table, paths = stage.table, self.table_paths(asset)
        if not paths:
            return table.empty()
        frame = ds.dataset([str(path) for path in paths], format="parquet").to_table().to_pandas()
        return table.conform(frame)

    def iterate(self, asset: str) -> Iterator[tuple[str, Any]]:
        """Pairs (eid, value) of an asset, one session in memory at a time."""
        for eid in self.eids(asset):
            value = self.load(asset, eid)
            if value is not None:
                yield eid, value


def _stage(asset: str) -> Stage:
    from iblnm.pipeline.graph import find_stage

    return find_stage(asset)
