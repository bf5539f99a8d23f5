"""What the figures share: plain axes, colors of the settings, files, thumbnails."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iblnm.config import Settings
from iblnm.storage.atomic import write_whole
from iblnm.vis.other_targets import other_color, other_marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEUTRAL = "#c3c9ce"
FAINT = "#e9ecee"
INK = "#1c2730"
FONT_SIZE = 8
FILE_TYPES = ("svg", "pdf", "png")
# fixed identifiers: the same figure is the same file
_PREVIEW_COLORS = 64
_SMALLEST_PREVIEW = 60
_DRAWING = {"svg.hashsalt": "iblnm", "svg.fonttype": "none", "pdf.fonttype": 42}
_FILE_METADATA = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}
# name of a description in the metadata of a file
_DESCRIPTION = {"svg": "Description", "pdf": "Subject", "png": "Description"}


def new_figure(width: float, height: float) -> Figure:
    """A figure without pyplot, so that no state outlives it; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def plain_axes(ax: Axes) -> Axes:
    """Take away the frame's upper and right side."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=FONT_SIZE)
    return ax


def target_color(target: str | None, settings: Settings) -> str:
    """Color of a target of the settings; a muted one of its own for any other."""
    return settings.target_colors.get(str(target)) or other_color(target)


def target_style(target: str | None, settings: Settings) -> dict[str, Any]:
    """Color, marker and line style of a target, as keywords of `Axes.plot`."""
    return {
        "color": target_color(target, settings),
        "marker": settings.figures.target_markers.get(str(target)) or other_marker(target),
        "linestyle": settings.figures.target_line_styles.get(str(target), "-"),
    }


def ordered_targets(targets: Iterable[str], settings: Settings) -> list[str]:
    """The targets in the settings' order, others after them by name."""
    order = list(settings.target_colors)
    return sorted(
        set(targets), key=lambda name: (order.index(name) if name in order else len(order), name)
    )


def save_figure(
    figure: Figure,
    stem: Path | str,
    *,
    dpi: int = 150,
    types: Sequence[str] = FILE_TYPES,
    origin: str = "",
) -> list[Path]:
    """Write a figure, whole or not at all.

    Parameters
    ----------
    figure : Figure
    stem : Path
        Path without its ending; folders are made.
    dpi : int
        Of bitmaps.
    types : sequence of str
    origin : str
        From what it was drawn, for the description in the file; nothing of it is drawn.

    Returns
    -------
    list of Path
        One file per type.
    """
    paths = []
    _settle_layout(figure)
    for kind in types:
        path = Path(f"{stem}.{kind}")
        with write_whole(path) as temporary:
            Path(temporary).write_bytes(_drawn(figure, kind, dpi, origin))
        paths.append(path)
    return paths


def _settle_layout(figure: Figure) -> None:
    """Lay the figure out once: each drawing would do it again, which takes most of its time."""
    from matplotlib import rc_context

    if figure.get_layout_engine() is not None:
        _take_literally(figure)
        with rc_context(_DRAWING):
            figure.draw_without_rendering()
        figure.set_layout_engine("none")


def _take_literally(figure: Figure) -> None:
    """Draw texts as they are: dollar signs in a name are no formula, which may not be one at all.

    Formulas are only the numbers beside logarithmic axes, which matplotlib writes itself.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        words = text.get_text()
        if "$" in words and "\\mathdefault" not in words:
            text.set_parse_math(False)


def _drawn(figure: Figure, kind: str, dpi: float, origin: str = "") -> bytes:
    from matplotlib import rc_context

    buffer = io.BytesIO()
    metadata = dict(_FILE_METADATA.get(kind, {}))
    if origin and kind in _DESCRIPTION:
        metadata[_DESCRIPTION[kind]] = origin
    _take_literally(figure)
    with rc_context(_DRAWING):
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata or None)
    return buffer.getvalue()


def thumbnail(figure: Figure, *, max_bytes: int = 60_000, dpi: float = 80.0) -> str:
    """The figure as data address of a small PNG.

    Parameters
    ----------
    figure : Figure
    max_bytes : int
        Limit of the address; the size is lowered until it fits.
    dpi : float
        Resolution to begin with.

    Raises
    ------
    ValueError
        If the figure fits at no resolution.
    """
    from PIL import Image

    with Image.open(io.BytesIO(_drawn(figure, "png", dpi))) as drawn:
        full = drawn.convert("RGB")
    for width in _widths(full.width):
        image = full.resize((width, round(full.height * width / full.width)), Image.LANCZOS)
        buffer = io.BytesIO()
        # few colors make a small file, and a preview needs no more
        image.quantize(_PREVIEW_COLORS).save(buffer, format="png", optimize=True)
        address = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        if len(address) <= max_bytes:
            return address
    raise ValueError(f"the figure does not fit in {max_bytes} bytes")


def _widths(first: int) -> Iterator[int]:
    width = first
    while width >= _SMALLEST_PREVIEW:
        yield width
        width = int(width * 0.8)
