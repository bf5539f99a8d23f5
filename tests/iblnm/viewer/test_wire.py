"""Blocks of numbers: what is packed comes out again."""

import numpy as np
import pandas as pd
import pytest

from iblnm.viewer.wire import Packer, compress, plain, unpack


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("f8", 0), ("f4", 1e-6), ("i1", 0.5 / 100), ("i2", 1e-4), ("d2", 1e-4)]
)
def test_arrays_come_back_with_their_missing_values(kind, tolerance):
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 2, 7))
    values[1, 0, 3] = values[2, 1, 6] = np.nan
    packer = Packer()
    packer.array(np.arange(5.0), "i1")
    content = {"a": packer.array(values, kind), "text": "π <b>"}
    found = unpack(compress(packer.pack(content)))
    assert found["text"] == "π <b>"
    assert found["a"].shape == values.shape
    np.testing.assert_array_equal(np.isnan(found["a"]), np.isnan(values))
    np.testing.assert_allclose(found["a"], values, atol=tolerance)


def test_values_beyond_the_limits_become_the_limits():
    packer = Packer()
    entry = packer.array([-9.0, 0.25, 9.0], "i1", limits=(-1, 1))
    found = unpack(packer.pack({"a": entry}))["a"]
    np.testing.assert_allclose(found, [-1, 0.25, 1], atol=1 / 254)


def test_a_block_of_the_same_content_has_the_same_bytes():
    packers = [Packer(), Packer()]
    blocks = [compress(p.pack({"a": p.array([1.0, np.nan], "d2")})) for p in packers]
    assert blocks[0] == blocks[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pd.NA, None),
        (pd.NaT, None),
        (np.float32("nan"), None),
        (float("inf"), None),
        (np.int64(3), 3),
        (np.array([1.0, np.nan]), [1.0, None]),
        ({"a": (np.bool_(True), "x")}, {"a": [True, "x"]}),
    ],
)
def test_plain_values_fit_into_json(value, expected):
    assert plain(value) == expected
