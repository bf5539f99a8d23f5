"""Quality metrics that bombcell has written; it is read here, never run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from iblnm.layers.errors import BombcellError

LABELS = ("GOOD", "MUA", "NON-SOMA", "NOISE")
LABEL = "bc_unitType"
LABELS_FILE = "cluster_bc_unitType.tsv"
MASK_FILE = "spikes._bc_duplicateSpikes.npy"
_CLUSTER = "phy_clusterID"


def read_bombcell(
    metrics_path: Path, labels_path: Path | None = None, *, eid: str | None = None, probe: str = ""
) -> pd.DataFrame:
    """Metrics and label of each cluster.

    Parameters
    ----------
    metrics_path : Path
        ``templates._bc_qMetrics.parquet`` of any version.
    labels_path : Path, optional
        ``cluster_bc_unitType.tsv``; used where the metrics have no label, as before 0.94.
    eid, probe : str
        To name in an error.

    Returns
    -------
    DataFrame
        ``cluster_id`` (int64), the metrics under their own names, ``bc_unitType``: one of
        `LABELS` or None.

    Raises
    ------
    BombcellError
        If a file cannot be read, has no cluster, or one twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def fault(message: str, path: Path) -> BombcellError:
        return BombcellError(message, probe=probe or None, eid=eid, path=path)

    try:
        table = pq.read_table(metrics_path, use_threads=False).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise fault(f"no readable parquet file: {error}", metrics_path) from error
    if _CLUSTER not in table:
        raise fault(f"columns are {list(table.columns)}; {_CLUSTER} is expected", metrics_path)
    # the column has been a float, and another one counts from 1
    number = pd.to_numeric(table.pop(_CLUSTER), errors="coerce")
    if number.isna().any() or (number != number.round()).any():
        raise fault(f"{_CLUSTER} holds values that are no cluster numbers", metrics_path)
    table = table.drop(columns=[name for name in ("clusterID",) if name in table])
    table.insert(0, "cluster_id", number.astype("int64"))
    if table["cluster_id"].duplicated().any():
        raise fault("a cluster has two rows", metrics_path)
    labels = table.pop(LABEL) if LABEL in table else _labels(labels_path, table, fault)
    table[LABEL] = [_label(value) for value in labels]
    return table


def _labels(path: Path | None, table: pd.DataFrame, fault) -> pd.Series:
    if path is None:
        return pd.Series([None] * len(table), index=table.index, dtype=object)
    try:
        read = pd.read_csv(path, sep="\t")
        by_cluster = read.set_index(read["cluster_id"].astype("int64"))[LABEL]
        return table["cluster_id"].map(by_cluster[~by_cluster.index.duplicated()])
    except (OSError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise fault(f"no readable table of labels: {error}", path) from error


def _label(value: object) -> str | None:
    text = str(value).strip().upper().replace("_", "-")
    return text if text in LABELS else None


def bombcell_units(
    table: pd.DataFrame, units: pd.DataFrame, *, eid: str, pid: str | None, probe: str
) -> pd.DataFrame:
    """Metrics by uuid, joined by the cluster of the same sorting.

    Parameters
    ----------
    table : DataFrame
        Of `read_bombcell`.
    units : DataFrame
        Of `iblnm.layers.units`, with ``uuid``, ``cluster_id`` and ``probe``.
    eid, pid, probe : str

    Returns
    -------
    DataFrame
        ``uuid``, ``pid``, ``eid``, ``probe``, ``cluster_id`` and the columns of `table`; rows
        without a unit have no uuid.
    """
    own = units.loc[units["probe"] == probe, ["uuid", "cluster_id"]]
    joined = table.merge(own, on="cluster_id", how="left", validate="one_to_one")
    for name, value in (("probe", probe), ("eid", eid), ("pid", pid)):
        joined.insert(0, name, value)
    joined.insert(0, "uuid", joined.pop("uuid"))
    return joined


def good_share(table: pd.DataFrame) -> float | None:
    """Share of all rows that are GOOD; None without rows or labels."""
    if len(table) == 0 or table[LABEL].isna().all():
        return None
    return float((table[LABEL] == "GOOD").mean())


def read_mask(path: Path, n_spikes: int, *, eid: str | None = None, probe: str = "") -> np.ndarray:
    """Bombcell's own mask of duplicates, for comparison.

    Raises
    ------
    BombcellError
        If it cannot be read or has another length than the spikes.
    """
    try:
        mask = np.load(path, mmap_mode="r", allow_pickle=False).reshape(-1)
    except (OSError, ValueError, EOFError) as error:
        raise BombcellError(
            f"no readable array: {error}", probe=probe or None, eid=eid, path=path
        ) from error
    if len(mask) != n_spikes:
        raise BombcellError(
            f"a mask of {len(mask)} spikes, the sorting has {n_spikes}",
            probe=probe or None,
            eid=eid,
            path=path,
        )
    return np.asarray(mask) != 0
