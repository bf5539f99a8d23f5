"""Time stamps of the archive: the one reader of texts with and without time zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pandas as pd

_DAY = len("2024-03-05")


def parse_stamp(text: Any) -> datetime | None:
    """Time of a stamp, with its zone if it names one; None where it is no ISO 8601 text.

    Examples
    --------
    >>> parse_stamp("2024-10-27T02:40:00+02:00").isoformat()
    '2024-10-27T02:40:00+02:00'
    >>> parse_stamp("27.10.2024") is None
    True
    """
    if isinstance(text, datetime):
        return text
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def seconds_between(start: Any, end: Any) -> float | None:
    """Seconds from one stamp to another; None where one of them names no time.

    Stamps without zone are local times of the archive. If only one of the two names a zone,
    the other is taken to be in the same, with the same offset.

    Examples
    --------
    >>> seconds_between("2024-10-27T02:40:00+02:00", "2024-10-27T02:25:00+01:00")
    2700.0
    >>> seconds_between("2024-03-05T10:00:00", "2024-03-05T09:30:00Z")
    -1800.0
    """
    first, last = parse_stamp(start), parse_stamp(end)
    if first is None or last is None or not (has_time(start) and has_time(end)):
        return None
    zone = first.tzinfo or last.tzinfo
    first, last = (stamp.replace(tzinfo=stamp.tzinfo or zone) for stamp in (first, last))
    return (last - first).total_seconds()


def days_apart(start: Any, end: Any) -> int | None:
    """Whole days from the day of one stamp to that of another, both in the zone of the first.

    Examples
    --------
    >>> days_apart("2024-03-05T23:50:00", "2024-03-06T00:10:00")
    1
    >>> days_apart("2024-03-05T20:00:00-05:00", "2024-03-06T02:00:00+00:00")
    0
    """
    first, last = parse_stamp(start), parse_stamp(end)
    if first is None or last is None:
        return None
    if first.tzinfo is not None and last.tzinfo is not None:
        last = last.astimezone(first.tzinfo)
    return (last.date() - first.date()) // timedelta(days=1)


def has_time(stamp: Any) -> bool:
    """Whether a stamp names a time of the day, and not only the day.

    Examples
    --------
    >>> has_time("2024-03-05"), has_time("2024-03-05T10:00:00")
    (False, True)
    """
    return isinstance(stamp, datetime) or (isinstance(stamp, str) and len(stamp.strip()) > _DAY)


def local_times(stamps: pd.Series) -> pd.Series:
    """Stamps as they read on the clock of their place, comparable with and without zone.

    Parameters
    ----------
    stamps : Series
        ISO 8601 texts, some with a zone or none; null where there is none.

    Returns
    -------
    Series of datetime64
        NaT where a text is no stamp.

    Examples
    --------
    >>> stamps = pd.Series(["2024-03-05T10:00:00", "2024-03-05T11:00:00+02:00"])
    >>> local_times(stamps).dt.hour.tolist()
    [10, 11]
    """
    if pd.api.types.is_datetime64_any_dtype(stamps):
        return stamps.dt.tz_localize(None)
    read = [parse_stamp(text) for text in stamps]
    plain = [None if stamp is None else stamp.replace(tzinfo=None) for stamp in read]
    return pd.Series(pd.to_datetime(plain, errors="coerce"), index=stamps.index, name=stamps.name)
