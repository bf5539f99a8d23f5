"""The graph as it is declared: what is in it, what it costs to load, where its limits are."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster import AssetKey

from iblnm.analysis import registry
from iblnm.config import Settings
from iblnm.pipeline.graph import all_stages, checked_stages, stage_names
from iblnm.pipeline.groups import running_rules
from iblnm.schemas import TABLES
from iblnm_dagster.build import build_defs
from iblnm_dagster.partitions import SESSION_PARTITIONS

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = sorted((REPOSITORY / "iblnm").rglob("*.py"))
GRAPH = sorted((REPOSITORY / "iblnm_dagster").rglob("*.py"))
# of what is imported, or imports something, only when a function needs it
HEAVY = (
    "one",
    "brainbox",
    "iblphotometry",
    "ibllib",
    "statsmodels",
    "sklearn",
    "matplotlib.pyplot",
    "scipy",
    "xarray",
    "h5py",
    "starlette",
)
SESSION_EDGES = {
    "session": set(),
    "trials": {"session"},
    "photometry": {"session"},
    "photometry_qc": {"photometry"},
    "preprocessed": {"photometry", "photometry_qc"},
    "responses": {"preprocessed", "trials"},
    "performance": {"session", "trials"},
    "wheel_velocity": {"session", "trials"},
    "video_qc": {"session"},
    "session_report": {"session"},
}
CHECKED = {
    "session",
    "trials",
    "photometry",
    "photometry_qc",
    "preprocessed",
    "performance",
    "video_qc",
}
OF_ALL_STAGES = {"qc_matrix", "errors"}
CATALOG_EDGES = {
    "sessions": {"session", "labels"},
    "qc_photometry": {"photometry_qc"},
    "performance_table": {"performance"},
    "trial_timing": {"trials"},
    "video": {"video_qc"},
    "labels": set(),
    "qc_matrix": {"sessions", "labels", *CHECKED} - {"session"},
    "qc_summary": {"qc_matrix", "sessions"},
    "errors": {"qc_matrix", "responses", "session_report"},
    "qc_dashboard": {"qc_matrix", "sessions", "errors"},
    "dataset_overview": {"qc_matrix", "sessions"},
}
COHORT_EDGES = {
    "response_kernels": {"sessions", "errors", "performance_table", "trials", "preprocessed"},
    "response_magnitudes": {
        "sessions",
        "errors",
        "performance_table",
        "trials",
        "responses",
        "preprocessed",
        "response_kernels",
    },
    "waveform_inference": {"response_kernels"},
    "mean_traces": {
        "sessions",
        "errors",
        "performance_table",
        "trials",
        "preprocessed",
        "responses",
    },
    "trial_regressors": {"sessions", "errors", "performance_table", "trials", "wheel_velocity"},
    "response_matrix": {"response_magnitudes"},
    "response_similarity": {"response_matrix"},
    "target_decoding": {"response_matrix"},
    "response_anova": {"response_magnitudes"},
    "response_lmm": {"response_magnitudes"},
    "movement_encoding": {"response_magnitudes", "trial_regressors"},
    "task_encoding": {"response_magnitudes", "performance_table"},
    "task_performance": {"sessions", "performance_table", "errors"},
    "qc_overview": {"sessions", "qc_photometry", "video"},
    "correction_benchmark": {"sessions", "errors", "performance_table", "trials", "photometry"},
}
FIGURE_EDGES = {
    "responses_figures": {
        "response_kernels",
        "waveform_inference",
        "mean_traces",
        "response_matrix",
        "response_similarity",
        "target_decoding",
        "response_lmm",
    },
    "example_session_figures": {"response_magnitudes"},
    "movement_encoding_figures": {"movement_encoding"},
    "task_encoding_figures": {"task_encoding"},
    "task_performance_figures": {"task_performance", "response_magnitudes"},
    "qc_overview_figures": {"qc_overview"},
    "corrections_figures": {"correction_benchmark"},
    "video_figures": {"video"},
}


@pytest.fixture(scope="module")
def graph():
    return build_defs(Settings()).resolve_asset_graph()


# what is declared ---------------------------------------------------------------------------


@pytest.mark.slow
def test_edges_are_those_of_the_design(graph):
    edges = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    for name, expected in (SESSION_EDGES | CATALOG_EDGES | COHORT_EDGES | FIGURE_EDGES).items():
        if name in OF_ALL_STAGES:  # a stage that the design does not name is upstream too
            assert edges[name] >= expected, name
        else:
            assert edges[name] == expected, name


def test_sessions_are_partitions_and_tables_are_not(graph):
    for name in SESSION_EDGES:
        assert graph.get(AssetKey(name)).partitions_def == SESSION_PARTITIONS, name
        assert graph.get(AssetKey(name)).backfill_policy is None, name
    for name in CATALOG_EDGES | COHORT_EDGES | FIGURE_EDGES:
        assert graph.get(AssetKey(name)).partitions_def is None, name
    assert [name for name in stage_names() if name in SESSION_EDGES] == list(SESSION_EDGES)


def test_every_asset_is_described_and_stored_at_a_declared_place(graph):
    places = {}
    for name in SESSION_EDGES | CATALOG_EDGES | COHORT_EDGES | FIGURE_EDGES:
        node = graph.get(AssetKey(name))
        assert node.description, name
        assert node.group_name != "default", name
        if name in ("labels", "qc_dashboard", "dataset_overview", *FIGURE_EDGES):
            continue
        places[name] = (
            node.metadata.get("file")
            or f"{node.metadata['folder']}:{node.metadata.get('h5_group', '')}"
        )
    assert len(set(places.values())) == len(places)
    for stage in all_stages():
        if stage.folder is None:
            metadata = graph.get(AssetKey(stage.name)).metadata
            assert (metadata["folder"], metadata["h5_group"]) == ("data/sessions", stage.h5_group)
        else:
            assert graph.get(AssetKey(stage.name)).metadata["folder"] == stage.folder
            table = graph.get(AssetKey(stage.name)).metadata.get("table")
            assert TABLES.get(table) is stage.table


def test_columns_of_tables_are_shown_with_type_words_and_constraints(graph):
    for name in ("session", "photometry", "performance", "video_qc", "sessions", "qc_matrix"):
        shown = graph.get(AssetKey(name)).metadata["dagster/column_schema"].columns
        table = TABLES[graph.get(AssetKey(name)).metadata["table"]]
        assert [column.name for column in shown] == table.names
        assert all(column.description for column in shown)
        nullable = {column.name: column.constraints.nullable for column in shown}
        assert nullable == {column.name: column.nullable for column in table.columns}


def test_every_rule_of_a_session_is_a_partitioned_check_of_its_asset(graph):
    specs = {key: graph.get_check_spec(key) for key in graph.asset_check_keys}
    for rule in running_rules():
        spec = specs.pop(dg.AssetCheckKey(AssetKey(rule.asset), rule.name))
        if rule.asset in checked_stages():
            assert spec.partitions_def == SESSION_PARTITIONS
            assert spec.blocking is (rule.severity == "BLOCK")
        else:
            assert spec.partitions_def is None
    of_analyses = {
        (check.name, declared.name) for declared in registry.ANALYSES for check in declared.checks
    }
    assert {(key.name, key.asset_key.to_user_string()) for key in specs} == {
        ("pass_share", "qc_summary"),
        *of_analyses,
    }
    assert set(checked_stages()) >= CHECKED


@pytest.mark.slow
def test_an_asset_without_a_declared_place_is_refused():
    @dg.asset
    def homeless():
        return 1

    resources = build_defs(Settings()).resources
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [homeless], resources=resources, instance=instance, raise_on_error=False
        )
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    error = failure.step_failure_data.error
    message = (error.cause or error).message
    assert "homeless declares no io_manager_key" in message
    assert not result.asset_materializations_for_node("homeless")


# what loading it costs and needs ------------------------------------------------------------


def run_python(code: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, **options
    )


@pytest.mark.slow
@pytest.mark.parametrize("module", ["iblnm_dagster.definitions", "iblnm_dagster.cli"])
def test_loading_imports_nothing_heavy(module):
    code = f"import sys, {module}; print(*sys.modules)"
    imported = run_python(code).stdout.split()
    assert "iblnm.config" in imported
    assert [name for name in HEAVY if name in imported] == []


def test_importing_the_library_imports_neither_dagster_nor_pandas():
    imported = run_python("import sys, iblnm; print(*sys.modules)").stdout.split()
    assert [n for n in (*HEAVY, "dagster", "pandas", "numpy", "pydantic") if n in imported] == []


@pytest.mark.slow
def test_importing_the_definitions_creates_nothing(tmp_path):
    environment = {**os.environ, "IBLNM_ROOT": str(tmp_path / "root")}
    run_python("import iblnm_dagster.definitions", cwd=tmp_path, env=environment)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_dagster_finds_valid_definitions_in_a_checkout(tmp_path):
    for name in ("dagster.yaml", "workspace.yaml", "pyproject.toml"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    environment = {k: v for k, v in os.environ.items() if k != "DAGSTER_HOME"}
    run = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "All code locations passed validation" in run.stdout + run.stderr


def test_workspace_and_project_name_the_same_definitions():
    import tomllib

    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())
    assert workspace == {"load_from": [{"python_module": "iblnm_dagster.definitions"}]}
    tool = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
    assert tool["dagster"]["module_name"] == "iblnm_dagster.definitions"
    assert tool["dg"]["project"]["code_location_target_module"] == "iblnm_dagster.definitions"


def test_the_instance_of_another_root_is_configured_like_that_of_a_checkout():
    shipped = yaml.safe_load((REPOSITORY / "iblnm_dagster" / "instance.yaml").read_text())
    config = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    assert shipped == config
    assert config["telemetry"] == {"enabled": False}
    assert config["storage"]["custom"]["config"] == {"base_dir": ".dagster"}
    assert config["run_retries"]["retry_on_asset_or_op_failure"] is False


# rules of the source ------------------------------------------------------------------------


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.slow
def test_the_library_knows_nothing_of_the_orchestration():
    assert len(LIBRARY) > 50
    forbidden = {"dagster", "dagster_pandas", "iblnm_dagster"}
    found = {path.name: names for path in LIBRARY if (names := imports_of(path) & forbidden)}
    assert found == {}


@pytest.mark.slow
def test_the_orchestration_computes_nothing():
    assert len(GRAPH) > 20
    forbidden = {"numpy", "scipy", "xarray", "h5py", "statsmodels", "sklearn", "one", "matplotlib"}
    found = {path.name: names for path in GRAPH if (names := imports_of(path) & forbidden)}
    assert found == {"xarray_imports.py": {"xarray"}}


@pytest.mark.parametrize("folder", ["iblnm", "iblnm_dagster", "tests", "benchmarks"])
def test_modules_are_short(folder):
    lengths = {
        str(path.relative_to(REPOSITORY)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (REPOSITORY / folder).rglob("*.py")
    }
    assert lengths
    assert {name: n for name, n in lengths.items() if n > 500} == {}


# what rests on Dagster's preview ------------------------------------------------------------


def test_checks_per_partition_are_still_a_preview_of_this_dagster():
    """When this fails, look at partitioned checks and at the pin of Dagster in pyproject.toml."""
    version = tuple(int(part) for part in metadata.version("dagster").split(".")[:3])
    assert (1, 13, 27) <= version < (1, 14), f"Dagster {version}: read its notes on checks"
    with pytest.warns(dg.PreviewWarning, match="partitions_def on an AssetCheckSpec"):
        spec = dg.AssetCheckSpec("canary", asset="session", partitions_def=SESSION_PARTITIONS)
    assert spec.partitions_def == SESSION_PARTITIONS
