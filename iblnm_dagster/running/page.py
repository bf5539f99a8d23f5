"""The page with what belongs to it: daemon, viewer, the process that runs are forked from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import click

from iblnm.config import Settings
from iblnm.errors import IblnmError
from iblnm.viewer.server import is_free, port_of
from iblnm_dagster.instance import open_instance, storage_dir
from iblnm_dagster.launcher import start_beside
from iblnm_dagster.page_links import LOCAL, choose_port, port_argument, remember_page
from iblnm_dagster.running.supervisor import supervise

_HELD: list[object] = []


def run_page(settings: Settings, arguments: Sequence[str]) -> None:
    """Run ``dagster dev`` until it ends or is told to; where processes fork, does not return.

    Parameters
    ----------
    settings : Settings
    arguments : sequence of str
        Further arguments of ``dagster dev``.
    """
    open_instance(settings).dispose()
    _take_the_root(settings)
    port = choose_port(arguments, settings)
    if urlsplit(settings.dagster_url).hostname in LOCAL:
        # links of the viewer and of what is made while the page is open lead here
        os.environ["IBLNM_DAGSTER_URL"] = url = f"http://127.0.0.1:{port}"
        remember_page(settings, url)
        click.echo(f"page             {url}  (runs: Overview; assets: Catalog, Lineage)")
    os.chdir(settings.root)
    os.environ.setdefault("IBLNM_ROOT", str(settings.root))
    # else Dagster keeps its files in a folder that it removes, and says so
    os.environ["DAGSTER_HOME"] = str(settings.root.resolve())
    services = "iblnm_dagster.workarounds.dev_services"
    dagster = [sys.executable, "-m", services, "-h", "127.0.0.1"]
    command = [*dagster, "-m", "iblnm_dagster.definitions", *arguments]
    if port_argument(arguments) is None:
        command += ["-p", str(port)]

    def begin() -> Callable[[], None]:
        _start_viewer(settings)
        return start_beside()

    if hasattr(os, "fork"):
        supervise(command, begin)
    else:
        begin()
        raise SystemExit(subprocess.call(command))


def _take_the_root(settings: Settings) -> None:
    """One page a root: two daemons would start every run twice.

    Raises
    ------
    IblnmError
        If another process has it. The system frees it when that has ended, however it ends.
    """
    import filelock

    lock = filelock.FileLock(storage_dir(settings) / "page.lock", blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise IblnmError(
            f"`iblnm dev` is running already on {settings.root}: end it first, or choose another "
            "root (IBLNM_ROOT)"
        ) from None
    _HELD.append(lock)


def _start_viewer(settings: Settings) -> None:
    """The viewer in a process of its own, which ends with this one."""
    if urlsplit(settings.viewer_url).hostname not in LOCAL:
        return
    port = port_of(settings.viewer_url)
    if not is_free(port):
        click.echo(f"port {port} is in use: no viewer is started (IBLNM_VIEWER_URL)", err=True)
        return
    click.echo(f"viewer           {settings.viewer_url}")
    command = [sys.executable, "-m", "iblnm.viewer", "--with-parent"]
    subprocess.Popen([*command, "-p", str(port)], stdout=subprocess.DEVNULL)
