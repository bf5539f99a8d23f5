"""Commands that write sessions as files of other formats."""

from __future__ import annotations

from pathlib import Path

import click

from iblnm.config import get_settings
from iblnm.constants import CURVE_WINDOW
from iblnm.errors import IblnmError
from iblnm_dagster.options import eids_option
from iblnm_dagster.own_archive import TellingCommand


@click.group()
def export() -> None:
    """Write processed sessions in other formats."""


@export.command(cls=TellingCommand)
@eids_option("all that are processed")
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the dandiset; files of an earlier export are replaced.",
)
@click.option("--responses", is_flag=True, help="Also the peri-event responses.")
@click.option("--names", is_flag=True, help="Name the experimenters.")
def nwb(eids: Path | None, folder: Path, responses: bool, names: bool) -> None:
    """Write one NWB file per processed session, as DANDI takes it.

    Needs the extra nwb: pip install 'iblnm[nwb]'. A line per session says what its file does
    not have. The exit code is 1 if a session could not be written.
    """
    from iblnm.archive.connection import connect
    from iblnm.export.nwb import MissingExtraError, export_session, require_nwb
    from iblnm.io.text import read_eid_list
    from iblnm.storage.store import SessionStore

    try:
        require_nwb()
    except MissingExtraError as error:
        click.echo(f"iblnm: {error}", err=True)
        raise SystemExit(2) from error
    settings = get_settings()
    chosen = SessionStore(settings).eids("session") if eids is None else read_eid_list(eids)
    one = connect(settings)
    n_failed = 0
    for eid in chosen:
        try:
            written = export_session(
                one, eid, settings, folder, with_responses=responses, with_names=names
            )
        except IblnmError as error:
            n_failed += 1
            click.echo(f"{eid}  not written: {error}", err=True)
            continue
        place = written.path.relative_to(folder)
        without = f"  without {'; '.join(written.left_out)}" if written.left_out else ""
        click.echo(f"{eid}  {place}  {written.n_bytes / 1e6:.1f} MB{without}")
    click.echo(f"{len(chosen) - n_failed} of {len(chosen)} sessions written to {folder}")
    if n_failed:
        raise SystemExit(1)


@export.command(cls=TellingCommand)
@click.option(
    "--to",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The CSV file; beside it one with the times of the samples.",
)
@click.option("--event", default="stimOn_times", show_default=True, help="Event of the curves.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="Only this target, for example VTA-DA; may be given several times.",
)
@click.option(
    "--window",
    nargs=2,
    type=float,
    default=CURVE_WINDOW,
    show_default=True,
    help="Start and end of the curves from the event, s.",
)
def fastfmm(path: Path, event: str, targets: tuple[str, ...], window: tuple[float, float]) -> None:
    """Write the trials of the cohort with their curves, as the R package fastFMM reads them.

    One row per recording and trial, the samples as photometry_1, photometry_2, ...
    """
    from iblnm.export.fastfmm import times_path, wide_table, write_wide_table

    found = wide_table(get_settings(), event, targets=targets or None, window=window)
    for note in found.skipped.notes():
        click.echo(note, err=True)
    if found.table.empty:
        click.echo("iblnm: no selected trial has a whole curve; nothing written", err=True)
        raise SystemExit(1)
    write_wide_table(found, path)
    table = found.table
    click.echo(
        f"{len(table)} trials of {table['eid'].nunique()} sessions and {table['id'].nunique()} "
        f"mice, {len(found.times)} samples, written to {path} (times: {times_path(path).name}); "
        f"{found.n_incomplete} trials with missing samples left out"
    )
    formula = "photometry ~ contrast_coded * side_coded + (1 | id)"
    click.echo(f'In R: fastFMM::fui({formula}, data = read.csv("{path.name}"))')
