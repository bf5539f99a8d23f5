"""The rules as functions that raise, made from the registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from iblnm.config import Settings
from iblnm.pipeline.error_log import exception_logger
from iblnm.pipeline.rules.registry import RULES, Rule


def row_rules(*inputs: str) -> dict[str, list[Rule]]:
    """Rules about one row, by the name of the function that holds a row to them.

    Parameters
    ----------
    *inputs : str
        What the rows are about: ``session_row``, ``video``, ``performance``.
    """
    found: dict[str, list[Rule]] = {}
    for entry in RULES.values():
        if entry.inputs[0] in inputs:
            found.setdefault(f"validate_{entry.validator}", []).append(entry)
    return found


def validator(
    name: str, held: list[Rule], settings_of: Callable[[Any], Settings]
) -> Callable[..., Any]:
    """A function that raises the exception of the first rule that a row breaks.

    Parameters
    ----------
    name : str
    held : list of Rule
        About one kind of row.
    settings_of : callable
        From what the validator is given to the settings with the limits.

    Returns
    -------
    callable
        Takes the row first, then what else the rules look at; returns the row. See
        `exception_logger` for ``exlog``.
    """
    parameters = {
        parameter.name: parameter
        for entry in held
        for parameter in inspect.signature(entry.function).parameters.values()
        if parameter.name != "settings"
    }
    first, *others = parameters.values()
    signature = inspect.Signature([first.replace(name="session"), *others])

    def validate(*args: Any, **kwargs: Any) -> Any:
        given = dict(signature.bind(*args, **kwargs).arguments)
        session = given.pop("session")
        settings = settings_of(session)
        for entry in held:
            entry.check(settings, **{first.name: session}, **given)
        return session

    raised = "\n".join(
        f"{entry.exception.__name__}\n    If this does not hold: {entry.description}"
        for entry in held
    )
    validate.__name__ = validate.__qualname__ = name
    validate.__signature__ = signature  # type: ignore[attr-defined]
    validate.__doc__ = (
        f"Hold a session to the rules {', '.join(entry.name for entry in held)}.\n\n"
        f"Raises\n------\n{raised}"
    )
    return exception_logger(validate)
