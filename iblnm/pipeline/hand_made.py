"""The files that people write by hand, read before anything is computed from them."""

from __future__ import annotations

from iblnm.config import Settings


def read_hand_made(settings: Settings) -> None:
    """Refuse labels or fibers in force that cannot be read.

    Raises
    ------
    UnreadableFileError, MalformedFileError
        With file, line and what is expected.
    """
    from iblnm.io.fibers import fibers_path, read_fibers
    from iblnm.pipeline.labels import labels_in_force

    labels_in_force(settings)
    fibers = fibers_path(settings)
    if fibers is not None:
        read_fibers(fibers)
