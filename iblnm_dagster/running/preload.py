"""Importing all that a run may need, before there is a run."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import RepositoryDefinition

OUR_MODULE = "iblnm_dagster.definitions"
ENDING_S = 3.0
_PACKAGES = ("iblnm", "iblnm_dagster")
_POSTGRES = "iblnm_dagster.workarounds.postgres_storage"  # an extra may lack
_NOT_FOR_RUNS = (
    "iblnm.demo",
    "iblnm.gui",
    "iblnm.viewer",
    "iblnm_dagster.cli",
    "iblnm_dagster.running.fork_server",
    "iblnm_dagster.running.page",
    _POSTGRES,
)
_FOR_ANY_RUN = ("iblnm_dagster.running.forked_run", "iblnm_dagster.workarounds.root_storage")
# what functions of ours import when they run
_DEPENDENCIES = (
    "h5py",
    "matplotlib.pyplot",
    "one.api",
    "one.alf.io",
    "pandera.pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.interpolate",
    "scipy.optimize",
    "scipy.signal",
    "scipy.stats",
    "sklearn.decomposition",
    "sklearn.linear_model",
    "statsmodels.api",
    "xarray",
)


def import_all(module: str) -> RepositoryDefinition:
    """Import a code location and what its runs need, and resolve its jobs.

    Parameters
    ----------
    module : str
        Module with an attribute ``defs``. For that of iblnm, the packages and their dependencies
        are imported too.

    Returns
    -------
    RepositoryDefinition
    """
    definitions = importlib.import_module(module).defs
    for name in _FOR_ANY_RUN:
        importlib.import_module(name)
    if module == OUR_MODULE:
        _import_ours()
    repository = definitions.get_repository_def()
    for name in repository.job_names:
        repository.get_job(name)
    return repository


def _import_ours() -> None:
    from iblnm_dagster.workarounds.xarray_imports import keep_dask_and_sparse_out

    keep_dask_and_sparse_out()
    for root in _PACKAGES:
        package = sys.modules[root]
        for found in pkgutil.walk_packages(package.__path__, f"{root}."):
            if not found.name.startswith(_NOT_FOR_RUNS):
                importlib.import_module(found.name)
    from iblnm.config import get_settings

    storage = (_POSTGRES,) if get_settings().pg_url_file is not None else ()
    for name in (*_DEPENDENCIES, *storage):
        importlib.import_module(name)
