"""Reading what the pipeline stored, session by session or all sessions together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.config import Settings
from iblnm.errors import MissingFileError, UnreadableFileError
from iblnm.storage.names import validate_eid
from iblnm.storage.remembered import gather_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from iblnm.pipeline.stage import Stage
    from iblnm.schemas import Table


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
        self._remembered = settings.remembered_dir
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
        from iblnm.storage.h5 import read_groups, read_provenance
        from iblnm.storage.recent import read_recent

        stage = _stage(asset)
        if stage.is_page:
            page = self._root / stage.folder / f"{validate_eid(eid)}.html"
            return page.read_text(encoding="utf-8") if page.exists() else None
        if stage.table is not None:
            path = self._root / stage.folder / f"{validate_eid(eid)}.pqt"
            return read_recent(path, stage.table) if path.exists() else None
        path, group = self.h5_path(eid), stage.h5_group
        if not path.exists() or (value := read_groups(path, [group]).get(group)) is None:
            return None
        if asset == "trials":
            origin = read_provenance(path, group)
            repair = "" if origin is None else origin.parameters.get("block_repair", "")
            value.attrs["block_repair"] = repair
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

    def collect(self, asset: str) -> pd.DataFrame:
        """Rows of all sessions of an asset that is stored in parquet, ordered by eid."""
        table = _stage(asset).table
        if table is None:
            raise ValueError(f"{asset} is stored in the session files, not as tables")
        rows = self.collect_arrow(asset)
        return table.empty() if rows is None else table.conform(rows.to_pandas())

    def collect_arrow(self, asset: str) -> pa.Table | None:
        """As `collect`, with all columns that a file has; None without any row."""
        from iblnm.storage.parquet import read_arrow

        def read(path: Path) -> pa.Table | None:
            with suppress(MissingFileError):  # taken back since the folder was listed
                return read_arrow(path)
            return None

        return gather_rows(self._memory(asset), self._root / _stage(asset).folder, ".pqt", read)

    def collect_rows(
        self,
        asset: str,
        table: Table,
        rows_of: Callable[[str, Any], pd.DataFrame],
        *,
        made_by: str = "",
    ) -> pd.DataFrame:
        """Rows made of what the session files have of an asset, ordered by eid.

        Parameters
        ----------
        asset : str
        table : Table
            Schema of the rows.
        rows_of : callable
            From an eid and the value of the asset to its rows.
        made_by : str
            Version of `rows_of`; rows made by another are made anew.
        """
        import pyarrow as pa

        def read(path: Path) -> pa.Table | None:
            value = self.load(asset, path.stem)
            if value is None:
                return None
            return pa.Table.from_pandas(rows_of(path.stem, value), preserve_index=False)

        columns = ",".join(f"{column.name}:{column.dtype}" for column in table.columns)
        made_by = f"{table.name} {made_by} {columns}"
        rows = gather_rows(self._memory(table.name), self.h5_dir, ".h5", read, made_by=made_by)
        return table.empty() if rows is None else table.conform(rows.to_pandas())

    def _memory(self, name: str) -> Path:
        return self._remembered / f"{name}.pqt"

    def iterate(self, asset: str) -> Iterator[tuple[str, Any]]:
        """Pairs (eid, value) of an asset, one session in memory at a time."""
        for eid in self.eids(asset):
            value = self.load(asset, eid)
            if value is not None:
                yield eid, value


def _stage(asset: str) -> Stage:
    from iblnm.pipeline.graph import find_stage

    return find_stage(asset)
