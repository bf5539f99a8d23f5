"""Compiled loops over spikes; import them inside functions only."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def count_clusters(clusters, n_clusters):
    """Spikes of each cluster; the second value is the largest id, -1 without spikes."""
    counts = np.zeros(n_clusters, np.int64)
    top = -1
    for i in range(clusters.size):
        k = np.int64(clusters[i])
        if k > top:
            top = k
        if 0 <= k < n_clusters:
            counts[k] += 1
    return counts, top


@njit(cache=True)
def scatter(times, clusters, first, last, flags, at, out, out_flags):
    """One piece of a counting sort: stable, so that each cluster's times keep their order.

    `at` is where the next spike of each cluster goes. `flags` may be empty; `out_flags` is False.
    """
    has_flags = flags.size > 0
    for i in range(first, last):
        k = clusters[i]
        to = at[k]
        out[to] = times[i]
        if has_flags and flags[i]:
            out_flags[to] = True
        at[k] = to + 1


@njit(cache=True)
def first_fault(times):
    """Index of the first time that is not finite, negative or before its predecessor; and which.

    Returns (-1, 0) if there is none; kinds are 1 not finite, 2 negative, 3 not sorted.
    """
    previous = 0.0
    for i in range(times.size):
        value = times[i]
        if not np.isfinite(value):
            return i, 1
        if value < 0.0:
            return i, 2
        if value < previous:
            return i, 3
        previous = value
    return -1, 0


@njit(cache=True)
def mark_duplicates(samples, clusters, amplitudes, channels, counts, distance, first, last, flags):
    """Mark the duplicates among spikes in order of their samples.

    Each pair is judged by itself, whatever became of its spikes in other pairs.
    """
    n = samples.size
    for i in range(first, min(last, n - 1)):
        a = clusters[i]
        j = i + 1
        while j < n and samples[j] - samples[i] <= distance:
            b = clusters[j]
            if channels[a] == channels[b] and channels[a] >= 0:
                if a == b:
                    if amplitudes[j] > amplitudes[i]:
                        flags[i] = True
                    else:
                        flags[j] = True
                elif counts[b] > counts[a]:
                    flags[i] = True
                else:
                    flags[j] = True
            j += 1


@njit(cache=True)
def _first_at_least(times, low, high, value):
    while low < high:
        middle = (low + high) // 2
        if times[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def window_bounds(times, start, stop):
    """Indices of the first time not before `start` and of the first not before `stop`."""
    first = _first_at_least(times, 0, times.size, start)
    return first, _first_at_least(times, first, times.size, stop)


@njit(cache=True)
def count_windows(times, offsets, start, stop, dt, counts):
    """Spikes per bin of units whose sorted times lie between their offsets."""
    n_bins = counts.shape[1]
    scale = 1.0 / dt
    for r in range(counts.shape[0]):
        first = _first_at_least(times, offsets[r], offsets[r + 1], start)
        for i in range(first, offsets[r + 1]):
            if times[i] >= stop:
                break
            b = np.int64((times[i] - start) * scale + 1e-9)
            if b < n_bins:
                counts[r, b] += 1


@njit(cache=True)
def lempel_ziv(sequence, after, link, length):
    """Number of components of the exhaustive history of a binary sequence.

    Lempel & Ziv (1976, IEEE Trans. Inf. Theory 22, 75): a component ends where it has not
    occurred before. Whether it has is looked up in the automaton of all factors of what came
    before (Blumer et al. 1985, Theor. Comput. Sci. 40, 31), so the time is linear. The arrays
    are work space: (2 n + 2, 2), (2 n + 2,) and (2 n + 2,) integers.
    """
    n = sequence.size
    n_states, last, components = 1, 0, 0
    length[0], link[0], after[0, 0], after[0, 1] = 0, -1, -1, -1
    state, matched, is_open = 0, 0, False
    for i in range(n):
        c = 1 if sequence[i] else 0
        is_open = after[state, c] >= 0
        if is_open:
            matched += 1
            state = after[state, c]
        else:
            components += 1
            state, matched = 0, 0
        new = n_states
        n_states += 1
        length[new], after[new, 0], after[new, 1] = length[last] + 1, -1, -1
        p = last
        while p != -1 and after[p, c] < 0:
            after[p, c] = new
            p = link[p]
        if p == -1:
            link[new] = 0
        else:
            q = after[p, c]
            if length[p] + 1 == length[q]:
                link[new] = q
            else:
                clone = n_states
                n_states += 1
                length[clone], link[clone] = length[p] + 1, link[q]
                after[clone, 0], after[clone, 1] = after[q, 0], after[q, 1]
                while p != -1 and after[p, c] == q:
                    after[p, c] = clone
                    p = link[p]
                link[q] = clone
                link[new] = clone
        last = new
        # splitting a state moves its shorter factors to the one it links to
        while state != 0 and matched <= length[link[state]]:
            state = link[state]
    return components + (1 if is_open else 0)


@njit(cache=True)
def lempel_ziv_rows(counts, medians, out):
    """Components of each row of counts, as the sequence of which bins are above the median."""
    n = counts.shape[1]
    after = np.empty((2 * n + 2, 2), np.int32)
    link = np.empty(2 * n + 2, np.int32)
    length = np.empty(2 * n + 2, np.int32)
    sequence = np.empty(n, np.bool_)
    for r in range(counts.shape[0]):
        for i in range(n):
            sequence[i] = counts[r, i] > medians[r]
        out[r] = lempel_ziv(sequence, after, link, length)


@njit(cache=True)
def _next(state):
    """Splitmix64 (Steele, Lea & Flood 2014, OOPSLA): the next state and its value."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, z ^ (z >> np.uint64(31))


@njit(cache=True)
def _modulation(pre, post):
    total = pre + post
    return abs(post - pre) / total if total > 0.0 else np.nan


@njit(cache=True)
def _fano(spikes, squares, n_bins):
    if spikes <= 0.0:
        return np.nan
    mean = spikes / n_bins
    return (squares / n_bins - mean * mean) / mean


@njit(cache=True)
def _absolute_indices(spikes, squares, totals, total_squares, n_pre, n_blocks, per_block, out):
    """Absolute modulation index of the rate and of each Fano factor, from sums over `pre`."""
    n_post = n_blocks - n_pre
    out[0] = _modulation(spikes / n_pre, (totals - spikes) / n_post)
    for m in range(per_block.size):
        before = _fano(spikes, squares[m], n_pre * per_block[m])
        after = _fano(totals - spikes, total_squares[m] - squares[m], n_post * per_block[m])
        out[1 + m] = _modulation(before, after)


@njit(cache=True)
def permutation_counts(spikes, squares, per_block, n_pre, n_permutations, seeds, exceeding):
    """How many permutations of blocks have indices as large as observed.

    Parameters
    ----------
    spikes : (units, blocks) spikes of each block, those before first
    squares : (units, blocks, scales) sums over a block of the squared counts of its bins
    per_block : (scales,) bins of a block
    n_pre : blocks before
    seeds : (units,) uint64
    exceeding : (units, 1 + scales) filled; -1 where the observed index is not defined
    """
    n_units, n_blocks, n_scales = squares.shape
    order = np.empty(n_blocks, np.int64)
    sums = np.empty(n_scales)
    totals = np.empty(n_scales)
    observed = np.empty(1 + n_scales)
    found = np.empty(1 + n_scales)
    for u in range(n_units):
        state = seeds[u]
        total = 0.0
        totals[:] = 0.0
        spikes_pre = 0.0
        sums[:] = 0.0
        for b in range(n_blocks):
            order[b] = b
            total += spikes[u, b]
            if b < n_pre:
                spikes_pre += spikes[u, b]
            for m in range(n_scales):
                totals[m] += squares[u, b, m]
                if b < n_pre:
                    sums[m] += squares[u, b, m]
        _absolute_indices(spikes_pre, sums, total, totals, n_pre, n_blocks, per_block, observed)
        for m in range(1 + n_scales):
            exceeding[u, m] = 0 if np.isfinite(observed[m]) else -1
        for _ in range(n_permutations):
            spikes_pre = 0.0
            sums[:] = 0.0
            for b in range(n_pre):
                state, value = _next(state)
                # the high bits scaled: the bias is below 2**-25 for so few blocks
                j = b + np.int64(
                    ((value >> np.uint64(32)) * np.uint64(n_blocks - b)) >> np.uint64(32)
                )
                k = order[j]
                order[j] = order[b]
                order[b] = k
                spikes_pre += spikes[u, k]
                for m in range(n_scales):
                    sums[m] += squares[u, k, m]
            _absolute_indices(spikes_pre, sums, total, totals, n_pre, n_blocks, per_block, found)
            for m in range(1 + n_scales):
                # an undefined index of a permutation counts as large, which is the safe side
                if exceeding[u, m] >= 0 and not found[m] < observed[m] - 1e-12:
                    exceeding[u, m] += 1


@njit(cache=True)
def interval_variation(times, offsets, start, stop, n_spikes, variation):
    """Spikes of each unit in a window, and the coefficient of variation of their intervals."""
    for r in range(offsets.size - 1):
        first = _first_at_least(times, offsets[r], offsets[r + 1], start)
        last = _first_at_least(times, first, offsets[r + 1], stop)
        n_spikes[r] = last - first
        n = last - first - 1
        if n < 2:
            continue
        mean = (times[last - 1] - times[first]) / n
        if mean <= 0.0:
            continue
        total = 0.0
        for i in range(first + 1, last):
            d = times[i] - times[i - 1] - mean
            total += d * d
        variation[r] = np.sqrt(total / n) / mean
