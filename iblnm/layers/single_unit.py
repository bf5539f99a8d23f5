"""Rate, variability and complexity of single units before and after the drug.

A p-value here is that of a change of one unit between two epochs of one session, not of a drug:
units drift. With a standard deviation of the logarithm of the rate of 0.3 and a time constant of
200 s it is below 0.05 in two of three units without any effect. Whether a drug acts is asked
with animals as units, see `iblnm.layers.condition_effects`.
"""

from __future__ import annotations

import uuid as uuid_module
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from iblnm.layers.passive import EPOCHS
from iblnm.layers.spike_trains import count_spikes, n_whole_bins

BIN_WIDTHS_S = (0.1, 1.0, 10.0)
BLOCK_S = 10.0
N_PERMUTATIONS = 1000
SIDES = ("pre", "post")


@dataclass(frozen=True)
class Epoch:
    """An epoch before and after: (start, stop) [s], None where it is not known."""

    pre: tuple[float, float] | None
    post: tuple[float, float] | None


def epochs_of_row(row: Mapping[str, object]) -> dict[str, Epoch]:
    """Epochs by kind from a row of `iblnm.layers.passive.passive_epochs`."""

    def window(slot: str, kind: str) -> tuple[float, float] | None:
        start, stop = row.get(f"{slot}_{kind}_start"), row.get(f"{slot}_{kind}_stop")
        if start is None or stop is None or pd.isna(start) or pd.isna(stop):
            return None
        return (float(start), float(stop)) if stop > start else None

    return {kind: Epoch(window("task_pre", kind), window("task_post", kind)) for kind in EPOCHS}


def metric_columns(epochs: Sequence[str] = EPOCHS) -> list[str]:
    """Names of all columns, in order."""
    return [
        f"{epoch}_{name}_{side}"
        for epoch in epochs
        for name, has_p in _metrics()
        for side in (*SIDES, "MI", *(("MIp",) if has_p else ()))
    ]


def _metrics() -> list[tuple[str, bool]]:
    """Metrics of an epoch, and whether they have a p-value."""
    found = [("mean_rate", True), ("coefficient_of_variation", False)]
    for dt in BIN_WIDTHS_S:
        found.append((f"fano_factor_dt{round(dt * 1000)}", True))
    for dt in BIN_WIDTHS_S:
        found.append((f"lempel_ziv_complexity_dt{round(dt * 1000)}", False))
    return found


def single_unit_metrics(
    times: np.ndarray,
    offsets: np.ndarray,
    uuids: Sequence[str],
    epochs: Mapping[str, Epoch],
    *,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Metrics of all units of a session.

    Parameters
    ----------
    times : (n,) array
        Spike times sorted by unit [s].
    offsets : (m + 1,) array of int
    uuids : sequence of str
    epochs : mapping of str to Epoch
    n_permutations : int
    seed : int
        Of all streams of random numbers; each unit has its own, by its uuid.

    Returns
    -------
    DataFrame
        ``uuid`` and, per epoch, ``{epoch}_{metric}[_dt{ms}]_{pre,post,MI}`` with
        MI = (post − pre) / (post + pre), and ``_MIp`` of the rate and the Fano factors.
        NaN where an epoch is not known or a metric is not defined.

    Notes
    -----
    mean_rate
        Spikes in the epoch by its length [Hz].
    coefficient_of_variation
        Standard deviation of the intervals between spikes by their mean; three spikes needed.
    fano_factor
        Variance by mean of the counts in whole bins; divided by the number of bins.
    lempel_ziv_complexity
        Components of the exhaustive history (Lempel & Ziv 1976) of which bins are above the
        median, by n / log2(n), which is near 1 for a random sequence.
    MIp
        (1 + k) / (1 + n) of n permutations of blocks of 10 s of which k give a modulation index
        at least as large in absolute value.
    """
    columns: dict[str, np.ndarray] = {}
    seeds = np.array([_stream(uuid, seed) for uuid in uuids], dtype=np.uint64)
    for kind, epoch in epochs.items():
        sides = {side: getattr(epoch, side) for side in SIDES}
        values = {side: _side_metrics(times, offsets, window) for side, window in sides.items()}
        p_values = _p_values(times, offsets, epoch, seeds, n_permutations)
        for name, has_p in _metrics():
            pre, post = values["pre"][name], values["post"][name]
            columns[f"{kind}_{name}_pre"], columns[f"{kind}_{name}_post"] = pre, post
            columns[f"{kind}_{name}_MI"] = modulation_index(pre, post)
            if has_p:
                columns[f"{kind}_{name}_MIp"] = p_values[name]
    return pd.DataFrame({"uuid": list(uuids), **columns})


def modulation_index(pre: np.ndarray, post: np.ndarray) -> np.ndarray:
    """(post − pre) / (post + pre); NaN where both are zero.

    Examples
    --------
    >>> modulation_index(np.array([1.0, 0.0]), np.array([3.0, 0.0]))
    array([0.5, nan])
    """
    total = np.asarray(post + pre, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, (post - pre) / total, np.nan)


def _side_metrics(
    times: np.ndarray, offsets: np.ndarray, window: tuple[float, float] | None
) -> dict[str, np.ndarray]:
    n_units = len(offsets) - 1
    if window is None:
        return {name: np.full(n_units, np.nan) for name, _ in _metrics()}
    from iblnm.layers._kernels import interval_variation

    start, stop = window
    n_spikes = np.zeros(n_units, dtype=np.int64)
    variation = np.full(n_units, np.nan)
    interval_variation(times, offsets, start, stop, n_spikes, variation)
    found = {"mean_rate": n_spikes / (stop - start), "coefficient_of_variation": variation}
    for dt in BIN_WIDTHS_S:
        counts = count_spikes(times, offsets, start, stop, dt)
        label = f"dt{round(dt * 1000)}"
        found[f"fano_factor_{label}"] = fano_factor(counts)
        found[f"lempel_ziv_complexity_{label}"] = lempel_ziv_complexity(counts)
    return found


def fano_factor(counts: np.ndarray) -> np.ndarray:
    """Variance of counts by their mean, per row; NaN without spikes or with one bin."""
    if counts.shape[1] < 2:
        return np.full(len(counts), np.nan)
    mean = counts.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean > 0, counts.var(axis=1) / mean, np.nan)


def lempel_ziv_complexity(counts: np.ndarray) -> np.ndarray:
    """Normalized complexity of which bins are above their row's median, per row.

    Parameters
    ----------
    counts : (m, bins) array

    Returns
    -------
    (m,) array
        Components by n / log2(n); NaN with fewer than two bins.

    Examples
    --------
    >>> rows = np.array([[1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 1, 0]])
    >>> lempel_ziv_complexity(rows) * 16 / np.log2(16)
    array([6.])
    """
    from iblnm.layers._kernels import lempel_ziv_rows

    n_units, n = counts.shape
    if n < 2:
        return np.full(n_units, np.nan)
    components = np.zeros(n_units, dtype=np.int64)
    # the upper middle value of a partial sort would not be the median of an even number
    lempel_ziv_rows(np.ascontiguousarray(counts), _medians(counts), components)
    return components * np.log2(n) / n


def _medians(counts: np.ndarray) -> np.ndarray:
    n = counts.shape[1]
    middle = [(n - 1) // 2, n // 2]
    return np.partition(counts, middle, axis=1)[:, middle].mean(axis=1)


def _stream(uuid: str, seed: int) -> int:
    value = uuid_module.UUID(uuid).int
    mixed = (value ^ (value >> 64) ^ (seed * 0x9E3779B97F4A7C15)) & (2**64 - 1)
    return mixed


def _p_values(
    times: np.ndarray,
    offsets: np.ndarray,
    epoch: Epoch,
    seeds: np.ndarray,
    n_permutations: int,
) -> dict[str, np.ndarray]:
    n_units = len(offsets) - 1
    names = [name for name, has_p in _metrics() if has_p]
    result = {name: np.full(n_units, np.nan) for name in names}
    if epoch.pre is None or epoch.post is None:
        return result
    n_blocks = [n_whole_bins(*window, BLOCK_S) for window in (epoch.pre, epoch.post)]
    if min(n_blocks) == 0:
        return result
    from iblnm.layers._kernels import permutation_counts

    spikes = np.empty((n_units, sum(n_blocks)))
    squares = np.empty((n_units, sum(n_blocks), len(BIN_WIDTHS_S)))
    first = 0
    for window, n in zip((epoch.pre, epoch.post), n_blocks, strict=True):
        stop = window[0] + n * BLOCK_S
        part = slice(first, first + n)
        for i, dt in enumerate(BIN_WIDTHS_S):
            counts = count_spikes(times, offsets, window[0], stop, dt)
            blocks = counts.reshape(n_units, n, -1)
            np.einsum("ubk,ubk->ub", blocks, blocks, out=squares[:, part, i], casting="unsafe")
            spikes[:, part] = blocks.sum(axis=2)
        first += n
    per_block = np.array([BLOCK_S / dt for dt in BIN_WIDTHS_S]).round()
    exceeding = np.zeros((n_units, len(names)), dtype=np.int64)
    permutation_counts(spikes, squares, per_block, n_blocks[0], n_permutations, seeds, exceeding)
    for i, name in enumerate(names):
        p = (1 + exceeding[:, i]) / (1 + n_permutations)
        result[name] = np.where(exceeding[:, i] < 0, np.nan, p)
    return result
