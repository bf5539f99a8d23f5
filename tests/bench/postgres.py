"""A PostgreSQL server on loopback, from the binaries of this machine, that ends with its user."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

_PLACES = ("/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt/postgresql")
_START_S = 30.0
_SERIAL = count()


def find_binaries() -> Path | None:
    """Folder of initdb and postgres, of the newest version that is installed."""
    found = shutil.which("initdb")
    if found and (Path(found).resolve().parent / "postgres").exists():
        return Path(found).resolve().parent
    folders = [path.parent for place in _PLACES for path in Path(place).glob("*/bin/postgres")]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def why_not() -> str | None:
    """Why no server can be started here; None if one can."""
    if find_binaries() is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.geteuid() == 0 and _unprivileged() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody"
    try:
        import dagster_postgres  # noqa: F401
    except ImportError:
        return "dagster-postgres is not installed (pip install 'iblnm[postgres]')"
    return None


class PostgresServer:
    """A server of its own, with a password, in a folder that is deleted afterwards."""

    def __init__(self) -> None:
        self.password = f"p{secrets.token_hex(8)}%/@"  # which an address has to quote
        self.port = _free_port()

    def __enter__(self) -> PostgresServer:
        self._folder = Path(tempfile.mkdtemp(prefix="iblnm-postgres-"))
        binaries, data, word = find_binaries(), self._folder / "data", self._folder / "word"
        assert binaries is not None
        word.write_text(self.password)
        if os.geteuid() == 0:
            for path in (self._folder, word):
                shutil.chown(path, _unprivileged())
        make = [binaries / "initdb", "-D", data, "-U", "iblnm", "--pwfile", word, "--no-sync"]
        self._run([*make, "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8"])
        options = {
            "fsync": "off",
            "listen_addresses": "127.0.0.1",
            "max_connections": "60",
            "unix_socket_directories": "",
        }
        self._process = subprocess.Popen(
            [
                *(str(binaries / "postgres"), "-D", str(data), "-p", str(self.port)),
                *(part for item in options.items() for part in ("-c", "=".join(item))),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **_as_user(),
        )
        self._await()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGQUIT)  # at once: nothing is kept
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def address(self, database: str = "postgres", *, password: str | None = None) -> str:
        """Address of a database, with the password or another one."""
        from sqlalchemy import URL

        word = self.password if password is None else password
        url = URL.create("postgresql", "iblnm", word, "127.0.0.1", self.port, database)
        return url.render_as_string(hide_password=False)

    def query(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Rows of a statement, through a connection of its own."""
        import psycopg2

        connection = psycopg2.connect(self.address(database))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def new_database(self, folder: Path) -> Path:
        """An empty database, and the file with its address."""
        name = f"db{next(_SERIAL)}_{os.getpid()}"
        self.query(f"CREATE DATABASE {name}")
        path = folder / f"{name}.url"
        path.touch(mode=0o600)
        path.write_text(self.address(name) + "\n")
        return path

    def cpu_seconds(self) -> float:
        """CPU time of the server and of what has served connections, so far (Linux)."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(path.parent.name) == self._process.pid:
                ticks += sum(map(int, fields[11:15]))  # with children that have ended
            elif int(fields[1]) == self._process.pid:
                ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def n_connections(self, database: str) -> int:
        """How many connections to a database are open."""
        activity = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
        return self.query(activity)[0][0]

    def _await(self) -> None:
        import psycopg2

        end = time.monotonic() + _START_S
        while True:
            try:
                self.query("SELECT 1")
                return
            except psycopg2.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.1)

    @staticmethod
    def _run(command: list) -> None:
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, cwd="/", **_as_user()
        )
        assert done.returncode == 0, done.stderr


def _unprivileged() -> str | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None


def _as_user() -> dict:
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(_unprivileged() or "")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
