"""The command `iblnm`."""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime
from pathlib import Path

import click

from iblnm.config import Settings, get_settings
from iblnm.errors import IblnmError, SettingsError
from iblnm.pipeline.hand_made import read_hand_made
from iblnm.setting_mistakes import misspelt_variables
from iblnm_dagster.batch_command import (
    process,
    summary_text,
    update_catalogue,
    warn_if_empty,
)
from iblnm_dagster.chain_commands import compare_chains
from iblnm_dagster.cluster_commands import cluster
from iblnm_dagster.declared import AnalyseCommand, reference
from iblnm_dagster.export_commands import export
from iblnm_dagster.options import eids_option
from iblnm_dagster.own_archive import TellingCommands, describe_place, init, ready_tables
from iblnm_dagster.tracing_commands import trace, why


@click.group(
    cls=TellingCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99},
)
def cli() -> None:
    """Fiber-photometry pipeline of the IBL neuromodulators project.

    Settings come from environment variables IBLNM_* or a file .env; without any, the
    commands work on the simulated demo archive.
    """
    for sentence in misspelt_variables(Settings):
        click.echo(f"warning: {sentence}", err=True)


@cli.command()
@click.option("--workers", default=2, show_default=True, help="Worker processes.")
@click.option("--here", is_flag=True, help="Write into the current folder, which must be empty.")
def demo(workers: int, here: bool) -> None:
    """Build the demo archive, process all its sessions, and print a summary.

    A second run does only what is missing.
    """
    settings = _settings_here() if here else get_settings()
    if not settings.is_demo:
        raise click.UsageError(
            "the settings point at another archive (IBLNM_ONE_MODE or IBLNM_ONE_CACHE_DIR is "
            "set); for that one, use `iblnm batch`"
        )
    from iblnm.demo import ensure_demo

    started = time.perf_counter()
    click.echo(f"Demo archive: {settings.cache_dir}")
    ensure_demo(settings)
    click.echo("Some of its sessions are damaged or break a rule on purpose: .demo/truth.json")
    process(settings, workers=workers)
    click.echo(f"total time       {time.perf_counter() - started:.0f} s")
    click.echo("next             make dev (or: iblnm dev), then open http://127.0.0.1:3000;")
    click.echo("                 make figures (or: iblnm analyse) for the analyses of the cohort")


@cli.command()
@click.option(
    "--missing",
    "which",
    flag_value="missing",
    default="missing",
    help="New sessions and those whose content or masks changed. [default]",
)
@click.option("--failed", "which", flag_value="failed", help="Latest run failed or blocked.")
@click.option("--all", "which", flag_value="all", help="Every known session.")
@eids_option()
@click.option(
    "--assets", help="Only these assets, comma-separated, for example trials,wheel_velocity."
)
@click.option("--check", help="Only this check, from what is stored.")
@click.option("--checks-only", is_flag=True, help="Only the checks, from what is stored.")
@click.option("--workers", default=2, show_default=True, help="Worker processes.")
@click.option(
    "--shard",
    help="Part i/n (i from 1) of the sessions, for a cluster's job array; the tables are left "
    "to `iblnm catalogue`.",
)
@click.option(
    "--catalogue/--no-catalogue",
    "catalog",
    default=None,
    help="Update the tables afterwards.  [default: yes, but not with --shard]",
)
@click.option("--subject", help="Of those, only the sessions of this animal.")
@click.option("--since", help="Of those, only from this day on, as 2024-03-05.")
@click.option("--until", help="Of those, only up to this day.")
@click.option(
    "--stale",
    is_flag=True,
    help="Only the assets that are out of date, made with other settings, methods, files or "
    "labels than today's, and what rests on those that come out different.",
)
@click.option("--dry-run", is_flag=True, help="With --stale: say what is out of date, and why.")
@click.option(
    "--make-tables",
    is_flag=True,
    help="For a folder without tables of ONE: make them beside the outputs, without asking.",
)
def batch(
    which: str,
    eids: Path | None,
    assets: str | None,
    check: str | None,
    checks_only: bool,
    workers: int,
    shard: str | None,
    catalog: bool | None,
    stale: bool,
    dry_run: bool,
    make_tables: bool,
    **within: str | None,
) -> None:
    """Run many sessions in warm workers.

    New sessions of the archive are discovered first. Ctrl-C finishes the sessions in hand.
    The exit code is 1 if something broke (an unexpected error, a worker that died), and 0
    if every session was processed, even where a rule blocked it or its files are damaged.
    """
    settings = get_settings()
    if dry_run and not stale:
        raise click.UsageError("--dry-run goes with --stale")
    if stale and (assets or check or checks_only or which == "failed"):
        raise click.UsageError("--stale chooses the assets itself: leave the other choices out")
    ready_tables(settings, make=make_tables)
    process(
        settings,
        which=which,
        eids=eids,
        assets=assets,
        check=check,
        checks_only=checks_only,
        workers=workers,
        shard=shard,
        catalog=catalog,
        stale=stale,
        dry_run=dry_run,
        within=within,
    )


@cli.command()
@click.option(
    "--add-folders",
    is_flag=True,
    help="First add the session folders that the tables of a local archive do not list.",
)
def sync(add_folders: bool) -> None:
    """Look for new, changed and withdrawn sessions now, and say what waits for a run."""
    from iblnm.archive.sync_state import open_state
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.resources import Archive
    from iblnm_dagster.selection import changed_sessions, discover_sessions

    settings = get_settings()
    ready_tables(settings, make=False)
    if add_folders:
        _add_folders(settings)
    with open_instance(settings) as instance:
        new = discover_sessions(instance, Archive(settings))
        waiting = changed_sessions(instance, settings)
    counts = open_state(settings).counts()
    warn_if_empty(settings, counts["known"])
    click.echo(
        f"{counts['known']} sessions in the archive, {len(waiting)} of them new or changed and "
        f"not yet run; {counts['withdrawn']} withdrawn"
    )
    click.echo(f"{len(new)} new sessions")
    if settings.one_mode == "local" and not add_folders:
        _tell_of_unlisted_folders(settings)


@cli.command("catalogue")
def catalog() -> None:
    """Rebuild the tables over all sessions."""
    from iblnm_dagster.instance import open_instance

    settings = get_settings()
    with open_instance(settings) as instance:
        update_catalogue(settings, instance)


@cli.command(cls=AnalyseCommand)
@click.argument("names", nargs=-1)
@click.option(
    "--stale",
    is_flag=True,
    help="Only what is out of date, made with other settings, methods or tables than today's, "
    "and what rests on those that come out different.",
)
@click.option("--dry-run", is_flag=True, help="With --stale: say what is out of date, and why.")
@click.option("--workers", type=int, help="Worker processes.  [default: one per core]")
def analyse(names: tuple[str, ...], stale: bool, dry_run: bool, workers: int | None) -> None:
    """Make the analyses of the cohort and their figures.

    NAMES are assets of the groups cohort and cohort_figures, for example response_lmm; what
    they start from is made too. Without any, all are made.
    """
    from iblnm_dagster.analyse import analyse as run_analyses
    from iblnm_dagster.analyse import stale_analyses
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.running.side_by_side import default_workers

    if dry_run and not stale:
        raise click.UsageError("--dry-run goes with --stale")
    settings = get_settings()
    started = time.perf_counter()
    read_hand_made(settings)
    with open_instance(settings) as instance:
        if dry_run:
            found = stale_analyses(settings, instance, names)
            lines = [f"{item.asset:<24}{item.why}" for item in found]
            none = "nothing that was made is out of date; what was never made is not told here"
            click.echo("\n".join(lines or [none]))
            return
        options = {"stale": stale, "workers": workers or default_workers()}
        succeeded = run_analyses(settings, instance, names, report=click.echo, **options)
    seconds = time.perf_counter() - started
    click.echo(f"tables       {settings.results_dir}")
    click.echo(f"figures      {settings.figures_dir}")
    click.echo(f"total time   {seconds:.0f} s")
    if not succeeded:
        raise SystemExit(1)


@cli.command()
def summary() -> None:
    """Print where the sessions stand."""
    from iblnm_dagster.instance import open_instance

    settings = get_settings()
    with open_instance(settings) as instance:
        click.echo(summary_text(instance, settings))


@cli.command()
@eids_option()
@click.option("--project", help="The sessions of this project.  [default: that of the settings]")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), help="Only sessions that began on or after."
)
@click.option("--datasets", is_flag=True, help="Also the files that the pipeline opens.")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Root of the archive.  [default: IBLNM_ONE_CACHE_DIR]",
)
def mirror(
    eids: Path | None,
    project: str | None,
    since: datetime | None,
    datasets: bool,
    folder: Path | None,
) -> None:
    """Copy sessions of a remote Alyx into a folder, to work with them off line.

    Interrupted and run again, it goes on where it was. Run again after that, it asks for all
    records anew and fetches the files that are new or changed.
    """
    settings = get_settings()
    if settings.one_mode != "remote":
        raise click.UsageError("set IBLNM_ONE_MODE=remote and the address of an Alyx server")
    if eids is not None and (project or since):
        raise click.UsageError("choose by --eids, or by --project and --since")
    from iblnm.archive.mirror import choose_sessions, mirror_sessions
    from iblnm.archive.remote import open_remote
    from iblnm.io.text import read_eid_list

    chosen = None if eids is None else read_eid_list(eids)
    one = open_remote(settings)
    if chosen is None:
        wanted = settings.model_copy(update={"project": project or settings.project})
        day = None if since is None else since.date()
        chosen = choose_sessions(one, wanted.project, day)
        if since is None:
            warn_if_empty(wanted, len(chosen))
    folder = folder or settings.cache_dir
    try:
        with click.progressbar(length=len(chosen), label="sessions", show_pos=True) as bar:
            report = mirror_sessions(
                one, chosen, folder, datasets=datasets, progress=lambda done, total: bar.update(1)
            )
    except KeyboardInterrupt:
        click.echo("\ninterrupted; run it again to go on", err=True)
        raise SystemExit(130) from None
    for message in report.failures.values():
        click.echo(message, err=True)
    click.echo(report.summary(folder))
    if report.failures:
        raise SystemExit(1)


@cli.command()
@click.option("--subject", help="Only of this animal.")
@click.option("--task", help="Only this task, for example ALIGN.")
def histology(subject: str | None, task: str | None) -> None:
    """List what is to be done in histology, by task, animal and date.

    Of a root of the data layers (IBLNM_LAYERS__ENABLED=true), once its tables are made.
    """
    from iblnm.layers.insertions import todo_text

    click.echo(todo_text(get_settings().metadata_dir, subject, task))


@cli.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Delete all outputs and the Dagster history under the root; archives are not touched."""
    from iblnm_dagster.instance import storage_dir

    settings = get_settings()
    tracked = settings.metadata_dir / "fibers.csv"
    doomed = [
        path
        for path in (
            settings.data_dir,
            settings.results_dir,
            settings.figures_dir,
            settings.remembered_dir,
            storage_dir(settings),
            *sorted(settings.metadata_dir.glob("*")),
        )
        if path.exists() and path != tracked and path.name != "labels.csv"
    ]
    database = settings.pg_url_file
    if not doomed and database is None:
        click.echo(f"nothing to delete under {settings.root}")
        return
    shared = [] if database is None else [f"the tables of the database of {database}"]
    click.echo("\n".join([*map(str, doomed), *shared]))
    if not yes:
        click.confirm("Delete these?", abort=True)
    for path in doomed:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if database is not None:
        from iblnm.storage.database import place_of, remove
        from iblnm_dagster.workarounds.postgres_storage import delete_history

        delete_history(database)
        for name in ("outcomes", "sync"):
            remove(place_of(settings, name))


@cli.command()
@click.option("-p", "--port", type=int, help="Port.  [default: that of IBLNM_VIEWER_URL, 3001]")
def viewer(port: int | None) -> None:
    """Look at sessions in the browser, on 127.0.0.1."""
    import sys

    from iblnm.viewer.server import is_free, port_of

    port = port_of(get_settings().viewer_url) if port is None else port
    if not is_free(port):
        raise click.ClickException(f"port {port} is in use; choose another with -p")
    click.echo(f"viewer           http://127.0.0.1:{port}")
    # without Dagster, which takes 30 MB
    os.execv(sys.executable, [sys.executable, "-m", "iblnm.viewer", "-p", str(port)])


@cli.command(context_settings={"ignore_unknown_options": True})
@click.option("--read-only", is_flag=True, help="The page shows everything and starts nothing.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dev(read_only: bool, arguments: tuple[str, ...]) -> None:
    """Open the web page on 127.0.0.1; further arguments go to `dagster dev`.

    The viewer of sessions is started with it, at the address IBLNM_VIEWER_URL. Ctrl-C, or
    closing the terminal, ends it and all that it has started.
    """
    from iblnm_dagster.running.page import run_page

    run_page(get_settings(), [*arguments, *["--read-only"] * read_only])


def _add_folders(settings: Settings) -> None:
    from iblnm.archive.local_folders import add_folders, unlisted_folders
    from iblnm.archive.own_tables import tables_dir

    if settings.one_mode != "local":
        raise click.UsageError("--add-folders is for a local archive; Alyx lists its sessions")
    report = add_folders(
        settings.cache_dir,
        unlisted_folders(settings.cache_dir, tables_dir(settings)),
        tables=tables_dir(settings),
        settle_s=settings.sync.settle_s,
        project=settings.project,
    )
    for place, reason in report.left_out.items():
        click.echo(f"left out: {place}: {reason}", err=True)
    click.echo(f"session folders added to the tables: {len(report.added)}")


def _tell_of_unlisted_folders(settings: Settings) -> None:
    from iblnm.archive.local_folders import unlisted_folders
    from iblnm.archive.own_tables import tables_dir

    places = unlisted_folders(settings.cache_dir, tables_dir(settings))
    if places:
        click.echo(
            f"session folders that are not in sessions.pqt: {len(places)}, the first is "
            f"{places[0]}: renew the tables with `iblnm sync --add-folders`",
            err=True,
        )


def _settings_here() -> Settings:
    from iblnm.root_folder import is_root

    folder = Path.cwd()
    if any(folder.iterdir()) and not is_root(folder):
        raise click.UsageError(f"{folder} is not empty: --here is for an empty folder")
    os.environ["IBLNM_ROOT"] = str(folder)
    get_settings.cache_clear()
    settings = get_settings()
    click.echo(describe_place(settings), err=True)
    return settings


cli.add_command(cluster)
cli.add_command(compare_chains)
cli.add_command(export)
cli.add_command(init)
cli.add_command(reference)
cli.add_command(trace)
cli.add_command(why)


def main() -> None:
    """Entry point: failures of ours are printed as one line, without a traceback."""
    try:
        cli()
    except SettingsError as error:
        for line in str(error).splitlines():
            click.echo(f"iblnm: {line}", err=True)
        raise SystemExit(2) from error
    except IblnmError as error:
        click.echo(f"iblnm: {error}", err=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
