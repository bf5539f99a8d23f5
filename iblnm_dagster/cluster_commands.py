"""Commands for a cluster."""

from __future__ import annotations

import os
from pathlib import Path

import click

from iblnm.config import get_settings


@click.group()
def cluster() -> None:
    """Work sessions off on many machines."""


@cluster.command()
@click.option(
    "--tasks",
    type=click.IntRange(1),
    required=True,
    help="Parts that the sessions are shared out to; each is one task of the job array.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the scripts and the logs go.  [default: the folder slurm of the root]",
)
@click.option(
    "--sbatch",
    "options",
    multiple=True,
    help="A further option of sbatch for both scripts, as --sbatch=--partition=short; repeatable.",
)
def slurm(tasks: int, folder: Path | None, options: tuple[str, ...]) -> None:
    """Write the scripts for Slurm: a job array, and a job that follows it.

    The array runs the sessions that are missing, the job after it makes the tables over all
    sessions. Both have the root and the settings (IBLNM_*) of this command's environment, but
    no password. The last line printed submits them.
    """
    from iblnm_dagster.slurm import (
        Job,
        open_variables,
        secret_variables,
        submission,
        write_scripts,
    )

    settings = get_settings()
    job = Job(settings.root.resolve(), Path.cwd(), open_variables(os.environ), options)
    array, following = write_scripts(job, tasks, folder or settings.root / "slurm")
    for name in sorted(secret_variables() & set(os.environ)):
        click.echo(f"warning: {name} is a password and is not written", err=True)
    click.echo(f"array            {array}")
    click.echo(f"after it         {following}")
    click.echo(f"submit           {submission(array, following)}")
