"""Sentences about variables of the environment, or of ``.env``, that are not understood."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource
from pydantic_settings.exceptions import SettingsError as UnreadableSetting

from iblnm.errors import DataError, SettingsError

# variables of the tests, which are no settings
_OTHERS = ("IBLNM_REAL_DATA",)
_SECRET = ("PASSWORD", "TOKEN")


@contextmanager
def explained(kind: type[BaseSettings]) -> Iterator[None]:
    """Turn the errors of pydantic into a line for each variable at fault.

    Parameters
    ----------
    kind : type of BaseSettings
        The settings that are read.

    Raises
    ------
    SettingsError
        In place of pydantic's errors; it shows no passwords.
    """
    try:
        yield
    except ValidationError as error:
        lines = [_line(kind, found) for found in error.errors(include_url=False)]
        raise SettingsError("\n".join(dict.fromkeys(lines))) from None
    except UnreadableSetting as error:
        raise SettingsError(_unreadable(kind, error)) from None


class SettingsFile(DotEnvSettingsSource):
    """The file ``.env`` in any encoding that `iblnm.io.text` reads, where nothing is skipped."""

    def _read_env_file(self, file_path: Path) -> Mapping[str, str | None]:
        from pydantic_settings.sources.utils import parse_env_vars

        return parse_env_vars(
            read_variables(file_path),
            self.case_sensitive,
            self.env_ignore_empty,
            self.env_parse_none_str,
        )


def read_variables(path: Path) -> dict[str, str | None]:
    """Variables of a file of lines ``NAME=value``.

    Raises
    ------
    SettingsError
        With the line that is none of these, or if the file is no text.
    """
    import io

    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    from iblnm.io.text import read_text

    try:
        text = read_text(path)
    except DataError as error:
        raise SettingsError(f"{path}: {error.message}") from None
    for binding in parse_stream(io.StringIO(text)):
        original = binding.original.string.strip()
        is_no_setting = binding.error or (binding.key is not None and binding.value is None)
        if is_no_setting and "IBLNM_" in original.upper():  # other lines are others' matter
            # the first word alone, since the rest may be a password
            word = re.split(r"[\s=:]", original)[0]
            raise SettingsError(
                f"{path}, line {binding.original.line}: the line that begins with {word} is no "
                "setting; NAME=value is expected, a value with spaces in quotes"
            )
    return dotenv_values(stream=io.StringIO(text))


def misspelt_variables(kind: type[BaseSettings]) -> list[str]:
    """A sentence for each variable that has the prefix of the settings, and is none of them.

    Parameters
    ----------
    kind : type of BaseSettings
    """
    names, free = _names(kind)
    unknown = [
        name
        for name in _given(kind)
        if name not in {*names, *_OTHERS} and not name.startswith(tuple(free))
    ]
    sentences = []
    for name in sorted(unknown):
        # the prefix is the same in all, and would make any two alike
        words = [known.removeprefix(_prefix(kind)) for known in names]
        nearest = get_close_matches(name.removeprefix(_prefix(kind)), words, n=1)
        meant = f"; did you mean {_prefix(kind)}{nearest[0]}?" if nearest else ""
        sentences.append(f"{name} is no setting of iblnm{meant}")
    return sentences


def _line(kind: type[BaseSettings], found: Mapping[str, Any]) -> str:
    loc = [part for part in found["loc"] if isinstance(part, str)]
    name = _prefix(kind) + "__".join(loc).upper()
    shown = "***" if any(word in name for word in _SECRET) else repr(found["input"])
    reason = found["msg"].removeprefix("Value error, ")
    return f"{name}={shown}: {reason[:1].lower()}{reason[1:]}"


def _unreadable(kind: type[BaseSettings], error: UnreadableSetting) -> str:
    """Which variable should hold JSON; the error names the outermost field alone."""
    text = getattr(error.__cause__, "doc", None)
    for name, value in _given(kind).items():
        if text is not None and value == text:
            return f'{name}={value!r}: not JSON; expected is for example ["a", "b"] or [1, 2]'
    return str(error)


def _names(kind: type[BaseSettings]) -> tuple[list[str], list[str]]:
    """Names of the variables, and the beginnings of those with a free part."""
    names, free = [], []
    for field, info in kind.model_fields.items():
        name = _prefix(kind) + field.upper()
        names.append(name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            for inner, below in info.annotation.model_fields.items():
                names.append(f"{name}__{inner.upper()}")
                if "dict" in str(below.annotation):
                    free.append(f"{names[-1]}__")
        elif "dict" in str(info.annotation):
            free.append(f"{name}__")
    return names, free


def _given(kind: type[BaseSettings]) -> dict[str, str]:
    from iblnm.config import ENV_FILE

    file = Path(ENV_FILE)
    in_file = read_variables(file) if file.is_file() else {}
    found = {**in_file, **os.environ}
    prefix = _prefix(kind)
    return {
        name.upper(): value or ""
        for name, value in found.items()
        if name.upper().startswith(prefix)
    }


def _prefix(kind: type[BaseSettings]) -> str:
    return str(kind.model_config.get("env_prefix", "")).upper()
