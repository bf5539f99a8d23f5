"""Faults that the server shows on demand."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

STATUS = (400, 401, 403, 404, 429, 500, 502, 503)
KINDS = (*STATUS, "hang", "drip", "reset", "truncated", "html", "wrong_hash", "one_line")


@dataclass
class Fault:
    """One planned fault.

    Parameters
    ----------
    match : str
        Regular expression, searched in ``METHOD /path?query`` (not percent-encoded).
    kind : int or str
        A status, or: 'hang' (accepts and never answers), 'drip' (one byte at a time), 'reset'
        (connection reset), 'truncated' (the body ends early), 'html' (a web page with status
        200), 'wrong_hash' (other bytes of the same size), 'one_line' (without line breaks).
    times : int or None
        How many requests it hits; None is all.
    after : int
        How many matching requests pass before.
    retry_after : float
        Seconds in the header of 429 and 503.
    delay_s : float
        Between the bytes of a drip.
    """

    match: str
    kind: int | str
    times: int | None = 1
    after: int = 0
    retry_after: float = 0.0
    delay_s: float = 0.2
    hits: int = 0


class Faults:
    """The faults of a server; safe to change while it runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []
        self._choose: Callable[[str], Fault | None] | None = None

    def add(
        self,
        match: str,
        kind: int | str,
        times: int | None = 1,
        *,
        after: int = 0,
        retry_after: float = 0.0,
        delay_s: float = 0.2,
    ) -> Fault:
        """Plan a fault; see `Fault`. The first that matches a request is shown.

        Raises
        ------
        ValueError
            If the kind is unknown.
        """
        if kind not in KINDS:
            raise ValueError(f"no fault of kind {kind!r}; there are {KINDS}")
        fault = Fault(match, kind, times, after, retry_after, delay_s)
        with self._lock:
            self._planned.append(fault)
        return fault

    def at_random(
        self, rate: float, kinds: Sequence[int | str], *, seed: int, match: str = ""
    ) -> None:
        """Show one of the kinds in this fraction of the matching requests."""
        generator = random.Random(seed)

        def choose(request: str) -> Fault | None:
            if re.search(match, request) is None or generator.random() >= rate:
                return None
            return Fault(match, generator.choice(list(kinds)))

        with self._lock:
            self._choose = choose

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._planned.clear()
            self._choose = None

    def of(self, request: str) -> Fault | None:
        """Fault of a request, counted as shown; None if it is to be answered."""
        with self._lock:
            for fault in self._planned:
                if fault.times == 0 or re.search(fault.match, request) is None:
                    continue
                if fault.after:
                    fault.after -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                fault.hits += 1
                return fault
            return self._choose(request) if self._choose else None
