"""Commands and help that follow from what is declared."""

from __future__ import annotations

from pathlib import Path

import click

from iblnm.config import get_settings
from iblnm_dagster.own_archive import TellingCommand


class AnalyseCommand(TellingCommand):
    """A command whose help ends with the analyses, as they are declared now."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from iblnm.analysis import registry

        rows = [(entry.name, entry.text.split("\n")[0]) for entry in registry.ANALYSES]
        with formatter.section("Analyses"):
            formatter.write_dl(rows)
        folders = registry.figure_folders()
        with formatter.section("Figures"):
            formatter.write_dl([(f"{name}_figures", ", ".join(folders[name])) for name in folders])


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
