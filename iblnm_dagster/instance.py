"""The Dagster instance of a root: the same one for `dagster dev`, the command and the workers."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml
from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef

from iblnm.config import Settings
from iblnm.storage.atomic import write_whole

_RENAMED = {"iblnm_dagster.storage_workaround": "iblnm_dagster.workarounds.sqlite_storage"}


def storage_dir(settings: Settings) -> Path:
    """Folder of the instance's databases."""
    return settings.root / ".dagster"


def open_instance(settings: Settings) -> DagsterInstance:
    """Open the instance of the settings' root, from any working directory.

    A root without a ``dagster.yaml`` (any folder other than a checkout) gets one.
    """
    config = settings.root / "dagster.yaml"
    if not config.exists():
        settings.root.mkdir(parents=True, exist_ok=True)
        config.write_bytes((files("iblnm_dagster") / "instance.yaml").read_bytes())
    _follow_renamed_modules(config)
    folder = storage_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    storage = yaml.safe_load(config.read_text())["storage"]
    if "custom" in storage and "base_dir" in storage["custom"].get("config", {}):
        storage["custom"]["config"]["base_dir"] = str(folder)
    reference = InstanceRef.from_dir(
        str(folder), config_dir=str(settings.root), overrides={"storage": storage}
    )
    return DagsterInstance.from_ref(reference)


def _follow_renamed_modules(config: Path) -> None:
    text = renewed = config.read_text(encoding="utf-8")
    for before, now in _RENAMED.items():
        renewed = renewed.replace(before, now)
    if renewed != text:
        with write_whole(config) as path:
            path.write_text(renewed, encoding="utf-8")
