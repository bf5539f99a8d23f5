"""With which settings and methods a stage or an analysis is made.

A method is a module that says ``METHOD_VERSION = n``. Whoever changes what it computes raises
the number; a change that gives the same numbers, as one of a docstring, leaves it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from iblnm.config import Settings
from iblnm.storage.digest import canonical_text, text_digest

_PACKAGE = Path(__file__).resolve().parents[1]
_VERSION = re.compile(r"^METHOD_VERSION = (\d+)$", re.MULTILINE)
# where things are and how they are reached or drawn, which changes no number
_NOT_SCIENCE = frozenset(
    {
        "alyx_password",
        "alyx_token_file",
        "alyx_url",
        "alyx_user",
        "dagster_url",
        "data_password",
        "data_server",
        "data_user",
        "demo_seed",
        "documentation_url",
        "figures",
        "one_cache_dir",
        "one_mode",
        "pg_url_file",
        "remote",
        "root",
        "session_type_colors",
        "sync",
        "target_colors",
        "viewer_url",
    }
)


class Versioned(Protocol):
    """A stage or an analysis.

    Parameters
    ----------
    settings_read : tuple of str, optional
        Settings that it reads, with dots; a group stands for all of its fields, None for all
        settings that change numbers.
    methods : tuple of str
        Modules below ``iblnm`` that say ``METHOD_VERSION``.
    """

    @property
    def settings_read(self) -> tuple[str, ...] | None: ...

    @property
    def methods(self) -> tuple[str, ...]: ...


def made_with(entry: Versioned, settings: Settings) -> dict[str, Any]:
    """Settings and method versions that an output of today is made with.

    Returns
    -------
    dict of str to object
        By the dotted name of the setting, or ``method`` and the module.
    """
    names = entry.settings_read
    if names is None:
        names = tuple(name for name in Settings.model_fields if name not in _NOT_SCIENCE)
    values = {name: read_setting(settings, name) for name in names}
    return values | {f"method {name}": method_version(name) for name in entry.methods}


def code_version(entry: Versioned, settings: Settings) -> str:
    """Digest of `made_with`: another one says that an output is of another setting or method."""
    return version_of(made_with(entry, settings))


def version_of(values: dict[str, Any]) -> str:
    """Digest of what `made_with` gave."""
    return text_digest(values)


def read_setting(settings: Settings, name: str) -> Any:
    """Value of a setting, by its dotted name."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


@cache
def method_version(module: str) -> int:
    """The ``METHOD_VERSION`` of a module, without importing it.

    Parameters
    ----------
    module : str
        Below ``iblnm``, with dots.

    Raises
    ------
    ValueError
        If the module does not say it.
    """
    path = _PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    found = _VERSION.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    if found is None:
        raise ValueError(f"iblnm.{module} has no line METHOD_VERSION = n")
    return int(found[1])


def changes(before: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """What differs between two of `made_with`, in words.

    Examples
    --------
    >>> changes({"signal.lowpass_hz": 0.01}, {"signal.lowpass_hz": 0.02})
    ['signal.lowpass_hz 0.01 → 0.02']
    """
    if before is None:
        return ["made before versions were kept"]
    before, now = _flat(before), _flat(now)
    said = []
    for name in sorted({*before, *now}):
        old, new = (_short(values[name]) if name in values else "–" for values in (before, now))
        if name not in before or name not in now or _differ(before[name], now[name]):
            said.append(name if old == new else f"{name} {old} → {new}")
    return said


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Groups of settings as their fields, with dots."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        plain = value.model_dump() if hasattr(value, "model_dump") else value
        if isinstance(plain, Mapping) and plain:
            found |= _flat(plain, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = plain
    return found


def _differ(before: Any, now: Any) -> bool:
    return canonical_text(before) != canonical_text(now)


def _short(value: Any) -> str:
    text = canonical_text(value)
    return text if len(text) <= 30 else f"{text[:27]}..."
