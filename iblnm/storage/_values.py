"""Values in HDF5: text, nulls and attributes that come back as they went in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import h5py

NULL_MASK = "null_mask"
PANDAS_DTYPE = "pandas_dtype"
NULL_ATTRS = "_null"
PROVENANCE = "provenance"
_RESERVED = {
    "CLASS",
    "NAME",
    "DIMENSION_LIST",
    "REFERENCE_LIST",
    "_Netcdf4Dimid",
    "_NCProperties",
    NULL_ATTRS,
    PROVENANCE,
    "_columns",
    "_events",
}


def is_null(value: Any) -> bool:
    """Whether a scalar stands for a missing value."""
    return value is None or value is pd.NA or value is pd.NaT


def write_values(
    group: h5py.Group, name: str, values: Any, *, has_fixed_text: bool = False
) -> h5py.Dataset:
    """Store one column or list as a dataset.

    Parameters
    ----------
    group : h5py.Group
    name : str
    values : Series, array or list
        Numbers, booleans or text; missing values are remembered in a packed mask.
    has_fixed_text : bool
        Whether text is stored at a fixed length, as numpy's kind ``S``, which readers without
        our code decode.

    Returns
    -------
    h5py.Dataset

    Raises
    ------
    TypeError
        If the values mix types or are of a type that has no place in the layout.
    """
    import h5py

    array, nulls = _encode(name, values)
    if array.dtype == object:
        dtype = h5py.string_dtype()
        if has_fixed_text:
            encoded = [text.encode("utf-8") for text in array]
            dtype = h5py.string_dtype("utf-8", max(map(len, [b" ", *encoded])))
            array = np.array(encoded, dtype=dtype)
        dataset = group.create_dataset(name, data=array, dtype=dtype)
    elif array.dtype == bool:
        # stored as CF readers expect booleans: one byte with a mark
        dataset = group.create_dataset(name, data=array.astype(np.int8))
        dataset.attrs["dtype"] = "bool"
    else:
        dataset = group.create_dataset(name, data=array)
    if nulls is not None and nulls.any():
        dataset.attrs[NULL_MASK] = np.packbits(nulls)
    dtype = getattr(values, "dtype", None)
    if pd.api.types.is_extension_array_dtype(dtype) and not isinstance(dtype, pd.CategoricalDtype):
        dataset.attrs[PANDAS_DTYPE] = str(dtype)
    return dataset


def read_values(dataset: h5py.Dataset) -> np.ndarray:
    """Read what `write_values` stored; an object array where values are missing or text."""
    import h5py

    dtype = dataset.dtype
    if dtype.kind in "biuf":
        array = np.empty(dataset.shape, dtype)
        dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
        if _attribute(dataset, "dtype") == "bool":
            array = array.astype(bool)
    elif dtype.kind == "S":
        array = np.char.decode(dataset[()], "utf-8", "replace").astype(object)
    elif h5py.check_string_dtype(dtype) is not None:
        array = dataset.asstr()[()].astype(object)
    else:
        array = dataset[()]
    packed = _attribute(dataset, NULL_MASK)
    if packed is not None:
        array = array.astype(object)
        array[np.unpackbits(packed, count=len(array)).astype(bool)] = None
    return array


def read_list(dataset: h5py.Dataset) -> list[Any]:
    """Read a dataset as a list of Python values."""
    return read_values(dataset).tolist()


def read_column(dataset: h5py.Dataset) -> Any:
    """Read a dataset as a column with the pandas type it had."""
    array = read_values(dataset)
    dtype = _attribute(dataset, PANDAS_DTYPE)
    return array if dtype is None else pd.array(array, dtype=dtype)


def write_attrs(target: h5py.Group | h5py.Dataset, attrs: Mapping[str, Any]) -> None:
    """Store attributes: numbers, booleans, text, null, or lists of one of these.

    Raises
    ------
    TypeError
        For a value of another type.
    """
    import h5py

    nulls = []
    for name, value in attrs.items():
        if is_null(value):
            nulls.append(name)
        elif isinstance(value, list | tuple | np.ndarray):
            array = np.asarray(value)
            if array.dtype.kind in "US":
                target.attrs.create(
                    name, [clean_text(v) for v in value], dtype=h5py.string_dtype()
                )
            elif array.dtype.kind in "biuf":
                target.attrs[name] = array
            else:
                raise TypeError(f"attribute {name!r} cannot be stored: {value!r}")
        elif isinstance(value, str):
            target.attrs[name] = clean_text(value)
        elif isinstance(value, bool | int | float | np.generic):
            target.attrs[name] = value
        else:
            raise TypeError(f"attribute {name!r} cannot be stored: {value!r}")
    if nulls:
        target.attrs[NULL_ATTRS] = json.dumps(nulls)


def read_attrs(target: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Read attributes as Python values; arrays come back as lists."""
    found = {name: _plain(value) for name, value in target.attrs.items() if name not in _RESERVED}
    for name in json.loads(target.attrs.get(NULL_ATTRS, "[]")):
        found[name] = None
    return found


def clean_text(text: str) -> str:
    """Text that HDF5 can hold: without NUL characters and lone surrogates."""
    return text.replace("\x00", "\\x00").encode("utf-8", "replace").decode("utf-8")


def _attribute(dataset: h5py.Dataset, name: str) -> Any | None:
    import h5py

    is_there = h5py.h5a.exists(dataset.id, name.encode("utf-8"))
    return dataset.attrs[name] if is_there else None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _encode(name: str, values: Any) -> tuple[np.ndarray, np.ndarray | None]:
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return np.asarray(values), None
    items = list(values) if isinstance(values, Iterable) else [values]
    nulls = np.array([is_null(v) or (isinstance(v, float) and v != v) for v in items], bool)
    present = [v for v, missing in zip(items, nulls, strict=True) if not missing]
    has_floats = any(isinstance(v, float) for v in items)
    if all(isinstance(v, str) for v in present) and (present or not has_floats):
        array = np.array([None] * len(items), dtype=object)
        array[:] = ["" if m else clean_text(v) for v, m in zip(items, nulls, strict=True)]
        return array, nulls
    if present and all(isinstance(v, bool | np.bool_) for v in present):
        return np.array([False if m else v for v, m in zip(items, nulls, strict=True)]), nulls
    is_bool = any(isinstance(v, bool | np.bool_) for v in present)
    if present and all(isinstance(v, int | np.integer) for v in present) and not is_bool:
        ints = [0 if m else v for v, m in zip(items, nulls, strict=True)]
        return np.array(ints, dtype=np.int64), nulls
    if all(isinstance(v, int | float | np.number) for v in present) and not is_bool:
        floats = [np.nan if m else v for v, m in zip(items, nulls, strict=True)]
        # NaN is a number here; only None and NA are remembered as nulls
        return np.array(floats, dtype=np.float64), np.array([is_null(v) for v in items], bool)
    kinds = sorted({type(v).__name__ for v in present})
    raise TypeError(f"{name!r} cannot be stored: values of type {', '.join(kinds)}")
