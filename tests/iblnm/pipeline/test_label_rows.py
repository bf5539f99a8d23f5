"""Lines of the table of labels: added and removed without touching the others."""

import csv

import pytest
from bench.hostile import NAMES

from iblnm.errors import MalformedFileError
from iblnm.pipeline.label_rows import add_row, read_rows, remove_row

EID = "cd9d071e-c798-4900-891f-b65640ec22b1"
OTHER = "16aa7570-578f-4daa-8244-844716fb1320"
OLD = f"""# verdicts of the project
eid,fiber_idx,verdict,who,when,why

{OTHER},1,drop,project,2026-11-21,"huge artifact, twice"
# the end
"""
MASK = {
    "eid": EID,
    "fiber_idx": 0,
    "verdict": "mask",
    "who": "me",
    "when": "2026-11-21",
    "why": "cable",
    "t0": 12.5,
    "t1": 13,
}


def test_a_mask_in_a_file_without_windows_adds_the_columns_and_keeps_the_rest(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(OLD)
    add_row(path, MASK)
    lines = path.read_text().splitlines()
    assert lines[0] == "# verdicts of the project"
    assert lines[1] == "eid,fiber_idx,verdict,who,when,why,t0,t1"
    assert lines[4] == "# the end"
    assert lines[5] == f"{EID},0,mask,me,2026-11-21,cable,12.5,13.0"
    first, second = read_rows(path)
    assert first["why"] == "huge artifact, twice"
    assert (second["t0"], second["t1"]) == (12.5, 13.0)
    assert remove_row(path, MASK)
    assert [row["eid"] for row in read_rows(path)] == [OTHER]
    assert not remove_row(path, MASK)


def test_several_masks_of_a_fiber_and_one_verdict(tmp_path):
    path = tmp_path / "metadata" / "labels.csv"
    add_row(path, MASK)
    add_row(path, {**MASK, "t0": 20, "t1": 21})
    drop = {**MASK, "verdict": "drop", "t0": None, "t1": None}
    add_row(path, drop)
    add_row(path, {**drop, "verdict": "keep"})
    assert [row["verdict"] for row in read_rows(path)] == ["mask", "mask", "keep"]


def test_a_malformed_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("eid,verdict\n")
    with pytest.raises(MalformedFileError, match="line 1"):
        add_row(path, MASK)
    assert path.read_text() == "eid,verdict\n"
    assert not list(tmp_path.glob(".labels*"))


@pytest.mark.parametrize(
    "why",
    [
        *('=HYPERLINK("http://evil.example")', "+1", "-a", "@SUM(1)", "'quoted", "plain = 1"),
        *("x,=1+1", '",=1+1', *(name for name in NAMES.values() if name.isprintable())),
    ],
)
def test_a_text_that_a_spreadsheet_would_compute_is_kept_as_text(tmp_path, why):
    path = tmp_path / "labels.csv"
    row = {"eid": EID, "verdict": "drop", "who": "=me", "when": "2024-05-31", "why": why}
    add_row(path, row)
    stored = path.read_text().splitlines()[1]
    fields = next(csv.reader([stored]))
    assert not any(field.startswith(("=", "+", "-", "@")) for field in fields)
    (read,) = read_rows(path)
    assert (read["who"], read["why"]) == ("=me", why)


@pytest.mark.parametrize("name", ["\t=1+1", "a\r=1+1", "a\n=1+1", "a\u2028=1", "\x00"])
def test_a_text_of_several_lines_is_refused_or_one_line(tmp_path, name):
    path = tmp_path / "labels.csv"
    row = {"eid": EID, "verdict": "drop", "who": "me", "when": "2024-05-31", "why": name}
    try:
        add_row(path, row)
    except MalformedFileError:
        assert not path.exists()
    else:
        assert path.read_text().splitlines()[1].endswith("'=1+1,,")
