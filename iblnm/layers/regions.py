"""Brain regions: acronyms of the Allen atlas and the coarse region that each belongs to."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from iblnm.errors import MissingFileError

COARSE_REGIONS = (
    "Isocortex",
    "OLF",
    "HPF",
    "CTXsp",
    "CNU",
    "TH",
    "HY",
    "MB",
    "HB",
    "CB",
    "fiber tracts",
    "VS",
    "root",
    "void",
)
"""Major divisions of the Allen tree; ``root`` is what lies above them."""
_TREE = "allen_structure_tree.csv"


@cache
def _tree() -> pd.DataFrame:
    """Acronym and coarse region by atlas id."""
    spec = importlib.util.find_spec("iblatlas")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    path = next((p for f in folders if (p := Path(f) / _TREE).is_file()), None)
    if path is None:
        raise MissingFileError(f"{_TREE} of the package iblatlas is not installed")
    # the package itself would read its volumes' tables too
    table = pd.read_csv(path, usecols=["id", "acronym", "structure_id_path"])
    ids = dict(zip(table["acronym"], table["id"].astype(int), strict=True))
    coarse_of = {ids[name]: name for name in COARSE_REGIONS if name in ids}
    coarse = []
    for row in table.itertuples():
        path_ids = str(row.structure_id_path).strip("/").split("/")
        ancestors = [int(part) for part in path_ids if part.isdigit()] or [int(row.id)]
        coarse.append(next(coarse_of[a] for a in reversed(ancestors) if a in coarse_of))
    return pd.DataFrame(
        {"acronym": table["acronym"].to_numpy(), "coarse": coarse},
        index=pd.Index(table["id"].astype(int), name="id"),
    )


@cache
def _by_acronym() -> dict[str, str]:
    tree = _tree()
    return dict(zip(tree["acronym"], tree["coarse"], strict=True))


def region_of_ids(atlas_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Acronym and coarse region of atlas ids.

    Parameters
    ----------
    atlas_ids : (n,) array of int
        Of the Allen atlas; negative ids are the left hemisphere.

    Returns
    -------
    acronym, coarse : (n,) arrays of str
        None for an id that the tree does not have.
    """
    ids = np.abs(np.asarray(atlas_ids, dtype=np.int64))
    found = _tree().reindex(ids)
    return tuple(
        np.array([None if pd.isna(v) else v for v in found[name]], dtype=object)
        for name in ("acronym", "coarse")
    )


def coarse_region(acronym: str | None) -> str | None:
    """Coarse region of an acronym by ancestry; None if the tree does not have it.

    Examples
    --------
    >>> coarse_region("CA1"), coarse_region("VISa5"), coarse_region("VPM"), coarse_region("or")
    ('HPF', 'Isocortex', 'TH', 'fiber tracts')
    """
    return _by_acronym().get(acronym or "")
