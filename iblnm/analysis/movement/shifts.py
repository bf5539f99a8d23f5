"""Circular shifts of trials: a null that keeps what drifts over a session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

METHOD_VERSION = 1


@dataclass(frozen=True)
class Shifts:
    """Trials in the order of subjects, recordings and time, and how to shift them.

    Parameters
    ----------
    order : ndarray of int, shape (n,)
        Positions of the trials in that order.
    start, size : ndarray of int, shape (n_recordings,)
        Of each recording in it.
    session : ndarray of int, shape (n_recordings,)
        Codes 0 to the number of sessions − 1.
    """

    order: np.ndarray
    start: np.ndarray
    size: np.ndarray
    session: np.ndarray

    @classmethod
    def of(
        cls, subject: np.ndarray, session: np.ndarray, recording: np.ndarray, trial: np.ndarray
    ) -> Shifts:
        """Shifts of trials; all arguments have a code per trial, `trial` its place in time."""
        order = np.lexsort((trial, recording, subject))
        own = recording[order]
        start = np.flatnonzero(np.diff(own, prepend=own[0] - 1 if len(own) else 0))
        size = np.diff(np.append(start, len(own)))
        return cls(order, start, size, np.unique(session[order][start], return_inverse=True)[1])

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Positions in the order after each session was shifted by a share of its length.

        Recordings of a session are shifted by the same share, so that what they have in common
        stays so; none stays where it is.

        Examples
        --------
        >>> codes = np.zeros(4, dtype=int)
        >>> shifts = Shifts.of(codes, codes, codes, np.arange(4))
        >>> drawn = shifts.draw(np.random.default_rng(0))
        >>> sorted(drawn.tolist()), bool((drawn == np.arange(4)).any())
        ([0, 1, 2, 3], False)
        """
        share = rng.random(int(self.session.max(initial=-1)) + 1)[self.session]
        shift = np.where(self.size > 1, 1 + np.floor(share * (self.size - 1)), 0).astype(int)
        start, size, shift = (
            np.repeat(values, self.size) for values in (self.start, self.size, shift)
        )
        return start + (np.arange(len(start)) - start + shift) % size
