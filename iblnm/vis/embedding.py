"""Data and scripts inside a page: nothing in the data can become markup or run."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

# what could end the element of a script, or begin a comment in it
_SAFE_IN_SCRIPT = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def embedded_json(value: Any) -> str:
    """A value as JSON that can stand within an element ``script``.

    Raises
    ------
    ValueError
        If a number is not finite: browsers cannot read it.

    Examples
    --------
    >>> embedded_json({"subject": "</script>"})
    '{"subject":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_SAFE_IN_SCRIPT)


def digest_for_policy(text: str) -> str:
    """Digest of a script or style by which a page's policy allows it and no other."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
