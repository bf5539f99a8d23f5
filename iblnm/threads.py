"""Threads of linear algebra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute linear algebra in one thread, whatever the machine has.

    Sums that are shared among threads are rounded otherwise, so that the same table made from
    the page, in one process or side by side would differ in its last digits, and all that was
    made of it would count as out of date. Several processes, not threads, use several cores.
    """
    import scipy.linalg  # noqa: F401 - only a library that is loaded can be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
