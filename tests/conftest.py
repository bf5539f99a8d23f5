"""Shared fixtures: small demo archives, roots of their own, the real recordings."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import scipy.linalg
from threadpoolctl import threadpool_limits

from iblnm.config import Settings

# as many workers as cores, each computing in one thread, and so the processes they start
scipy.linalg.norm([1.0])
threadpool_limits(1)
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

REPOSITORY = Path(__file__).resolve().parent.parent
COSTLY = {"faulty", "dagster_page", "postgres_server", "real_run"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items) -> None:
    """With several workers a costly fixture is made by one of them, a module's by its own.

    What needs one of these is slow, whichever test happens to be the first to make it.
    """
    for item in items:
        shared = COSTLY & set(item.fixturenames)
        if shared or "browser" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
        group = shared.pop() if shared else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside():
    """Settings of the developer's shell or .env must not reach the tests."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("IBLNM_")}
    if "IBLNM_REAL_DATA" in kept:
        os.environ["IBLNM_REAL_DATA"] = kept["IBLNM_REAL_DATA"]
    previous = Settings.model_config["env_file"]
    Settings.model_config["env_file"] = None
    yield
    Settings.model_config["env_file"] = previous
    os.environ.update(kept)


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory) -> tuple[Path, dict]:
    """Two subjects, two short sessions each, no defects; (cache folder, truth). Read only.

    Its responses are strong: ten minutes would not show such as are like real ones.
    """
    from iblnm.demo import build_archive

    cache = tmp_path_factory.mktemp("small") / "alf"
    truth = build_archive(
        cache,
        seed=3,
        n_subjects=2,
        sessions_per_subject=2,
        duration_s=600.0,
        defects=False,
        effects="clear",
    )
    return cache, truth


@pytest.fixture
def small_settings(small_archive, tmp_path) -> Settings:
    """Settings with the small archive and an empty root of the test's own."""
    return Settings(root=tmp_path / "root", one_cache_dir=small_archive[0])


@pytest.fixture
def writable_archive(small_archive, tmp_path) -> Path:
    """A copy of the small archive that a test may damage."""
    return Path(shutil.copytree(small_archive[0], tmp_path / "alf"))


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server on loopback; skips where none can be started."""
    from bench.postgres import PostgresServer, why_not

    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    from iblnm.storage.postgres import close_engines

    with PostgresServer() as server:
        yield server
        close_engines()


@pytest.fixture(scope="session")
def shared_database(postgres_server, tmp_path_factory) -> Path:
    """File with the address of a database, in which each test takes tables of its own."""
    return postgres_server.new_database(tmp_path_factory.mktemp("addresses"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real recordings; skips where it is absent."""
    folder = Path(os.environ.get("IBLNM_REAL_DATA", REPOSITORY / ".." / "shared" / "data"))
    if not (folder / "alf" / "sessions.pqt").exists():
        pytest.skip(f"no real recordings at {folder} (set IBLNM_REAL_DATA)")
    return folder.resolve()


@pytest.fixture
def own_home(tmp_path, monkeypatch) -> Path:
    """A home of the test's own: ONE keeps addresses and tokens there."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    return home


@pytest.fixture
def alyx_server(small_archive):
    """The small archive behind an Alyx server; may be changed, belongs to the test."""
    from bench.alyx import AlyxServer, from_archive

    with AlyxServer(from_archive(small_archive[0]), small_archive[0]) as server:
        yield server


@pytest.fixture
def open_client(own_home, tmp_path):
    """Opens ONE's own client on a server, with nothing of iblnm between."""

    def open_(server, folder: str = "downloads"):
        from one.api import ONE

        client = ONE(
            mode="remote",
            base_url=server.url,
            username="demo",
            password=server.password,
            cache_dir=tmp_path / folder,
            cache_rest=None,
            silent=True,
        )
        parameters = client.alyx._par.set("HTTP_DATA_SERVER", f"{server.url}/data")
        client.alyx._par = parameters
        return client

    return open_


@pytest.fixture(scope="session")
def loops():
    """Responses and features trial by trial: the module `bench.response_loops`."""
    from bench import response_loops

    return response_loops


@pytest.fixture(scope="session")
def processed_root(small_archive, tmp_path_factory) -> Settings:
    """Settings of a root with the processed sessions of the small archive. Read only.

    Session files, ``metadata/sessions.pqt`` and ``data/performance.pqt``.
    """
    from iblnm.archive import connect
    from iblnm.data import PhotometrySession
    from iblnm.pipeline.catalog import sessions_table
    from iblnm.pipeline.labels import read_labels
    from iblnm.schemas import PERFORMANCE, SESSIONS
    from iblnm.storage import write_table
    from iblnm.storage.store import SessionStore
    from iblnm.task import session_performance

    settings = Settings(root=tmp_path_factory.mktemp("processed"), one_cache_dir=small_archive[0])
    one = connect(settings)
    performance = []
    (settings.metadata_dir / "sessions").mkdir(parents=True)
    for truth in small_archive[1]["sessions"]:
        ps = PhotometrySession({"eid": truth["eid"]}, one=one, settings=settings).from_alyx()
        ps.load_trials()
        ps.load_photometry()
        ps.preprocess()
        ps.extract_responses()
        ps.load_wheel()
        ps.extract_wheel_velocity()
        ps.save_h5()
        row = pd.DataFrame([ps.to_dict()])
        write_table(row, settings.metadata_dir / "sessions" / f"{ps.eid}.pqt", SESSIONS)
        performance.append(
            session_performance(
                ps.trials,
                session_type=ps.session_type,
                eid=ps.eid,
                thresholds=settings.thresholds,
            )
        )
    sessions = sessions_table(SessionStore(settings), read_labels(settings.labels_fpath))
    write_table(sessions, settings.metadata_dir / "sessions.pqt")
    write_table(pd.DataFrame(performance), settings.data_dir / "performance.pqt", PERFORMANCE)
    return settings


@pytest.fixture(scope="session")
def viewed_root(small_archive, tmp_path_factory) -> Settings:
    """Settings of a root with all stages, outcomes and the catalog of the small archive.

    Read only; `viewed_settings` is a copy.
    """
    from bench.stages import store_stages

    from iblnm.archive import connect
    from iblnm.pipeline.catalog import sessions_table
    from iblnm.pipeline.checking import evaluate_values
    from iblnm.pipeline.graph import checked_stages
    from iblnm.pipeline.labels import read_labels
    from iblnm.pipeline.rules import RULES
    from iblnm.schemas import ERRORS, QC_MATRIX
    from iblnm.storage import write_table
    from iblnm.storage.store import SessionStore

    settings = Settings(root=tmp_path_factory.mktemp("viewed"), one_cache_dir=small_archive[0])
    one, outcomes = connect(settings), []
    for truth in small_archive[1]["sessions"]:
        eid = truth["eid"]
        values = store_stages(one, eid, settings)
        for asset in checked_stages():
            for outcome in evaluate_values(asset, values, settings):
                named = "pass" if outcome.passed else "warn"
                if not outcome.passed and outcome.severity != "WARN":
                    named = "fail"
                outcomes.append(
                    {
                        "eid": eid,
                        "check": outcome.rule,
                        "asset": RULES[outcome.rule].asset,
                        "severity": outcome.severity,
                        "outcome": named,
                        "value": outcome.value,
                        "limit": outcome.limit,
                        "message": outcome.message,
                    }
                )
    sessions = sessions_table(SessionStore(settings), read_labels(settings.labels_fpath))
    write_table(sessions, settings.metadata_dir / "sessions.pqt")
    matrix = QC_MATRIX.conform(pd.DataFrame(outcomes, columns=QC_MATRIX.names))
    write_table(matrix, settings.metadata_dir / "qc_matrix.pqt", QC_MATRIX)
    write_table(ERRORS.empty(), settings.metadata_dir / "errors.pqt", ERRORS)
    return settings


@pytest.fixture
def viewed_settings(viewed_root, tmp_path) -> Settings:
    """A copy of `viewed_root` that a test may change."""
    root = Path(shutil.copytree(viewed_root.root, tmp_path / "viewed"))
    return viewed_root.model_copy(update={"root": root})


def free_port() -> int:
    """A port of this machine at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def port() -> int:
    """A port of this machine at which nobody listens."""
    return free_port()


class ServedViewer:
    """A running viewer."""

    def __init__(self, settings):
        import uvicorn

        from iblnm.viewer.server import build_app

        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self.app = build_app(settings)
        config = uvicorn.Config(self.app, port=self.port, log_level="warning", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)

    def ask(self, method, path, content=None, **headers):
        """Status, headers and body of an answer; None leaves a header out."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        body = None if content is None else json.dumps(content).encode()
        given = {"host": self.host, **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body is not None:
            given = {"content-length": str(len(body)), **given}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        result = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return result

    def label(self, eid, content, **headers):
        """Ask for a label as the page does."""
        given = {"x_iblnm_viewer": "1", "content_type": "application/json", "origin": self.url}
        return self.ask("POST", f"/api/sessions/{eid}/labels", content, **{**given, **headers})

    def close(self):
        self.server.should_exit = True
        self.thread.join()
        self.app.state.pages.close()


@pytest.fixture
def served(viewed_settings):
    viewer = ServedViewer(viewed_settings)
    yield viewer
    viewer.close()
