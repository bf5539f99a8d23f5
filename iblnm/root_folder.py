"""Where outputs go when nobody says so."""

from __future__ import annotations

from pathlib import Path

MARKS = ("dagster.yaml", "metadata/outcomes.sqlite")
"""Files that tell that a folder is a root already."""
_PACKAGE = Path(__file__).resolve().parent


def default_root() -> Path:
    """Root of the outputs: the checkout, else the current folder if it is a root already.

    An installed package has no checkout. In any other folder outputs go to ``iblnm`` in the
    user's data folder, so that a command that is called somewhere fills nobody's folder; the
    commands say first where they write. `iblnm init` chooses another root, ``iblnm demo --here``
    the current folder.

    Returns
    -------
    Path
    """
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout
    if is_root(Path.cwd()):
        return Path.cwd()
    from platformdirs import user_data_path

    return user_data_path("iblnm", appauthor=False)


def is_root(folder: Path) -> bool:
    """Whether a folder holds outputs already."""
    return any((folder / name).exists() for name in MARKS)
