"""The command that writes the reference of what is declared."""

from __future__ import annotations

from pathlib import Path

import click

from iblnm.config import get_settings


@click.command()
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write one file per subject into this folder.  [default: print them]",
)
def reference(folder: Path | None) -> None:
    """Describe all rules, metrics, stages, analyses and tables, as markdown.

    Limits are those under the settings.
    """
    from iblnm.reference import reference_pages, write_reference

    settings = get_settings()
    if folder is None:
        click.echo("\n".join(reference_pages(settings).values()))
        return
    for path in write_reference(folder, settings):
        click.echo(str(path))
