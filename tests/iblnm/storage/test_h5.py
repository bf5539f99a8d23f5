import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from iblnm.errors import InvalidNameError, MissingFileError, UnreadableFileError
from iblnm.storage import (
    Provenance,
    list_groups,
    read_group,
    read_groups,
    read_recordings,
    write_groups,
)
from iblnm.storage.h5 import GROUPS, read_provenance


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == sorted(expected)
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
        assert found.attrs == expected.attrs
    else:
        xr.testing.assert_identical(found, expected)
        dtypes = {name: v.dtype for name, v in expected.coords.items() if name != "event"}
        assert {name: found.coords[name].dtype for name in dtypes} == dtypes


@pytest.fixture
def path(tmp_path):
    return tmp_path / "session.h5"


@pytest.mark.parametrize("key", GROUPS)
@pytest.mark.slow
def test_each_group_comes_back_as_it_went_in(path, session, key):
    write_groups(path, {key: session[key]})
    assert list_groups(path) == [key]
    found = read_group(path, key)
    assert_same(found, session[key])


def test_all_groups_together(path, session):
    write_groups(path, session)
    found = read_groups(path)
    assert list(found) == list(GROUPS)
    for key, value in session.items():
        assert_same(found[key], value)
    nested = read_group(path, "photometry")
    assert sorted(nested) == ["preprocessed", "qc", "responses"]
    pd.testing.assert_frame_equal(nested["qc"], session["photometry/qc"])


def test_layout_is_the_documented_one(path, session):
    write_groups(path, session)
    with h5py.File(path) as file:
        assert set(file) == {"metadata", "errors", "photometry", "trials", "wheel"}
        metadata = file["metadata"]
        assert metadata.attrs["subject"] == "é"
        assert metadata.attrs["session_length"] == 3600.25
        assert list(metadata["brain_region"].asstr()) == ["VTA", "NBM"]
        assert set(file["photometry"]) == {"VTA", "NBM_1"}
        region = file["photometry/NBM_1"]
        assert dict(region.attrs) == {"fiber_idx": 1, "hemisphere": "r"}
        assert region["preprocessed/signal"].dtype == np.float64
        assert region["preprocessed"].attrs["fs"] == 30
        responses = region["responses"]
        assert responses["stimOn_times"].shape == (20, 60)
        assert responses["trials"].dtype == np.int64
        assert list(responses.attrs["response_window"]) == [-1, 1]
        assert responses.attrs["fs"] == 30
        assert set(region["qc"]) >= {"band", "brain_region", "ar_score", "bleaching_tau"}
        assert h5py.check_string_dtype(file["trials/stim_side"].dtype).encoding == "utf-8"
        velocity = file["wheel/responses/velocity"]
        assert velocity.dtype == np.float32
        assert velocity.file["wheel/responses"].attrs["fs"] == 100


def test_every_dataset_has_named_dimensions(path, session):
    """What a netCDF reader needs to open a group with named dimensions."""
    write_groups(path, session)
    with h5py.File(path) as file:
        bare = []

        def check(name, member):
            if isinstance(member, h5py.Dataset) and not member.is_scale:
                scales = [[s.name.rpartition("/")[2] for s in dim.values()] for dim in member.dims]
                if not all(len(names) == 1 for names in scales):
                    bare.append(name)

        file.visititems(check)
        assert bare == []
        responses = file["photometry/VTA/responses/stimOn_times"]
        assert [dim[0].name.rpartition("/")[2] for dim in responses.dims] == ["trials", "times"]
        assert responses.dims[1][0][0] == -1.0
        assert file["photometry/VTA/preprocessed/signal"].dims[0][0].name.endswith("/times")


def test_netcdf_reader_opens_groups(path, session):
    pytest.importorskip("h5netcdf", reason="h5netcdf is not installed")
    write_groups(path, session)
    opened = xr.open_dataset(path, group="photometry/VTA/preprocessed", engine="h5netcdf")
    assert opened["signal"].dims == ("times",)


def test_writing_one_group_leaves_the_others(path, session, session_maker):
    write_groups(path, session)
    other = session_maker(1)
    write_groups(path, {"trials": other["trials"]})
    found = read_groups(path)
    assert_same(found["trials"], other["trials"])
    for key in set(GROUPS) - {"trials"}:
        assert_same(found[key], session[key])


def test_replaced_photometry_has_no_stale_regions(path, session, session_maker):
    write_groups(path, session)
    other = session_maker(1, names=("SI",))
    write_groups(path, {"photometry/preprocessed": other["photometry/preprocessed"]})
    found = read_groups(path)
    assert list(found["photometry/preprocessed"]) == ["SI"]
    assert sorted(found["photometry/responses"]) == ["NBM_1", "VTA"]
    keys = ("photometry/qc", "photometry/responses")
    write_groups(path, {key: other[key] for key in keys})
    with h5py.File(path) as file:
        assert list(file["photometry"]) == ["SI"]


def test_null_removes_a_group(path, session):
    write_groups(path, session)
    write_groups(path, {"photometry": None, "wheel": None})
    assert list_groups(path) == ["metadata", "errors", "trials"]
    with h5py.File(path) as file:
        assert "photometry" not in file


def test_one_region_is_read_alone(path, session):
    write_groups(path, session)
    found = read_group(path, "photometry/responses", regions=["NBM_1"])
    assert list(found) == ["NBM_1"]
    xr.testing.assert_identical(found["NBM_1"], session["photometry/responses"]["NBM_1"])
    assert len(read_group(path, "photometry/qc", regions=["VTA"])) == 2


def test_region_attributes(path, session):
    recordings = {"VTA": {"target_NM": "VTA-DA", "hemisphere": "l"}, "absent": {"fiber_idx": 5}}
    write_groups(path, {"photometry/qc": session["photometry/qc"]}, recordings=recordings)
    assert read_recordings(path) == {
        "NBM_1": {"fiber_idx": 1},
        "VTA": {"fiber_idx": 0, "target_NM": "VTA-DA", "hemisphere": "l"},
    }


def test_provenance_per_group(path, session):
    origin = Provenance(parameters={"fs": 30})
    write_groups(path, {"trials": session["trials"]}, origin)
    write_groups(path, {"photometry/qc": session["photometry/qc"]}, {"photometry/qc": origin})
    write_groups(path, {"wheel": session["wheel"]})
    assert read_provenance(path, "trials") == origin
    assert read_provenance(path, "photometry/qc") == origin
    assert read_provenance(path, "wheel") is None
    assert read_group(path, "trials").attrs == session["trials"].attrs


@pytest.mark.slow
def test_repeated_rewriting_does_not_grow_the_file(path, session_maker):
    session = session_maker(n_samples=20_000, n_trials=200)
    write_groups(path, session)
    size = path.stat().st_size
    recordings = {"VTA": {"target_NM": "VTA-DA"}}
    for _ in range(6):
        write_groups(path, session, Provenance(parameters={"a": 1}), recordings=recordings)
        for key, value in session.items():
            write_groups(path, {key: value}, Provenance(parameters={"a": 1}))
    assert path.stat().st_size < 2 * size + 1_000_000
    for key, value in session.items():
        assert_same(read_group(path, key), value)
        assert read_provenance(path, key).parameters == {"a": 1}
    assert read_recordings(path)["VTA"]["target_NM"] == "VTA-DA"


def test_empty_and_odd_values(path):
    frame = pd.DataFrame(
        {
            "flags": pd.array([True, None], dtype="boolean"),
            "plain": [True, False],
            "ints": np.array([1, 2], dtype=np.int64),
            "text": pd.array(["a", None], dtype="string"),
            "nothing": [None, None],
            "category": pd.Categorical(["x", "y"]),
            "nul": ["a\x00b", "lone \ud800"],
        },
        index=[4, 9],
    )
    write_groups(path, {"trials": frame, "errors": pd.DataFrame(columns=["eid", "error_type"])})
    found = read_group(path, "trials")
    assert found.index.tolist() == [4, 9]
    assert found["nul"].tolist() == ["a\\x00b", "lone ?"]
    assert found["category"].tolist() == ["x", "y"]
    plain = ["flags", "plain", "ints", "text", "nothing"]
    pd.testing.assert_frame_equal(found[plain], frame[plain])
    errors = read_group(path, "errors")
    assert errors.empty
    assert list(errors) == ["eid", "error_type"]


@pytest.mark.parametrize("values", [[1, "a"], [{"a": 1}, {}], [True, 2]])
def test_mixed_columns_are_refused_and_the_file_stays(path, session, values):
    write_groups(path, session)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="'x' cannot be stored"):
        write_groups(path, {"trials": pd.DataFrame({"x": values})})
    assert path.read_bytes() == before


def test_attributes_that_cannot_be_stored_are_refused(path, session):
    recording = session["photometry/preprocessed"]["VTA"].assign_attrs(bad={"a": 1})
    with pytest.raises(TypeError, match="'bad'"):
        write_groups(path, {"photometry/preprocessed": {"VTA": recording}})
    assert not path.exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".."])
def test_region_names_are_validated(path, session, name):
    recording = session["photometry/preprocessed"]["VTA"]
    with pytest.raises(InvalidNameError):
        write_groups(path, {"photometry/preprocessed": {name: recording}})
    assert not path.exists()


def test_unknown_groups_and_missing_files(path, session):
    with pytest.raises(KeyError, match="spikes"):
        write_groups(path, {"spikes": session["trials"]})
    with pytest.raises(MissingFileError, match=r"session\.h5"):
        read_group(path, "trials")
    with pytest.raises(ValueError, match="2 were given"):
        write_groups(path, {"metadata": session["errors"]})
    write_groups(path, {"trials": session["trials"]})
    for key in ("wheel", "photometry"):
        with pytest.raises(KeyError, match=f"no group '{key}'"):
            read_group(path, key)
    with pytest.raises(KeyError, match="known: metadata"):
        read_group(path, "spikes")
    with pytest.raises(KeyError):
        read_provenance(path, "wheel")


@pytest.mark.parametrize("damage", ["noise", "empty", "truncated"])
def test_unreadable_file_is_named_and_kept(path, session, damage):
    write_groups(path, session)
    whole = path.read_bytes()
    bad = {"noise": b"\x13" * 5000, "empty": b"", "truncated": whole[: len(whole) // 2]}[damage]
    path.write_bytes(bad)
    with pytest.raises(UnreadableFileError, match=r"session\.h5"):
        read_groups(path)
    with pytest.warns(UserWarning, match=r"session\.h5\.corrupt-1"):
        write_groups(path, {"trials": session["trials"]})
    assert path.with_name("session.h5.corrupt-1").read_bytes() == bad
    assert list_groups(path) == ["trials"]


def test_links_out_of_the_file_are_not_followed(path, tmp_path, session):
    write_groups(tmp_path / "other.h5", session)
    with h5py.File(path, "w") as file:
        file["trials"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/trials")
        file["metadata"] = h5py.SoftLink("/trials")
    for key in ("trials", "metadata"):
        with pytest.raises(UnreadableFileError, match="link"):
            read_group(path, key)


def test_full_disk_keeps_the_old_file(small_disk, session, session_maker):
    path = small_disk / "session.h5"
    write_groups(path, {"trials": session["trials"]})
    before = path.read_bytes()
    large = session_maker(n_samples=100_000)
    with pytest.raises(OSError):
        write_groups(path, {"photometry/preprocessed": large["photometry/preprocessed"]})
    assert path.read_bytes() == before
    assert [p.name for p in small_disk.iterdir() if p.name != ".locks"] == ["session.h5"]


WRITER = """
import sys
import numpy as np
import pandas as pd
from iblnm.storage import write_groups
path, key, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
for generation in range(1, n + 1):
    table = pd.DataFrame({"generation": np.full(20_000, float(generation))})
    write_groups(path, {key: table})
    print(generation, flush=True)
"""


def start_writer(path, key, n):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), key, str(n)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().strip() == "ready"
    return process


@pytest.mark.slow
def test_kills_at_any_moment_leave_a_complete_file(path, session):
    """25 kills at random moments of repeated writes; every time one whole generation is there."""
    write_groups(path, session)
    rng = np.random.default_rng(0)
    generations = []
    for _ in range(25):
        process = start_writer(path, "trials", 1_000_000)
        assert process.stdout.readline().strip() == "1", "a kill before a write proves nothing"
        time.sleep(rng.uniform(0.005, 0.12))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found = read_groups(path)
        assert list(found) == list(GROUPS)
        assert_same(found["wheel"], session["wheel"])
        if "generation" in found["trials"]:
            values = found["trials"]["generation"]
            assert len(values) == 20_000
            assert (values == values[0]).all()
            generations.append(values[0])
    assert len(generations) == 25
    write_groups(path, {"trials": session["trials"]})
    assert not [p for p in Path(path.parent).iterdir() if ".tmp" in p.name]
    assert_same(read_group(path, "trials"), session["trials"])


@pytest.mark.slow
def test_two_processes_at_once_leave_both_groups(path):
    writers = [start_writer(path, key, 15) for key in ("trials", "errors")]
    for writer in writers:
        assert writer.wait(timeout=60) == 0
        writer.stdout.close()
    found = read_groups(path)
    assert list(found) == ["errors", "trials"]
    for table in found.values():
        assert (table["generation"] == 15).all()


@pytest.mark.slow
def test_a_reader_never_sees_half_a_file(path, session):
    write_groups(path, {"trials": session["trials"], "wheel": session["wheel"]})
    writer = start_writer(path, "trials", 25)
    n_reads = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while writer.poll() is None:
            assert_same(read_group(path, "wheel"), session["wheel"])
            n_reads += 1
    writer.stdout.close()
    assert writer.returncode == 0
    assert n_reads > 5


def test_an_update_never_touches_the_file_itself(path, session):
    """A failure in the middle leaves the old bytes, and the same inode until the rename."""
    write_groups(path, session)
    before, inode = path.read_bytes(), path.stat().st_ino
    recording = session["photometry/preprocessed"]["VTA"].assign_attrs(bad={"a": 1})
    with pytest.raises(TypeError):
        write_groups(path, {"trials": None, "photometry/preprocessed": {"VTA": recording}})
    assert path.read_bytes() == before
    assert path.stat().st_ino == inode


def test_damage_inside_a_file_is_found_before_it_is_updated(path, session):
    write_groups(path, session)
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        offset = h5py.h5o.get_info(file["trials"].id).addr
    content[offset : offset + 64] = b"\xff" * 64
    path.write_bytes(bytes(content))
    with pytest.raises((UnreadableFileError, KeyError)):
        read_group(path, "trials")
    with pytest.warns(UserWarning, match="corrupt-1"):
        write_groups(path, {"trials": session["trials"]})
    assert_same(read_group(path, "trials"), session["trials"])
