"""The Dagster instance of a root: the same one for `dagster dev`, the command and the workers."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import yaml
from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef

from iblnm.config import Settings
from iblnm.storage.atomic import write_whole
from iblnm_dagster.workarounds.root_storage import RootStorage
from iblnm_dagster.workarounds.run_origin import show_own_runs

# as earlier versions wrote it, and nobody has changed it since: gets the present one
_EARLIER = {
    "089e6d8ae97df604c3be34ded95e1108b867caa3df27ade729f4910f5c962c7a",
    "62f9a9b10d5a8b09d9b5b6afa068ba4aa80f146f2f563962b695aaa759aeb8a0",
    "fed21203b11050b941765dabe08b1bac392d872725112089bc84350f6c0286b4",
    "3e9a8cf0e14e2d4d738018a6a19bf60d4c38f1c9a177666035ab46fbbe84b86b",
    "5e4830fa886a5b93e3983939b14d2330f0e3f32f79a2b9daa682be8c8f500b9b",
}
_RENAMED = {
    "iblnm_dagster.storage_workaround": "iblnm_dagster.workarounds.sqlite_storage",
    "iblnm_dagster.workarounds.sqlite_storage\n    class: SqliteStorage": (
        "iblnm_dagster.workarounds.root_storage\n    class: RootStorage"
    ),
}


def storage_dir(settings: Settings) -> Path:
    """Folder of the instance's databases."""
    return settings.root / ".dagster"


def open_instance(settings: Settings) -> DagsterInstance:
    """Open the instance of the settings' root, from any working directory.

    A root without a ``dagster.yaml`` (any folder other than a checkout) gets one.

    Raises
    ------
    SettingsError
        If the root has its history elsewhere; see `iblnm_dagster.history`.
    """
    config = settings.root / "dagster.yaml"
    if not config.exists():
        with write_whole(config) as path:  # another that begins now reads all of it, or none
            path.write_bytes(_shipped())
    _renew(config)
    folder = storage_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    storage = yaml.safe_load(config.read_text())["storage"]
    if "custom" in storage and "base_dir" in storage["custom"].get("config", {}):
        storage["custom"]["config"]["base_dir"] = str(folder)
        if storage["custom"]["class"] == RootStorage.__name__:
            # these settings, also in processes that have others in their environment
            file = settings.pg_url_file
            storage["custom"]["config"]["address_file"] = str(file.resolve()) if file else ""
    reference = InstanceRef.from_dir(
        str(folder), config_dir=str(settings.root), overrides={"storage": storage}
    )
    return show_own_runs(DagsterInstance.from_ref(reference))


def _shipped() -> bytes:
    return (files("iblnm_dagster") / "instance.yaml").read_bytes()


def _renew(config: Path) -> None:
    content = renewed = config.read_bytes()
    if hashlib.sha256(content).hexdigest() in _EARLIER:
        renewed = _shipped()
    for before, now in _RENAMED.items():
        renewed = renewed.replace(before.encode(), now.encode())
    if renewed != content:
        with write_whole(config) as path:
            path.write_bytes(renewed)
