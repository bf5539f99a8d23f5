"""Names of rules, exceptions and validators as notebooks import them.

All of them are made from the rules of `iblnm.pipeline.rules`: every exception is here under its
own name, and ``validate_*`` holds a session, a video or a fit of performance to the rules that
name this validator. A validator takes a row (Series, mapping, one-row frame) or a session
object, returns it when it is valid, and collects instead of raising when it is given an
``exlog`` list.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from iblnm.config import Settings, get_settings
from iblnm.pipeline import error_log, rules
from iblnm.pipeline.rules import validators

_ERROR_LOG = ("LOG_COLUMNS", "exception_logger", "make_log_entry")


@functools.wraps(rules.evaluate)
def evaluate(asset: str, settings: Settings | None = None, **inputs: Any) -> list[rules.Outcome]:
    return rules.evaluate(asset, settings or get_settings(), **inputs)


def _validators() -> dict[str, list[rules.Rule]]:
    return validators.row_rules("session_row", "video", "performance")


def _settings_of(session: Any) -> Settings:
    return getattr(session, "settings", None) or get_settings()


@functools.cache
def _validator(name: str, *held: rules.Rule) -> Callable[..., Any]:
    return validators.validator(name, list(held), _settings_of)


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name in _ERROR_LOG:
        return getattr(error_log, name)
    if name in rules.__all__:
        return getattr(rules, name)
    if name in (known := rules.exceptions()):
        return known[name]
    if name in (made := _validators()):
        return _validator(name, *made[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*_ERROR_LOG, *rules.__all__, *rules.exceptions(), *_validators()})
