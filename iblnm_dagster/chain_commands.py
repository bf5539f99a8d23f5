"""The command that compares corrections of the signal on stored sessions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from iblnm.config import Settings, get_settings
from iblnm_dagster.options import eids_option
from iblnm_dagster.own_archive import TellingCommand

if TYPE_CHECKING:
    import pandas as pd

TABLE = "corrections/compared_chains.pqt"


class ChainsCommand(TellingCommand):
    """A command whose help ends with the chains, as they are declared."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from iblnm.signal.chains import CHAINS

        with formatter.section("Chains"):
            formatter.write_dl([(chain.name, chain.description) for chain in CHAINS])


@click.command("compare-chains", cls=ChainsCommand)
@eids_option("all with a signal")
@click.option(
    "--chain",
    "names",
    multiple=True,
    help="Only this chain, and the documented one; may be given several times.  [default: all]",
)
@click.option(
    "--to",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The parquet table.  [default: results/{TABLE} of the root]",
)
def compare_chains(eids: Path | None, names: tuple[str, ...], path: Path | None) -> None:
    """Write the early response of each recording and event under each correction.

    Signals are corrected anew from the raw bands; session files stay as they are. A session
    that cannot be compared is named with the reason, and the exit code is then 1.
    """
    from iblnm.analysis.corrections import magnitudes
    from iblnm.io.text import read_eid_list
    from iblnm.signal.chains import (
        DOCUMENTED,
        MissingChainPackageError,
        find_chain,
        usable_chains,
    )
    from iblnm.storage.store import SessionStore

    settings = get_settings()
    store = SessionStore(settings)
    try:
        wanted = [find_chain(name) for name in dict.fromkeys((DOCUMENTED, *names))]
        for chain in wanted if names else ():
            chain.correct(settings.chains)
    except (ValueError, MissingChainPackageError) as error:
        click.echo(f"iblnm: {error}", err=True)
        raise SystemExit(2) from error
    chains, notes = (tuple(wanted), []) if names else usable_chains()
    for note in notes:
        click.echo(note, err=True)
    chosen = store.eids("photometry") if eids is None else read_eid_list(eids)
    with click.progressbar(chosen, file=sys.stderr) as eids_left:
        table, skipped = magnitudes.compare_chains(store, eids_left, settings, chains)
    for eid, reason in skipped.sessions.items():
        click.echo(f"{eid}  not compared: {reason}", err=True)
    if table.empty:
        click.echo("iblnm: no session has a signal and trials; nothing written", err=True)
        raise SystemExit(1)
    written = write_magnitudes(table, path or settings.results_dir / TABLE, settings)
    for line in summary_lines(table, settings):
        click.echo(line)
    click.echo(f"{len(chosen) - len(skipped.sessions)} of {len(chosen)} sessions: {written}")
    if skipped.sessions:
        raise SystemExit(1)


def write_magnitudes(table: pd.DataFrame, path: Path, settings: Settings) -> Path:
    """Write the table of magnitudes whole, with the parameters it was made with."""
    from iblnm.analysis.corrections.tables import CHAIN_MAGNITUDES
    from iblnm.storage.parquet import write_table
    from iblnm.storage.provenance import Provenance

    parameters = {
        "chains": settings.chains.model_dump(mode="json"),
        "signal": settings.signal.model_dump(mode="json"),
        "min_coverage": settings.cohort.min_coverage,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(
        CHAIN_MAGNITUDES.validate(table), path, provenance=Provenance(parameters=parameters)
    )
    return path


def summary_lines(table: pd.DataFrame, settings: Settings) -> list[str]:
    """How often each chain differs from the documented one, in words."""
    from iblnm.signal.chains import DOCUMENTED

    limit = settings.chains.max_disagreement
    lines = []
    for name, own in table[table["chain"] != DOCUMENTED].groupby("chain", sort=False):
        known = own["difference"].dropna().abs()
        without = int((own["n_trials"] == 0).sum())
        if len(known):
            text = (
                f"median difference {known.median():.0%}, more than {limit:.0%} in "
                f"{int((known > limit).sum())} of {len(known)}"
            )
        else:
            text = "no response to compare"
        lines.append(f"{name:<30} {text}{f', {without} without magnitude' if without else ''}")
    return lines
