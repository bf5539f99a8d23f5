"""Settings come in by a door and are passed on: below it nobody looks them up."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import iblnm

PACKAGE = Path(iblnm.__file__).parent
INSIDE = ("analysis", "data", "layers", "pipeline", "schemas", "signal", "storage", "task", "vis")
DOORS = {
    "data/session.py": "PhotometrySession",
    "data/group.py": "PhotometrySessionGroup",
    "layers/access.py": "_root",
    "pipeline/groups.py": "running_group",
}
FACADES = ("validation", "util", "gui")


def _files(*folders: str) -> list[str]:
    found = [path for folder in folders for path in (PACKAGE / folder).rglob("*.py")]
    return sorted(path.relative_to(PACKAGE).as_posix() for path in found)


def _looked_up(tree: ast.AST) -> list[ast.AST]:
    """Where the settings of the process are called for, by whatever name."""
    names = {"get_settings"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {a.asname for a in node.names if a.name == "get_settings" and a.asname}
    return [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in names)
        or (isinstance(node, ast.Attribute) and node.attr in names)
    ]


def _door(tree: ast.AST, file: str) -> list[ast.AST]:
    kinds, name = (ast.ClassDef, ast.FunctionDef), DOORS.get(file)
    return [node for node in ast.walk(tree) if isinstance(node, kinds) and node.name == name]


@pytest.mark.parametrize("file", _files(*INSIDE))
def test_settings_are_looked_up_by_the_doors_alone(file):
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    inside_doors = {id(found) for node in _door(tree, file) for found in _looked_up(node)}
    lines = [node.lineno for node in _looked_up(tree) if id(node) not in inside_doors]
    assert lines == [], f"{file}: pass the settings on instead of looking them up"


def test_the_doors_are_where_the_list_says():
    for file, name in DOORS.items():
        tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
        (door,) = _door(tree, file)
        assert _looked_up(door), f"{file}, {name}: looks nothing up, take it off the list"


def _settings_made_at_import(tree: ast.Module) -> list[int]:
    """Lines that make settings when the module is read, defaults of arguments included."""
    lines = []

    class Finder(ast.NodeVisitor):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None:
                    self.visit(default)

        def visit_Lambda(self, node: ast.Lambda) -> None:
            pass

        def visit_Call(self, node: ast.Call) -> None:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ("Settings", "Thresholds") or name.endswith("Settings"):
                lines.append(node.lineno)
            self.generic_visit(node)

    Finder().visit(tree)
    return lines


@pytest.mark.parametrize("file", _files(*INSIDE))
def test_no_default_is_taken_from_settings_at_import(file):
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    assert _settings_made_at_import(tree) == []


def _imported(file: str) -> set[str]:
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return modules


@pytest.mark.slow
@pytest.mark.parametrize("facade", FACADES)
def test_nothing_inside_imports_a_facade(facade):
    name = f"iblnm.{facade}"
    folders = [p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != facade]
    outside = {*_files(*folders), *(path.name for path in PACKAGE.glob("*.py"))}
    using = {
        file
        for file in outside
        for module in _imported(file)
        if module == name or module.startswith(f"{name}.")
    }
    assert using == set()
