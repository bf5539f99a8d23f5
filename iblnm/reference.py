"""Reference of rules, metrics, stages, analyses and tables, rendered from their declarations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from iblnm.config import Settings
from iblnm.pipeline.stage import Stage
from iblnm.schemas.core import Column, Table
from iblnm.schemas.wide import WideTable

TITLES = {
    "rules": "Rules",
    "metrics": "Quality metrics",
    "stages": "Stages of a session",
    "analyses": "Analyses over all sessions",
    "tables": "Tables",
}


def reference_pages(settings: Settings) -> dict[str, str]:
    """The pages of the reference as markdown, by the stem of their file.

    Parameters
    ----------
    settings : Settings
        The limits of the rules are those under these settings.

    Returns
    -------
    dict of str to str
        ``rules``, ``metrics``, ``stages``, ``analyses``, ``tables``.
    """
    parts = {
        "rules": _rules(settings),
        "metrics": _metrics(settings),
        "stages": _stages(),
        "analyses": _analyses(),
        "tables": _tables(),
    }
    return {
        stem: "\n\n".join([f"# {TITLES[stem]}", *sections]) + "\n"
        for stem, sections in parts.items()
    }


def write_reference(folder: Path, settings: Settings) -> list[Path]:
    """Write the pages into a folder, each whole or not at all; the folder is made.

    Returns
    -------
    list of Path
    """
    from iblnm.storage.atomic import write_whole

    written = []
    for stem, text in reference_pages(settings).items():
        path = Path(folder) / f"{stem}.md"
        with write_whole(path) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _rules(settings: Settings) -> list[str]:
    from iblnm.pipeline.groups import running_rules

    header = ("rule", "judges", "severity", "limit", "meaning", "a session that breaks it lacks")
    rows = [
        (
            f"`{entry.name}`",
            entry.asset,
            entry.severity,
            _number(entry.limit(settings), entry.unit),
            entry.description,
            ", ".join(entry.blocks),
        )
        for entry in running_rules()
    ]
    return [_grid(header, rows)]


def _metrics(settings: Settings) -> list[str]:
    from iblnm.signal.metrics import metrics

    header = ("metric", "unit", "from", "bands", "possible values", "limit", "meaning")
    rows = [
        (
            f"`{metric.name}`",
            metric.unit or metric.label,
            metric.source,
            ", ".join(metric.bands or ("all",)),
            _range(*metric.bounds),
            "" if metric.limit is None else _number(metric.limit(settings)),
            metric.description,
        )
        for metric in metrics()
    ]
    return [_grid(header, rows)]


def _stages() -> list[str]:
    from iblnm.pipeline.graph import all_stages, guards

    header = ("stage", "what it makes", "from", "stored in", "not made after a broken rule of")
    rows = [
        (
            f"`{stage.name}`",
            stage.description,
            ", ".join(stage.inputs) or "archive",
            _places(stage),
            ", ".join(guards(stage.name)),
        )
        for stage in all_stages()
    ]
    return [_grid(header, rows)]


def _places(stage: Stage) -> str:
    suffix = "html" if stage.is_page else "pqt"
    places = [f"`{stage.folder}/{{eid}}.{suffix}`"] if stage.folder else []
    if stage.h5_group:
        places.append(f"session file, `{stage.h5_group}`")
    return ", ".join(places)


def _analyses() -> list[str]:
    from iblnm.analysis.registry import ANALYSES, figures

    header = ("analysis", "what it does", "from", "tables", "figures")
    drawn = figures().items()
    rows = [
        (
            f"`{entry.name}`",
            entry.text.partition("\n\n")[0],
            ", ".join((*entry.inputs, *entry.reads)),
            ", ".join(f"`{file}`" for file in entry.files.values()),
            ", ".join(
                f"`figures/{figure.folder}/{name}`"
                for name, figure in drawn
                if figure.analysis is entry
            ),
        )
        for entry in ANALYSES
    ]
    return [_grid(header, rows)]


def _tables() -> list[str]:
    from iblnm.analysis import registry
    from iblnm.pipeline.graph import all_stages
    from iblnm.schemas import TABLES

    of_stages = {stage.table.name: stage.table for stage in all_stages() if stage.table}
    found = {**TABLES, **of_stages, **registry.tables()}
    return [part for table in found.values() for part in _table(table)]


def _table(table: Table | WideTable) -> list[str]:
    columns, note = (table.columns, "") if isinstance(table, Table) else _wide(table)
    header = ("column", "type", "unit", "null", "values", "meaning")
    rows = [
        (
            f"`{column.name}`",
            column.dtype,
            column.unit,
            "yes" if column.nullable else "no",
            _values(column),
            column.description,
        )
        for column in columns
    ]
    return [f"## `{table.name}`", f"{table.description}.{note}", _grid(header, rows)]


def _wide(table: WideTable) -> tuple[tuple[Column, ...], str]:
    return table.identity.columns, f" One column per condition, `{table.pattern}`: {table.text}."


def _values(column: Column) -> str:
    return ", ".join(column.isin) if column.isin else _range(column.ge, column.le)


def _range(low: float | None, high: float | None) -> str:
    parts = (
        f"at least {low:g}" if low is not None else "",
        f"at most {high:g}" if high is not None else "",
    )
    return ", ".join(part for part in parts if part)


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:g} {unit}".strip()


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
