"""Look of targets that the settings do not know: each its own, none that of a known one."""

from __future__ import annotations

import colorsys
import hashlib

UNKNOWN = "#848d94"
UNKNOWN_MARKER = "X"
# none of them stands for a target of the settings
_MARKERS = ("P", "d", "h", "*", "8", "H")
_LIGHTNESS = (0.32, 0.48)
_SATURATION = 0.32
# of many, the one with which striatal and wrongly combined targets are furthest apart
_SALT = 2402
_NAMES_OF_NONE = {"", "none", "nan", "unknown", "<na>"}


def other_color(target: str | None) -> str:
    """A muted color that depends on the name alone; gray where there is no name.

    Examples
    --------
    >>> len({other_color(name) for name in ("DLS-DA", "DMS-DA", "NAcc-DA", None)})
    4
    """
    if _is_unknown(target):
        return UNKNOWN
    code = _code(target)
    lightness = _LIGHTNESS[code // 360 % len(_LIGHTNESS)]
    rgb = colorsys.hls_to_rgb(code % 360 / 360, lightness, _SATURATION)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def other_marker(target: str | None) -> str:
    """A marker with an inside, of those that no target of the settings has."""
    return UNKNOWN_MARKER if _is_unknown(target) else _MARKERS[_code(target) % len(_MARKERS)]


def _is_unknown(target: str | None) -> bool:
    return target is None or str(target).lower() in _NAMES_OF_NONE


def _code(target: str | None) -> int:
    digest = hashlib.md5(f"{_SALT}{target}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big")
