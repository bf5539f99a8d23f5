"""Sentences of settings, read from their source, and what has none."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from pydantic import BaseModel

from iblnm.config import Settings


@cache
def attribute_sentences(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field of a model, with its lines joined.

    Pydantic has the same as ``use_attribute_docstrings``, which would read the source whenever
    the settings are imported.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    assert isinstance(tree.body[0], ast.ClassDef)
    body = tree.body[0].body
    found = {}
    for field, after in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[field.target.id] = " ".join(str(after.value.value).split())
    return found


def settings_of(
    model: type[BaseModel] = Settings, prefix: str = ""
) -> Iterator[tuple[str, type[BaseModel], str]]:
    """Every setting that is no group of others: dotted name, its model, its field."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings_of(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", model, name


def without_sentence() -> list[str]:
    """Rules, metrics, columns, figures, analyses and settings that nothing explains.

    Returns
    -------
    list of str
        ``kind name`` of each; the documentation is not built while there is one.
    """
    from iblnm.analysis import registry
    from iblnm.reference.declared import all_tables, figure_sentence
    from iblnm.reference.rules import all_rules
    from iblnm.signal.metrics import metrics

    missing = [f"rule {rule.name}" for rule in all_rules() if not rule.description]
    missing += [f"remedy of rule {rule.name}" for rule in all_rules() if not rule.remedy]
    missing += [f"metric {metric.name}" for metric in metrics() if not metric.description]
    missing += [
        f"column {table.name}.{column.name}"
        for table in all_tables().values()
        for column in (table.columns if hasattr(table, "columns") else table.identity.columns)
        if not column.description
    ]
    missing += [
        f"analysis {entry.name}" for entry in registry.ANALYSES if not entry.compute.__doc__
    ]
    missing += [
        f"check {check.name}"
        for entry in registry.ANALYSES
        for check in entry.checks
        if not (check.description and check.remedy)
    ]
    missing += [
        f"figure {name}"
        for name, entry in registry.figures().items()
        if not figure_sentence(entry)
    ]
    missing += [
        f"setting {name}"
        for name, model, field in settings_of()
        if field not in attribute_sentences(model)
    ]
    return missing
