"""An archive of one session on the day of its recording: raw files, nothing extracted yet."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pandas as pd

from iblnm.archive import connect
from iblnm.config import Settings
from iblnm.demo import archive, records
from iblnm.demo.cohort import make_cohort
from iblnm.demo.draft import Draft
from iblnm.demo.files import write_session
from iblnm.pipeline import stages

SEED = 3
DURATION_S = 600.0


class RawArchive:
    """The archive, and the draft of its session: the truth behind the files.

    Parameters
    ----------
    folder : Path
        New, or empty.
    omitted : tuple of str
        Patterns of the files that are not there.
    is_old : bool
        Whether the files of the photometry are of an older version.
    """

    def __init__(
        self, folder: Path, *, omitted: tuple[str, ...] = ("alf/*",), is_old: bool = False
    ):
        plans = make_cohort(SEED, 2, 2, DURATION_S, [])
        plan = next(
            plan
            for plan in plans
            if plan.session_type == "biased" and plan.is_old_layout == is_old
        )
        self.folder = folder
        self.draft = Draft(plan, SEED, DURATION_S)
        self.draft.omitted = omitted
        self.eid = self.draft.eid
        self.session = folder / plan.relative_path
        self.listed = write_session(self.draft, folder)
        archive._write_text(folder / "fibers.csv", archive._fibers_csv([plan.subject]))
        self._register()

    def extract(self) -> None:
        """What the archive's own extraction adds later: the files below ``alf/``."""
        self.draft.omitted = ()
        with tempfile.TemporaryDirectory() as name:
            listed = write_session(self.draft, Path(name))
            new = listed[listed["rel_path"].str.startswith("alf/")]
            for rel_path in new["rel_path"]:
                target = self.session / rel_path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(name) / self.draft.plan.relative_path / rel_path, target)
        is_new = ~new["rel_path"].isin(self.listed["rel_path"])
        self.listed = pd.concat([self.listed, new[is_new]])
        self._register()

    def register_anew(self) -> None:
        """Take in what a test did to the files."""
        paths = [self.session / name for name in self.listed["rel_path"]]
        is_there = [path.is_file() for path in paths]
        self.listed = self.listed[is_there].assign(
            hash=None,
            file_size=[path.stat().st_size for path in paths if path.is_file()],
        )
        self._register()

    def _register(self) -> None:
        records.write_records(self.draft, self.listed, self.folder / ".alyx", set())
        rows = self.listed.rename_axis("id").assign(eid=self.eid)
        archive._write_tables(self.folder, [archive._session_row(self.draft)], [rows], SEED)


class Opened:
    """A raw archive, opened."""

    def __init__(self, folder: Path, **options):
        self.archive = RawArchive(folder / "alf", **options)
        self.draft, self.eid = self.archive.draft, self.archive.eid
        self.settings = Settings(root=folder / "root", one_cache_dir=folder / "alf")
        self.open()

    def open(self) -> None:
        """Connect, with the tables as they are now."""
        self.one = connect(self.settings)

    @property
    def row(self) -> pd.Series:
        return stages.session_metadata(self.one, self.eid, self.settings).value.iloc[0]
