"""From a folder or an address to a working root: what the commands say and ask about it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from iblnm.config import Settings, get_settings
from iblnm.errors import IblnmError

_ENV = Path(".env")


class TellingCommand(click.Command):
    """A command whose first line says which archive it reads, and where its outputs go."""

    def invoke(self, ctx: click.Context) -> Any:
        if not ctx.params.get("here"):  # says so itself
            click.echo(describe_place(get_settings()), err=True)
        return super().invoke(ctx)


class TellingCommands(click.Group):
    """The group of the commands; each says first where it works."""

    command_class = TellingCommand


def describe_place(settings: Settings) -> str:
    """Archive and root of the settings, in one line."""
    if settings.is_demo:
        archive = f"simulated archive {settings.cache_dir} (for your own data: iblnm init)"
    elif settings.one_mode == "local":
        archive = f"archive {settings.cache_dir}"
    else:
        address = settings.alyx_url or "without an address"
        archive = f"archive {address}, project {settings.project}"
    return f"{archive}; outputs in {settings.root}"


def ready_tables(settings: Settings, *, make: bool) -> None:
    """See to it that ONE knows the sessions of a local archive.

    Tables that were made here are brought up to date. Where the archive has none, they are made
    beside the outputs if that is asked for (`make`), or answered with yes.

    Raises
    ------
    MissingFileError
        There are no tables and nobody to ask; or there is nothing to make them from.
    ArchiveMismatchError
        The root holds outputs of another archive.
    """
    from iblnm.archive import own_tables
    from iblnm.archive.identity import claim_root

    if settings.one_mode != "local" or settings.is_demo:
        return
    claim_root(settings)
    is_own = own_tables.are_own_tables(settings)
    if own_tables.has_tables(settings) and not is_own:
        return
    if not is_own and not make:
        n_folders = len(own_tables.session_folders(settings.cache_dir))
        if not n_folders or not click.get_text_stream("stdin").isatty():
            own_tables.need_tables(settings)
        click.echo(
            f"{settings.cache_dir} has {n_folders} session folders and no tables of ONE. They "
            f"can be made in {own_tables.own_tables_dir(settings)}; the archive is not changed."
        )
        click.confirm("Make them?", default=True, abort=True)
    report = own_tables.make_tables(settings)
    click.echo(f"tables of {settings.cache_dir}: {report}")


@click.command()
@click.option("--data", help="Folder with the sessions, or address of an Alyx.")
@click.option("--root", help="Folder for all outputs.")
@click.option("--project", help="Project of the sessions, for a folder.")
@click.option("--token-file", help="File with the token of an Alyx.")
def init(data: str | None, root: str | None, project: str | None, token_file: str | None) -> None:
    """Ask where your data are and where outputs go, and write it into .env of this folder.

    Other lines of the file stay.
    """
    data = data or click.prompt("Where are your data? A folder, or the address of an Alyx")
    is_remote = data.startswith(("https://", "http://"))
    root = root or click.prompt("Where shall outputs go?", default=str(Path.home() / "iblnm"))
    given = {"IBLNM_ONE_MODE": "remote" if is_remote else "local"}
    if is_remote:
        token_file = token_file or click.prompt("File with the token that <address>/me shows")
        given |= {"IBLNM_ALYX_URL": data, "IBLNM_ALYX_TOKEN_FILE": _absolute(token_file)}
    else:
        given["IBLNM_ONE_CACHE_DIR"] = _absolute(data)
        found = projects_of(Path(given["IBLNM_ONE_CACHE_DIR"]))
        usual = next(iter(found), Settings.model_fields["project"].default)
        project = project or click.prompt("Which project?", default=usual)
    given["IBLNM_ROOT"] = _absolute(root)
    if project:
        given["IBLNM_PROJECT"] = project
    _write_env(given)
    get_settings.cache_clear()
    settings = get_settings()
    click.echo(f"written: {_ENV.resolve()}")
    click.echo(describe_place(settings))
    if not is_remote:
        _say_what_is_there(settings)
    click.echo("next: iblnm batch, then iblnm dev")


def projects_of(archive: Path) -> list[str]:
    """Projects that the sessions table of a local archive names, the most frequent first."""
    from iblnm.archive.cache_tables import read_one_table

    table, _ = read_one_table(archive / "sessions.pqt")
    if table is None or "projects" not in table:
        return []
    names = table["projects"].dropna().astype(str).str.split(",").explode().str.strip()
    return names[names != ""].value_counts().index.tolist()


def _say_what_is_there(settings: Settings) -> None:
    from iblnm.archive.own_tables import need_tables

    try:
        need_tables(settings)
    except IblnmError as error:
        click.echo(str(error))


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())


def _write_env(given: dict[str, str]) -> None:
    """Put the variables into the file, in the place of lines that set them before."""
    from iblnm.io.text import read_text
    from iblnm.storage.atomic import write_whole

    kept = []
    if _ENV.is_file():
        lines = read_text(_ENV).splitlines()
        kept = [line for line in lines if _name_of(line) not in given]
    lines = [*kept, *(f"{name}={shlex.quote(value)}" for name, value in given.items())]
    with write_whole(_ENV.resolve()) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _name_of(line: str) -> str:
    return line.partition("=")[0].removeprefix("export ").strip().upper()
