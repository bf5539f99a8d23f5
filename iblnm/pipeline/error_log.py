"""Collecting broken rules instead of raising them."""

from __future__ import annotations

import functools
import inspect
import traceback as tb
from collections.abc import Callable
from typing import Any

import pandas as pd

from iblnm.constants import ERROR_COLUMNS
from iblnm.pipeline.rules.registry import RuleError
from iblnm.pipeline.rules.values import as_row, get

LOG_COLUMNS = list(ERROR_COLUMNS)


def make_log_entry(
    eid: str | None,
    error: BaseException | None = None,
    error_type: str | None = None,
    error_message: str | None = None,
) -> dict[str, str | None]:
    """One entry of an error log.

    Parameters
    ----------
    eid : str
        Session.
    error : BaseException, optional
        Gives type, message and traceback.
    error_type : str, optional
        Where there is no exception.
    error_message : str, optional
        Instead of that of the exception.

    Returns
    -------
    dict
        Keys `LOG_COLUMNS`; ``traceback`` is None without a raised exception.

    Raises
    ------
    ValueError
        If there is neither an exception nor a type.

    Examples
    --------
    >>> make_log_entry("a", error_type="BandInversion", error_message="3 inversions")
    {'eid': 'a', 'error_type': 'BandInversion', 'error_message': '3 inversions', 'traceback': None}
    """
    trace = None
    if error is None and error_type is None:
        raise ValueError("an exception or error_type is needed")
    if error is not None:
        error_type = type(error).__name__
        error_message = str(error) if error_message is None else error_message
        if error.__traceback__ is not None:
            trace = "".join(tb.format_exception(error))
    return {
        "eid": eid,
        "error_type": error_type,
        "error_message": error_message,
        "traceback": trace,
    }


def unique_entries(log: pd.DataFrame) -> pd.DataFrame:
    """A log with the latest entry of each session, type and message."""
    return log.drop_duplicates(LOG_COLUMNS[:3], keep="last", ignore_index=True)


def exception_logger(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a validator the parameter ``exlog``.

    Parameters
    ----------
    function : callable
        Takes a session (row, mapping or session object) first.

    Returns
    -------
    callable
        Without ``exlog`` a broken rule raises. With a list, the rule's exception becomes an
        entry of it (see `make_log_entry`) and the session is returned as it was given; of a
        table, the exception's ``fallback_row``, or the first row. Only broken rules are
        collected: any other exception always propagates.

    Examples
    --------
    >>> @exception_logger
    ... def validate_lab(session):
    ...     if session["lab"] != "churchlandlab":
    ...         raise RuleError(f"unknown lab {session['lab']}")
    ...     return session
    >>> log = []
    >>> validate_lab({"eid": "a", "lab": "elsewhere"}, exlog=log)
    {'eid': 'a', 'lab': 'elsewhere'}
    >>> log[0]["error_type"], log[0]["error_message"]
    ('RuleError', 'unknown lab elsewhere')
    """
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    own = [p for p in inspect.signature(function).parameters.values() if p.kind in positional]

    @functools.wraps(function)
    def wrapper(session: Any, *args: Any, exlog: list | None = None, **kwargs: Any) -> Any:
        if exlog is None and len(args) == len(own):
            *args, exlog = args  # one argument more than the validator takes
        if exlog is None:
            return function(session, *args, **kwargs)
        try:
            return function(session, *args, **kwargs)
        except RuleError as error:
            exlog.append(make_log_entry(_eid(session), error))
            return _one_row(session, error)

    return wrapper


def _one_row(session: Any, error: RuleError) -> Any:
    if not isinstance(session, pd.DataFrame):
        return session
    fallback = getattr(error, "fallback_row", None)
    return session.iloc[0] if fallback is None else fallback


def _eid(session: Any) -> str | None:
    eid = getattr(session, "eid", None)
    if eid is None and hasattr(as_row(session), "get"):
        eid = get(as_row(session), "eid")
    return None if eid is None else str(eid)
