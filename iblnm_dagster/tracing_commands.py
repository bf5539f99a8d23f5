"""Commands that say where an output comes from."""

from __future__ import annotations

from pathlib import Path

import click

from iblnm.config import get_settings


@click.command()
@click.argument("what")
def trace(what: str) -> None:
    """Say what a figure was made from, or what was made from a session.

    WHAT is a file below figures/, for the chain from its tables to the raw files with their
    hashes; or an eid, for its assets, tables and figures.
    """
    from iblnm.analysis.tracing import trace_figure, trace_session

    is_file = Path(what).suffix != "" or Path(what).exists()
    lines = (trace_figure if is_file else trace_session)(what, get_settings())
    click.echo("\n".join(lines))


@click.command()
@click.argument("eid")
@click.argument("figure", required=False)
def why(eid: str, figure: str | None) -> None:
    """Say why a session is or is not in the analyses: criterion, checks, labels.

    FIGURE is the name or the file of a figure, for the analysis behind it alone.
    """
    from iblnm.analysis.tracing import why as reasons

    click.echo("\n".join(reasons(eid, get_settings(), figure)))
