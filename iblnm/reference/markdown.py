"""Text of declarations as markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell(text) for text in line)} |" for line in lines)


def cell(text: str) -> str:
    """Text on one line that ends no cell."""
    return " ".join(str(text).split()).replace("|", "\\|")


def number(value: float | None, unit: str = "") -> str:
    """A number with its unit; nothing for None."""
    return "" if value is None else f"{value:g} {unit}".strip()


def span(low: float | None, high: float | None) -> str:
    """Limits of a range in words."""
    parts = (
        f"at least {low:g}" if low is not None else "",
        f"at most {high:g}" if high is not None else "",
    )
    return ", ".join(part for part in parts if part)
