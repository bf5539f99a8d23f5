"""Settings of figures."""

from __future__ import annotations

from pydantic import BaseModel

# all have an inside, which can be left open
_TARGET_MARKERS = {
    "MR-5HT": ">",
    "DR-5HT": "^",
    "VTA-DA": "o",
    "SNc-DA": "s",
    "LC-NE": "D",
    "NBM-ACh": "v",
    "SI-ACh": "<",
    "PPT-ACh": "p",
}
_TARGET_LINE_STYLES = {
    "MR-5HT": "-",
    "DR-5HT": "--",
    "VTA-DA": "-",
    "SNc-DA": "--",
    "LC-NE": "-",
    "NBM-ACh": "-",
    "SI-ACh": "--",
    "PPT-ACh": ":",
}


class FigureSettings(BaseModel):
    """How figures look and are stored; a target is never told by its color alone."""

    target_markers: dict[str, str] = _TARGET_MARKERS
    """Symbol of each target."""
    target_line_styles: dict[str, str] = _TARGET_LINE_STYLES
    """Line of each target."""
    file_types: tuple[str, ...] = ("svg", "pdf", "png")
    """Formats in which each figure is written."""
    dpi: int = 200
    """Resolution of images, in dots per inch."""
    example_eid: str | None = None
    """Session of the example figure; by default the one with most usable trials."""
    alpha: float = 0.05
    """Corrected p below which a symbol is filled, and 1 − coverage of intervals."""
