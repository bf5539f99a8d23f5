"""Text files that people write by hand: the one reader of their encodings and separators."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from iblnm.errors import (
    InvalidNameError,
    MalformedFileError,
    MissingFileError,
    UnreadableFileError,
)
from iblnm.storage.names import validate_eid

SEPARATORS = (",", ";", "\t")
_REMEDY = "save it as CSV or plain text in UTF-8"
# the longer mark first: that of UTF-16 is the beginning of that of UTF-32
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BINARY = {
    b"PK\x03\x04": "a workbook of a spreadsheet",
    b"\xd0\xcf\x11\xe0": "a workbook of a spreadsheet",
    b"\x1f\x8b": "a compressed file",
    b"PAR1": "a parquet table",
}
# Excel writes and reads a first line that names its separator
_SEPARATOR_LINE = "sep="


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Parameters
    ----------
    number : int
        In the file, from 1; of a record over several lines the last.
    fields : list of str
        Without spaces around them.
    """

    number: int
    fields: list[str]


@dataclass(frozen=True)
class TextTable:
    """Lines of a table as they were found.

    Parameters
    ----------
    lines : list of Line
        All of them: header, comments and empty lines too.
    separator : str
        Comma, semicolon or tab.
    """

    lines: list[Line]
    separator: str

    @property
    def has_decimal_commas(self) -> bool:
        """Whether 0,5 can be a number: where the comma separates nothing."""
        return self.separator != ","


FORMULA_SIGNS = ("=", "+", "-", "@", "'")
"""What a text begins with that a spreadsheet takes for a formula, or for a quoted one."""


def read_text(path: Path | str) -> str:
    """Text of a file in UTF-8 or UTF-16, with or without byte-order mark, else in cp1252.

    Returns
    -------
    str
        Without mark; lines end with a line feed, whatever they ended with.

    Raises
    ------
    MissingFileError
        If there is no such file.
    UnreadableFileError
        If it cannot be opened or is no text, with the line and what to do.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError("no such file", path=path) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableFileError(f"the file cannot be read: {reason}", path=path) from error
    text = _decoded(content, path).replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), start=1):
        if "\0" in line:
            raise UnreadableFileError(f"line {number}: no text; {_REMEDY}", path=path)
    return text


def read_delimited(path: Path | str, columns: Iterable[str]) -> TextTable:
    """Lines of a table that is separated by commas, semicolons or tabs.

    Parameters
    ----------
    path : Path
    columns : iterable of str
        Names that may be in the header: the separator is that which finds most of them.

    Returns
    -------
    TextTable
        Quoted texts may hold separators and line ends. Fields after the last that has a text
        in any line, which spreadsheets add, are left out.

    Raises
    ------
    MissingFileError, UnreadableFileError, MalformedFileError
        See `read_text`; a line that is no record of a table.
    """
    path = Path(path)
    text = read_text(path)
    separator = _separator(text, set(columns))
    lines = []
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    try:
        for fields in reader:
            lines.append(Line(reader.line_num, [field.strip() for field in fields]))
    except csv.Error as error:
        raise MalformedFileError(
            f"line {reader.line_num}: {error}; is every quotation mark closed?", path=path
        ) from error
    if lines and lines[0].fields and lines[0].fields[0].lower().startswith(_SEPARATOR_LINE):
        lines = lines[1:]
    width = max((_width(line.fields) for line in lines), default=0)
    return TextTable([Line(line.number, line.fields[:width]) for line in lines], separator)


def read_eid_list(path: Path | str) -> list[str]:
    """Sessions of a text file, one eid a line, each once; ``#`` begins a comment.

    A line may have further fields after the eid, and the file a header that begins with
    ``eid``, as tables that are saved as text have.

    Raises
    ------
    MissingFileError, UnreadableFileError
        See `read_text`.
    InvalidNameError
        Naming the first line that is no eid.
    """
    return list(read_eid_lines(path))


def read_eid_lines(path: Path | str) -> dict[str, int]:
    """Sessions of a text file with the number of the line; see `read_eid_list`."""
    found: dict[str, int] = {}
    is_first = True
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        text = line.partition("#")[0].strip().strip(",;")
        for separator in SEPARATORS:
            text = text.partition(separator)[0]
        text = text.strip().strip("\"'").strip()
        if not text:
            continue
        if is_first and text.lower() == "eid":
            is_first = False
            continue
        is_first = False
        try:
            found.setdefault(validate_eid(text), number)
        except InvalidNameError as error:
            raise InvalidNameError(f"line {number}: {error.message}", path=path) from None
    return found


def as_inert(text: str) -> str:
    """A text that a spreadsheet which opens the file takes for a text, and never for a formula.

    Examples
    --------
    >>> as_inert("=HYPERLINK(1)"), as_inert("DM-001")
    ("'=HYPERLINK(1)", 'DM-001')
    """
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text


def _decoded(content: bytes, path: Path) -> str:
    for beginning, kind in _BINARY.items():
        if content.startswith(beginning):
            raise UnreadableFileError(f"line 1: the file is {kind}; {_REMEDY}", path=path)
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decode(content[len(mark) :], encoding, path)
    zeros = (content[1::2].count(0), content[::2].count(0))
    if max(zeros) > len(content) // 4:  # ASCII letters of UTF-16, whose mark was lost
        return _decode(content, "utf-16-le" if zeros[0] > zeros[1] else "utf-16-be", path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return _decode(content, "cp1252", path)


def _decode(content: bytes, encoding: str, path: Path) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(encoding, errors="replace").count("\n") + 1
        raise UnreadableFileError(
            f"line {line}: no text in UTF-8, UTF-16 or cp1252; {_REMEDY}", path=path
        ) from None


def _separator(text: str, columns: set[str]) -> str:
    lines = (line.strip() for line in text.split("\n"))
    lines = (line for line in lines if line and not line.startswith(("#", _SEPARATOR_LINE)))
    header = next(lines, "")

    def n_known(separator: str) -> tuple[int, int]:
        fields = [field.strip().strip('"').strip() for field in header.split(separator)]
        return len(columns.intersection(fields)), len(fields)

    # the first of equals
    return max(SEPARATORS, key=n_known)


def _width(fields: list[str]) -> int:
    return max((i + 1 for i, field in enumerate(fields) if field), default=0)
