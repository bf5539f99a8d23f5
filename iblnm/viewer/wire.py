"""How numbers reach the page: one block is a JSON text with the arrays behind it.

A block is ``uint32 n | n bytes of JSON | padding to 8 bytes | arrays``. In the JSON an array is
``{"$": [kind, offset, shape, low, step]}``. Kinds: ``f4`` and ``f8`` as they are; ``i1`` and
``i2`` are integers k for ``low + step * k``, of which the lowest stands for NaN; ``d2`` are
16,383 levels, many for each pixel of a plot, as differences along the last axis, low bytes
after high bytes, which compresses to about two thirds. The page's script `wire.js` reads the
same.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from typing import Any

import numpy as np

_LEVELS = {"i1": (127, np.int8), "i2": (32_767, np.int16), "d2": (8_191, np.int16)}
# for numbers with noise, sooner and smaller than the usual way
_LEVEL, _STRATEGY, _GZIP = 4, zlib.Z_FILTERED, 31


class Packer:
    """Collects the arrays of one block while its JSON is put together."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def array(
        self, values: Any, kind: str = "f4", *, limits: tuple[float, float] | None = None
    ) -> dict[str, list]:
        """Take in an array.

        Parameters
        ----------
        values : array of float
        kind : {'f4', 'f8', 'i1', 'i2', 'd2'}
        limits : tuple of float, optional
            Smallest and largest value that integers stand for, what is beyond becomes the
            limit; those of the values by default.

        Returns
        -------
        dict
            What stands for the array in the JSON.
        """
        values = np.asarray(values, dtype=float)
        low, step = 0.0, 1.0
        if kind in _LEVELS:
            data, low, step = _quantized(values, kind, limits)
        else:
            data = values.astype(f"<{kind}").tobytes()
        offset = self._size
        self._parts += [data, b"\0" * (-len(data) % 8)]
        self._size += len(data) + -len(data) % 8
        return {"$": [kind, offset, list(values.shape), low, step]}

    def pack(self, content: Any) -> bytes:
        """The block, not compressed."""
        text = json.dumps(plain(content), ensure_ascii=False, separators=(",", ":"))
        head = text.encode()
        padding = b" " * (-(len(head) + 4) % 8)
        length = (len(head) + len(padding)).to_bytes(4, "little")
        return b"".join([length, head, padding, *self._parts])


def compress(block: bytes) -> bytes:
    """A block as it is stored and sent; the same content gives the same bytes."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP, zlib.DEF_MEM_LEVEL, _STRATEGY)
    return packer.compress(block) + packer.flush()


def unpack(block: bytes) -> Any:
    """Read a block, compressed or not, as the page does."""
    if block[:2] == b"\x1f\x8b":
        block = gzip.decompress(block)
    length = int.from_bytes(block[:4], "little")
    arrays = memoryview(block)[4 + length :]

    def restore(node: dict) -> Any:
        # a name in the data may be that sign as well
        is_array = isinstance(node.get("$"), list)
        return _read_array(arrays, *node["$"]) if is_array else node

    return json.loads(block[4 : 4 + length], object_hook=restore)


def plain(value: Any) -> Any:
    """A value as JSON can hold it; what is not a finite number is null."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return [plain(entry) for entry in value.tolist()]
    if isinstance(value, np.generic):
        return plain(value.item())
    is_null = value != value
    return None if is_null is not False else str(value)


def _quantized(
    values: np.ndarray, kind: str, limits: tuple[float, float] | None
) -> tuple[bytes, float, float]:
    top, dtype = _LEVELS[kind]
    valid = np.isfinite(values)
    if limits is None:
        found = values[valid]
        limits = (float(found.min()), float(found.max())) if found.size else (0.0, 0.0)
    low = (limits[0] + limits[1]) / 2
    step = (limits[1] - limits[0]) / (2 * top) or 1.0
    levels = np.full(values.shape, -top - 1, dtype=np.int64)
    levels[valid] = np.clip(np.rint((values[valid] - low) / step), -top, top)
    levels = levels.astype(dtype)
    if kind != "d2":
        return levels.astype(f"<{kind}").tobytes(), low, step
    steps = np.diff(levels.view(np.uint16), axis=-1, prepend=np.uint16(0))
    return steps.astype("<u2").ravel().view(np.uint8).reshape(-1, 2).T.tobytes(), low, step


def _read_array(
    arrays: memoryview, kind: str, offset: int, shape: list[int], low: float, step: float
) -> np.ndarray:
    count = math.prod(shape)
    if kind == "d2":
        pairs = np.frombuffer(arrays, np.uint8, 2 * count, offset).reshape(2, count)
        steps = np.ascontiguousarray(pairs.T).view("<u2").reshape(shape)
        levels = np.add.accumulate(steps, axis=-1, dtype=np.uint16).view(np.int16)
    else:
        levels = np.frombuffer(arrays, f"<{kind}", count, offset).reshape(shape)
    if kind not in _LEVELS:
        return levels.astype(float)
    top, _ = _LEVELS[kind]
    return np.where(levels == -top - 1, np.nan, low + step * levels.astype(float))
