"""What a file of a session may hold: more is a fault of the file, and is not read."""

from __future__ import annotations

from pydantic import BaseModel


class FileLimits(BaseModel):
    """Largest sizes, as the header of a file states them; a long session needs a hundredth."""

    max_rows: int = 50_000_000
    """Rows of a table."""
    max_samples: int = 500_000_000
    """Numbers of an array."""
    max_bytes: int = 4 * 2**30
    """Bytes of a table or array once it is read, decompressed; of any other file as it is."""
