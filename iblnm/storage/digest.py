"""Short digests of values: equal where what is stored is equal bit by bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

_BYTES = 8


def text_digest(content: Any) -> str:
    """Digest of what JSON can hold, whatever the order of its keys.

    Examples
    --------
    >>> text_digest({"a": 1, "b": (2, 3)}) == text_digest({"b": [2, 3], "a": 1})
    True
    """
    return _hexadecimal(canonical_text(content).encode())


def canonical_text(content: Any) -> str:
    """JSON text with sorted keys; models, arrays and times as what they hold."""
    return json.dumps(content, sort_keys=True, default=_plain)


def value_digest(value: Any) -> str:
    """Digest of what a stage made.

    Parameters
    ----------
    value : DataFrame, DataArray, Dataset, str or mapping of these
        Attributes count, except those that are none of JSON.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    found = hashlib.blake2b(digest_size=_BYTES)
    _feed(found, value)
    return found.hexdigest()


def _feed(found: hashlib.blake2b, value: Any) -> None:
    if isinstance(value, Mapping) and not hasattr(value, "data_vars"):
        for name in sorted(value, key=str):
            found.update(str(name).encode())
            _feed(found, value[name])
    elif isinstance(value, pd.DataFrame):
        _feed_attributes(found, value.attrs)
        for name in value.columns:
            _feed_array(found, str(name), value[name].to_numpy())
    elif hasattr(value, "data_vars"):
        _feed_attributes(found, value.attrs)
        for name in sorted(value.variables, key=str):
            _feed_array(found, str(name), value[name].values)
    elif hasattr(value, "coords"):
        _feed_attributes(found, value.attrs)
        _feed_array(found, str(value.dims), value.values)
        for name in sorted(value.coords, key=str):
            _feed_array(found, str(name), value.coords[name].values)
    else:
        found.update(canonical_text(value).encode())


def _feed_attributes(found: hashlib.blake2b, attributes: Mapping[Any, Any]) -> None:
    found.update(canonical_text({str(name): attributes[name] for name in attributes}).encode())


def _feed_array(found: hashlib.blake2b, name: str, values: np.ndarray) -> None:
    found.update(f"{name} {values.dtype} {values.shape}".encode())
    if values.dtype.kind in "OUS":
        found.update(canonical_text(values.tolist()).encode())
    else:
        found.update(np.ascontiguousarray(values).view(np.uint8).tobytes())


def _hexadecimal(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_BYTES).hexdigest()


def _plain(value: Any) -> Any:
    for method in ("model_dump", "tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    return str(value)
