"""Benchmarks and examples, which are run by hand, use names that there are."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for folder in ("benchmarks", "examples")
    for path in (REPOSITORY / folder).rglob("*.py")
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_it_imports_exists(script):
    tree = ast.parse((REPOSITORY / script).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
            "iblnm",
            "iblnm_dagster",
            "bench",
        ):
            module = import_module(node.module)
            for alias in node.names:
                name = alias.name
                assert hasattr(module, name) or import_module(f"{node.module}.{name}"), name
