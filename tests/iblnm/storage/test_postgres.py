"""Tables in PostgreSQL: the address, what is kept, what is shared, what is told."""

from __future__ import annotations

import math
import multiprocessing
import os
import threading

import pytest

from iblnm.archive.sync_state import Sight, SyncState
from iblnm.config import Settings
from iblnm.errors import SettingsError, TransientError
from iblnm.pipeline.outcomes import Attempt, OutcomeStore, open_outcomes
from iblnm.pipeline.rules.outcome import Outcome
from iblnm.storage import postgres
from iblnm.storage.postgres import PostgresTables, kept_engine, read_address

SECRET = "correct-horse"
ADDRESS = f"postgresql://lab:{SECRET}@db.example.org:5433/iblnm"
A, B = (f"00000000-0000-4000-8000-00000000000{i}" for i in range(2))


@pytest.fixture
def write(tmp_path):
    """Function that writes a file with an address, and returns it."""

    def write(text: str, mode: int = 0o600):
        path = tmp_path / "address"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def test_the_address_is_one_line_of_a_file(write):
    driver = ADDRESS.replace("postgresql", "postgresql+psycopg2")
    assert read_address(write(f"{ADDRESS}\n")) == driver
    assert read_address(write(ADDRESS.replace("postgresql", "postgres"))) == driver


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_may_open_is_refused(write, mode):
    path = write(ADDRESS, mode)
    with pytest.raises(SettingsError, match=rf"mode {mode:o}\): chmod 600 {path}") as told:
        read_address(path)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        SECRET,
        f"mysql://lab:{SECRET}@host/db",
        f"postgresql://lab:{SECRET}@host",
        f"postgresql://lab:{SECRET}@host:port/db",
        f"{ADDRESS}\n{ADDRESS}",
    ],
)
def test_what_is_no_address_is_not_told(write, text):
    with pytest.raises(SettingsError, match=r"is to hold one line like postgresql://") as told:
        read_address(write(text))
    assert SECRET not in str(told.value)
    assert told.value.__context__ is None  # whose message would have it


def test_no_file(tmp_path):
    with pytest.raises(SettingsError, match=r"no such file: .*IBLNM_PG_URL_FILE"):
        read_address(tmp_path / "none")


def _outcome(rule, value):
    return Outcome(rule, True, "WARN", value, 2.0, "")


@pytest.fixture
def tables(shared_database, request):
    tables = PostgresTables(shared_database, f"tables_{abs(hash(request.node.name))}")
    yield tables
    tables.remove()


def test_outcomes_are_read_as_they_were_written(shared_database, tmp_path):
    outcomes = open_outcomes(Settings(root=tmp_path, pg_url_file=shared_database))
    told = "50 % of 'é' \\ ?"
    outcomes.record_attempt(Attempt(A, "trials", "failed", "KeyError", told + "\0", "\ud800"))
    outcomes.record_attempt(Attempt(B, "trials", "stored"))
    found = outcomes.attempts_of(A)["trials"]
    assert (found.state, found.error_type, found.message) == ("failed", "KeyError", told + "\\x00")
    outcomes.record_attempt(Attempt(A, "trials", "stored"))
    assert outcomes.attempts_of(A)["trials"] == Attempt(A, "trials", "stored")
    outcomes.forget(B, ["trials"])
    assert list(outcomes.attempts()["eid"]) == [A]
    values = [0.1 + 0.2, math.inf, math.nan, None]
    outcomes.record_evaluations(A, [_outcome(f"r{i}", v) for i, v in enumerate(values)])
    table = outcomes.evaluations(A).set_index("check")
    assert table.loc["r0", "value"] == 0.1 + 0.2  # all eight bytes
    assert math.isinf(table.loc["r1", "value"])
    assert table.loc[["r2", "r3"], "value"].isna().all()
    assert not (tmp_path / "metadata").exists()


def test_a_transaction_that_breaks_leaves_nothing(tables):
    outcomes = OutcomeStore(tables)
    outcomes.record_attempt(Attempt(A, "trials", "stored"))

    def broken():
        yield (B, "x", "pass", None, None, None, "now", "WARN")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcomes.insert_evaluations(broken())
    assert outcomes.evaluations().empty
    assert len(outcomes.attempts()) == 1


def test_of_many_that_claim_a_session_at_once_one_gets_it(tables):
    """Also the tables are made by one of them."""
    eids = [f"{i:02d}" for i in range(20)]
    got: dict[str, set[str]] = {}
    together = threading.Barrier(8)

    def claim(owner: str) -> None:
        state = SyncState(tables)
        together.wait()
        state.note(dict.fromkeys(eids, "2024-01-01"))
        state.looked({eid: (0.0, Sight("one", "2024-01-01")) for eid in eids})
        contents, held = state.claim(eids, owner, lambda other: True)
        got[owner] = set(contents)
        assert got[owner] | set(held) == set(eids)

    threads = [threading.Thread(target=claim, args=(f"rig/1/1:{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert sorted(eid for mine in got.values() for eid in mine) == eids


def test_one_connection_is_kept_and_a_dead_one_replaced(
    postgres_server, shared_database, tables, monkeypatch
):
    state = SyncState(tables)
    for i in range(20):
        state.set_facts(a=i)
    address = read_address(shared_database)
    assert kept_engine(address).pool.checkedin() == 1
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{shared_database.stem}'"
    )
    postgres_server.query(end)
    with pytest.raises(TransientError, match=r"PostgreSQL: .*terminat|PostgreSQL: .*closed"):
        state.set_facts(a=30)
    state.set_facts(a=31)  # the dead one is not used again
    monkeypatch.setattr(postgres, "MAX_IDLE_S", 0.0)
    postgres_server.query(end)
    state.set_facts(a=32)  # unused for long: it is asked first
    assert state.fact("a") == 32


def test_a_wrong_password_is_told_without_it(postgres_server, write):
    path = write(postgres_server.address(password=SECRET))
    with pytest.raises(TransientError, match="password authentication failed") as told:
        SyncState(PostgresTables(path, "sync")).known()
    assert SECRET not in str(told.value)
    assert postgres_server.password not in str(told.value)


def test_a_server_that_is_gone_is_told(write):
    path = write("postgresql://lab:word@127.0.0.1:1/db")
    with pytest.raises(TransientError, match=r"PostgreSQL: connection to server at .* failed"):
        SyncState(PostgresTables(path, "sync")).known()


def _beat(tables: PostgresTables, owner: str) -> None:
    SyncState(tables).beat(owner)


def test_a_fork_has_a_connection_of_its_own(tables):
    state = SyncState(tables)
    state.beat("parent")
    fork = multiprocessing.get_context("fork").Process(target=_beat, args=(tables, "child"))
    fork.start()
    fork.join()
    assert fork.exitcode == 0
    assert set(state.beats()) == {"parent", "child"}
