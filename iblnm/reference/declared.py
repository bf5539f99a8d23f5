"""Tables of what is declared, rendered from the declarations."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from iblnm.config import Settings
from iblnm.pipeline.stage import Stage
from iblnm.reference.markdown import grid, number, span
from iblnm.reference.sentences import attribute_sentences, settings_of
from iblnm.schemas.core import Column, Table
from iblnm.schemas.wide import WideTable

if TYPE_CHECKING:
    from iblnm.analysis.registry import PlacedFigure

TITLES = {
    "rules": "Rules",
    "metrics": "Quality metrics",
    "stages": "Stages of a session",
    "analyses": "Analyses over all sessions",
    "figures": "Figures",
    "tables": "Tables",
    "settings": "Settings",
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
        ``rules``, ``metrics``, ``stages``, ``analyses``, ``figures``, ``tables``,
        ``settings``.
    """
    parts = {
        "rules": _rules(settings),
        "metrics": _metrics(settings),
        "stages": _stages(),
        "analyses": _analyses(),
        "figures": _figures(),
        "tables": _tables(),
        "settings": _settings(),
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
            number(entry.limit(settings), entry.unit),
            entry.description,
            ", ".join(entry.blocks),
        )
        for entry in running_rules()
    ]
    return [grid(header, rows)]


def _metrics(settings: Settings) -> list[str]:
    from iblnm.signal.metrics import metrics

    header = ("metric", "meaning", "unit", "from", "bands", "possible values", "limit")
    rows = [
        (
            f"`{metric.name}`",
            metric.description,
            metric.unit or metric.label,
            metric.source,
            ", ".join(metric.bands or ("all",)),
            span(*metric.bounds),
            "" if metric.limit is None else number(metric.limit(settings)),
        )
        for metric in metrics()
    ]
    return [grid(header, rows)]


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
    return [grid(header, rows)]


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
    return [grid(header, rows)]


def figure_sentence(figure: PlacedFigure) -> str:
    """What a figure shows: the first sentence about the function that draws it."""
    draw = figure.analysis.function(figure.declaration.draw)
    return (inspect.getdoc(draw) or "").partition("\n\n")[0]


def _figures() -> list[str]:
    from iblnm.analysis.registry import figures

    header = ("figure", "what it shows", "drawn from", "of the analysis")
    rows = [
        (
            f"`{name}`",
            figure_sentence(figure),
            ", ".join(f"`{file}`" for file in figure.files),
            figure.analysis.name,
        )
        for name, figure in figures().items()
    ]
    return [grid(header, rows)]


def all_tables() -> dict[str, Table | WideTable]:
    """Every table that is declared, by name."""
    from iblnm.analysis import registry
    from iblnm.pipeline.graph import all_stages
    from iblnm.schemas import TABLES

    of_stages = {stage.table.name: stage.table for stage in all_stages() if stage.table}
    return {**TABLES, **of_stages, **registry.tables()}


def _tables() -> list[str]:
    return [part for table in all_tables().values() for part in _table(table)]


def _table(table: Table | WideTable) -> list[str]:
    columns, note = (table.columns, "") if isinstance(table, Table) else _wide(table)
    header = ("column", "meaning", "type", "unit", "null", "values")
    rows = [
        (
            f"`{column.name}`",
            column.description,
            column.dtype,
            column.unit,
            "yes" if column.nullable else "no",
            _values(column),
        )
        for column in columns
    ]
    return [f"## `{table.name}`", f"{table.description}.{note}", grid(header, rows)]


def _wide(table: WideTable) -> tuple[tuple[Column, ...], str]:
    return table.identity.columns, f" One column per condition, `{table.pattern}`: {table.text}."


def _values(column: Column) -> str:
    return ", ".join(column.isin) if column.isin else span(column.ge, column.le)


def _settings() -> list[str]:
    """One table per group of settings, with the defaults."""
    groups: dict[type[BaseModel], list[tuple[str, str]]] = {}
    for name, model, field in settings_of():
        groups.setdefault(model, []).append((name, field))
    parts = [
        "Each is a variable of the environment or a line of `.env`: `IBLNM_` and the name in "
        "capitals, with `__` where the name has a dot (`IBLNM_THRESHOLDS__MIN_TRIALS=100`). Lists "
        "and mappings are written as JSON.",
    ]
    header = ("setting", "meaning", "default")
    for model, members in groups.items():
        sentences = attribute_sentences(model)
        rows = [
            (f"`{name}`", sentences.get(field, ""), _default(model, field))
            for name, field in members
        ]
        parts += [f"## {_title(model)}", str(inspect.getdoc(model)), grid(header, rows)]
    return parts


def _title(model: type[BaseModel]) -> str:
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in model.__name__).strip()
    return words.capitalize()


def _default(model: type[BaseModel], field: str) -> str:
    value: Any = model.model_fields[field].default
    if model.model_fields[field].default_factory is not None:
        return "found when the command starts"
    if value is None:
        return "none"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"
