"""Text files that people write: encodings, separators, line ends, spaces."""

import codecs

import numpy as np
import pytest

from iblnm.config import Settings, get_settings
from iblnm.errors import (
    InvalidNameError,
    MalformedFileError,
    MissingFileError,
    SettingsError,
    UnreadableFileError,
)
from iblnm.io.fibers import read_fibers
from iblnm.io.text import read_delimited, read_eid_lines, read_eid_list, read_text
from iblnm.pipeline.label_rows import add_row, read_rows

EID, OTHER = "96268231-87d4-4791-b39f-6e3059cfa72e", "00000000-0000-4000-8000-000000000001"
LABELS = "eid,fiber_idx,verdict,who,when,why,t0,t1"
ENCODINGS = {
    "utf-8": lambda text: text.encode(),
    "with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16 of a Mac": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "utf-16 without mark": lambda text: text.encode("utf-16-le"),
    "cp1252": lambda text: text.encode("cp1252"),
}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_labels_of_any_spreadsheet_are_read(tmp_path, encoding, line_end, separator):
    lines = (LABELS, f" {EID} ,,drop, João ,2024-05-31,artefact – big,,", "", ",,,,,,,,,")
    text = line_end.join(lines).replace(",", separator) + line_end
    path = tmp_path / "labels.csv"
    path.write_bytes(ENCODINGS[encoding](text))
    (row,) = read_rows(path)
    assert row["eid"] == EID
    assert row["who"] == "João"
    assert row["why"] == "artefact – big"


def test_decimal_commas_are_numbers_where_the_comma_separates_nothing(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(f"sep=;\n{LABELS.replace(',', ';')}\n{EID};;mask;me;2024-05-31;x;10,5;12,25\n")
    assert [(row["t0"], row["t1"]) for row in read_rows(path)] == [(10.5, 12.25)]
    add_row(path, {**read_rows(path)[0], "eid": OTHER})
    assert [(row["eid"], row["t0"]) for row in read_rows(path)] == [(EID, 10.5), (OTHER, 10.5)]


def test_fibers_of_a_spreadsheet(tmp_path):
    path = tmp_path / "fibers.csv"
    header = "subject;targeted_region;neuromodulator;X-ml_um;Y-ap_um;Z-dv_um;depth;theta;phi;notes"
    path.write_bytes(
        f'{header};;\r\n João ; VTA;DA;-500,5;-3100;NA;4200;0;0;"a; b";;\r\n'.encode("cp1252")
    )
    (fiber,) = read_fibers(path).to_dict("records")
    assert fiber["subject"] == "João"
    assert fiber["X-ml_um"] == -500.5
    assert np.isnan(fiber["Z-dv_um"])
    assert fiber["notes"] == "a; b"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("m,VTA,DA,left,0,0,0,0,0", "line 3: column X-ml_um is 'left'; a number is expected"),
        ("m,VTA,DA,1,0,0,0,0,0,deep, very", "line 3: 10 fields, 9 are expected|line 3: 11 fields"),
        ('m,"VTA,DA,1,0,0,0,0,0', "line 3: .*quotation mark"),
    ],
)
def test_a_faulty_line_of_fibers_is_named(tmp_path, line, words):
    path = tmp_path / "fibers.csv"
    header = "subject,targeted_region,neuromodulator,X-ml_um,Y-ap_um,Z-dv_um,depth,theta,phi"
    path.write_text(f"{header}\nm,VTA,DA,1,0,0,0,0,0\n{line}\n")
    with pytest.raises(MalformedFileError, match=rf"fibers\.csv: ({words})"):
        read_fibers(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04rest", "line 1: the file is a workbook of a spreadsheet; save it as CSV"),
        (b"eid\n\x81\x8d\n", "line 2: no text"),
        (b"eid\na\0b\n", "line 2: no text"),
    ],
)
def test_what_is_no_text_is_refused_with_the_line_and_what_to_do(tmp_path, content, words):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=words):
        read_text(path)
    with pytest.raises(UnreadableFileError):
        read_rows(path)


def test_the_separator_is_that_of_the_header(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("# a, b, c\nx;y\n1,2;3\n")
    table = read_delimited(path, ("x", "y"))
    assert table.separator == ";"
    assert [line.fields for line in table.lines[1:]] == [["x", "y"], ["1,2", "3"]]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_eids_of_a_file(tmp_path, encoding):
    path = tmp_path / "eids.txt"
    text = f"eid;subject\r\n# João\r\n{EID.upper()}  # good\r\n\r\n'{EID}';João\r\n{OTHER},\r\n"
    path.write_bytes(ENCODINGS[encoding](text))
    assert read_eid_list(path) == [EID, OTHER]
    assert read_eid_lines(path) == {EID: 3, OTHER: 6}


def test_a_line_that_is_no_eid_is_named(tmp_path):
    path = tmp_path / "eids.txt"
    path.write_text(f"{EID}\nyesterday\n")
    with pytest.raises(InvalidNameError, match=r"eids\.txt: line 2: 'yesterday'"):
        read_eid_list(path)
    with pytest.raises(MissingFileError):
        read_eid_list(tmp_path / "none.txt")


@pytest.fixture
def env_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ())
    monkeypatch.delenv("IBLNM_PROJECT", raising=False)
    get_settings.cache_clear()
    yield tmp_path / ".env"
    get_settings.cache_clear()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_settings_of_a_file_in_any_encoding(env_file, encoding):
    text = "IBLNM_PROJECT = 'João'\r\nexport IBLNM_THRESHOLDS__MIN_TRIALS=50\r\n"
    env_file.write_bytes(ENCODINGS[encoding](text))
    settings = get_settings()
    assert (settings.project, settings.thresholds.min_trials) == ("João", 50)
    assert Settings(_env_file=None).project == "ibl_fibrephotometry"


def test_a_line_of_the_settings_file_that_says_nothing_is_refused_without_its_value(env_file):
    env_file.write_text("FOO bar\nIBLNM_PROJECT=a\nIBLNM_ALYX_PASSWORD secret\n")
    with pytest.raises(SettingsError, match=r"\.env, line 3: .*IBLNM_ALYX_PASSWORD") as raised:
        get_settings()
    assert "secret" not in str(raised.value)
