"""The package as a wheel, in an empty folder, without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "iblnm", "iblnm_dagster", "metadata")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Folder with what the wheel holds; nothing of it is the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(
                source, folder / "source" / name, ignore=shutil.ignore_patterns("*.pyc")
            )
        else:
            (folder / "source").mkdir(exist_ok=True)
            shutil.copy(source, folder / "source" / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder, folder / "source"], check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    shutil.rmtree(folder / "source")
    return folder / "site"


@pytest.mark.slow
def test_a_batch_of_the_wheel_gives_the_tables_of_the_checkout(
    installed, small_archive, processed_root, tmp_path
):
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("IBLNM_")},
        "PYTHONPATH": str(installed),
        "IBLNM_ONE_CACHE_DIR": str(small_archive[0]),
        "IBLNM_ROOT": str(tmp_path / "root"),
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = run("-c", "import iblnm, iblnm_dagster; print(iblnm.__file__, iblnm_dagster.__file__)")
    assert [Path(name).is_relative_to(installed) for name in place.split()] == [True, True]
    assert "4 of 4 evaluated sessions" in run("-m", "iblnm_dagster.cli", "batch", "--workers", "1")
    assert list(empty.iterdir()) == []
    for table in ("metadata/sessions.pqt", "data/performance.pqt"):
        mine = pd.read_parquet(tmp_path / "root" / table).sort_values("eid", ignore_index=True)
        same = pd.read_parquet(processed_root.root / table).sort_values("eid", ignore_index=True)
        columns = [name for name in same if name not in ("logged_errors", "source")]
        pd.testing.assert_frame_equal(mine[columns], same[columns], check_dtype=False)
