import uuid

import pytest

from iblnm.errors import InvalidNameError
from iblnm.storage import validate_eid, validate_name
from iblnm.storage.names import validate_relative_path

EID = "96268231-87d4-3791-b39f-6e3059cfa72e"


def test_eid_is_canonical():
    assert validate_eid(EID) == validate_eid(EID.upper()) == validate_eid(uuid.UUID(EID)) == EID
    assert validate_eid("ba01bf35-8a0d-4ca3-a66e-b3a540b21128")  # version 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        "../../etc/passwd",
        EID + "/..",
        EID + "\n",
        EID.replace("-", ""),
        "{" + EID + "}",
        "96268231-87d4-1791-b39f-6e3059cfa72e",  # version 1
        "96268231-87d4-5791-b39f-6e3059cfa72e",  # version 5
        "96268231-87d4-3791-739f-6e3059cfa72e",  # variant
    ],
)
def test_anything_else_is_no_eid(text):
    with pytest.raises(InvalidNameError, match="version 3 or 4"):
        validate_eid(text)


@pytest.mark.parametrize("text", ["VTA", "NBM_1", "a.b-c", "..."])
def test_valid_names(text):
    assert validate_name(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a b", "VTA\n", "région", None, 3])
def test_invalid_names(text):
    with pytest.raises(InvalidNameError):
        validate_name(text)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "alf/../../x",
        "alf//x",
        "alf/.",
        "",
        "C:/x",
        "a\\..\\b",
        "a\nb",
        "a/",
    ],
)
def test_a_path_out_of_its_folder_is_refused(path):
    with pytest.raises(InvalidNameError, match="no path in a session"):
        validate_relative_path(path)


def test_a_path_within_its_folder_is_taken():
    for path in ("a", "alf/#2024-05-31#/a b.npy", "alf/%2e%2e/x", "alf/..x/..."):
        assert validate_relative_path(path) == path
