import uuid

import pytest

from iblnm.errors import InvalidNameError
from iblnm.storage import validate_eid, validate_name

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
