import hashlib
import json
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests
from bench.alyx import AlyxModel, AlyxServer, from_archive, synthetic

from iblnm.demo.alyx.query import QueryError, parse

PROJECT = "ibl_fibrephotometry"
NOW = datetime(2025, 6, 1, 12)


@pytest.fixture
def model():
    result = AlyxModel(seed=1)
    result.set_time(NOW)
    return result


@pytest.fixture
def served(model):
    with AlyxServer(model) as server:
        yield server


@pytest.fixture
def ask(served):
    """Plain HTTP with a valid token: (status, JSON)."""
    token = served.new_token()

    def get(path, **kwargs):
        answer = requests.get(
            served.url + path, headers={"Authorization": f"Token {token}"}, timeout=5, **kwargs
        )
        return answer.status_code, answer.json()

    return get


def eids(rows):
    return {row["id"] for row in rows}


# the real client ---------------------------------------------------------------------------------


def test_one_reads_every_session_and_its_files(alyx_server, open_client, small_archive):
    cache, truth = small_archive
    one = open_client(alyx_server)
    listed = list(one.alyx.rest("sessions", "list"))
    assert eids(listed) == {session["eid"] for session in truth["sessions"]}
    assert listed[0].keys() == {
        "id", "subject", "start_time", "number", "lab", "projects", "task_protocol",
    }  # fmt: skip
    eid = listed[0]["id"]
    path = Path(one.load_dataset(eid, "_ibl_trials.table.pqt", download_only=True))
    assert path.read_bytes() == (cache / path.relative_to(one.cache_dir)).read_bytes()
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", path.name), "the identifier stays away"
    downloads = [request for request in alyx_server.requests if request.path.startswith("/data/")]
    assert len(downloads) == 1
    assert re.search(r"\.table\.[0-9a-f-]{36}\.pqt$", downloads[0].path)


def test_detail_has_the_fields_of_the_real_server(alyx_server, open_client, small_archive):
    one = open_client(alyx_server)
    eid = small_archive[1]["sessions"][0]["eid"]
    detail = one.alyx.rest("sessions", "read", id=eid)
    recorded = json.loads((small_archive[0] / ".alyx/sessions" / f"{eid}.json").read_text())
    assert detail.keys() == recorded.keys()
    assert detail["url"] == f"{alyx_server.url}/sessions/{eid}"
    related = detail["data_dataset_session_related"]
    assert related[0].keys() == recorded["data_dataset_session_related"][0].keys()
    own = {item["id"]: item for item in recorded["data_dataset_session_related"]}
    for item in related:
        assert item["data_url"].startswith(f"{alyx_server.url}/data/")
        assert (item["hash"], item["file_size"]) == (
            own[item["id"]]["hash"],
            own[item["id"]]["file_size"],
        )


def test_schema_of_the_real_server_has_the_same_parameters(alyx_server, open_client):
    """The fixtures of ONE hold the description of a real Alyx."""
    import one

    fixtures = Path(one.__file__).parent / "tests/fixtures/rest_responses/openapiv3.json"
    real = json.loads(fixtures.read_text())["paths"]
    schemes = open_client(alyx_server).alyx.rest_schemes
    for endpoint in ("sessions", "datasets", "subjects", "insertions", "trajectories"):
        names = {item["name"] for item in real[f"/{endpoint}"]["get"]["parameters"]}
        assert set(schemes.field_names(endpoint, "list")) <= names, endpoint
        assert {"list", "read"} <= set(schemes.actions(endpoint))


def test_one_asks_for_insertions_subjects_and_trajectories(alyx_server, open_client):
    rest = open_client(alyx_server).alyx.rest
    with_chronic = [row for row in rest("insertions", "list") if row["chronic_insertion"]]
    insertion = with_chronic[0]
    assert insertion in rest("insertions", "list", session=insertion["session"])
    chronic = rest("chronic-insertions", "read", id=insertion["chronic_insertion"])
    assert insertion["id"] in chronic["probe_insertion"]
    by_chronic = rest("trajectories", "list", chronic_insertion=chronic["id"])
    assert [row["chronic_insertion"] for row in by_chronic] == [chronic["id"]]
    assert rest("trajectories", "list", probe_insertion=insertion["id"]) == []
    subject = rest("subjects", "read", id=chronic["subject"])
    assert subject["genotype"][0].keys() == {"allele", "zygosity"}
    assert [row["name"] for row in rest("projects", "list")] == [PROJECT]


def test_one_details_by_eid_and_search(alyx_server, open_client):
    one = open_client(alyx_server)
    found, details = one.search(project="photometry", details=True)
    assert len(found) == len(alyx_server.model.sessions)
    eid = str(found[0])
    assert one.eid2path(eid).as_posix().endswith(alyx_server.model.sessions[eid].path)
    assert one.get_details(eid)["subject"] == details[0]["subject"]
    assert [row["id"] for row in one.alyx.rest("sessions", "list", id=eid)] == [eid]


# paging ------------------------------------------------------------------------------------------


def test_paging_over_equal_start_times_loses_rows(open_client):
    model = synthetic(600, seed=2, tied=0.95)
    with AlyxServer(model) as server:
        one = open_client(server)
        rows = one.alyx.rest("sessions", "list", limit=100)
        assert len(rows) == 600
        listed = list(rows)
    times = [row["start_time"] for row in listed]
    assert times == sorted(times, reverse=True)
    assert len(eids(listed)) < 600


def test_a_page_has_at_most_1000_rows_and_250_by_default(ask, model):
    for i in range(1003):
        model.register_session(start_time=NOW - timedelta(minutes=i))
    assert len(ask("/sessions")[1]["results"]) == 250
    _, answer = ask("/sessions?limit=5000")
    assert (answer["count"], len(answer["results"])) == (1003, 1000)
    assert "capped at 1000" in answer["detail"]
    assert "limit=1000&offset=1000" in answer["next"]
    assert answer["previous"] is None
    assert len(ask(answer["next"].partition("/sessions")[2].join(["/sessions", ""]))[1]) == 4


@pytest.mark.slow
def test_a_page_of_1000_of_5000_sessions_is_quick(open_client):
    with AlyxServer(synthetic(5000)) as server:
        alyx = open_client(server).alyx
        query = f"projects__name,{PROJECT},auto_datetime__gte,2024-01-01"
        alyx.rest("sessions", "list", limit=1)
        started = time.perf_counter()
        rows = alyx.rest("sessions", "list", django=query, limit=1000)
        assert time.perf_counter() - started < 0.3
        assert len(rows._cache[: rows.limit]) == 1000


def test_the_synthetic_model_is_the_same_for_a_seed():
    first, second = synthetic(50, seed=4), synthetic(50, seed=4)
    assert list(first.sessions) == list(second.sessions)
    assert [s.stamp for s in first.sessions.values()] == [
        s.stamp for s in second.sessions.values()
    ]
    assert list(first.sessions) != list(synthetic(50, seed=5).sessions)
    assert max(s.stamp for s in first.sessions.values()) < first.now()
    paths = [session.path for session in first.sessions.values()]
    assert len(set(paths)) == len(paths)


# filters -----------------------------------------------------------------------------------------


def test_windows_of_the_stamp_part_the_sessions(ask, model):
    made = [
        model.register_session(auto_datetime=NOW - timedelta(hours=hours)) for hours in range(10)
    ]
    edge = (NOW - timedelta(hours=4)).isoformat()
    new = eids(ask(f"/sessions?django=auto_datetime__gte,{edge}")[1]["results"])
    old = eids(ask(f"/sessions?django=auto_datetime__lt,{edge}")[1]["results"])
    assert new == set(made[:5])
    assert old == set(made[5:])
    both = f"/sessions?django=auto_datetime__gte,{edge},auto_datetime__lt,{NOW.isoformat()}"
    assert eids(ask(both)[1]["results"]) == set(made[1:5])
    negated = ask(f"/sessions?django=~auto_datetime__gte,{edge}")[1]["results"]
    assert eids(negated) == old


def test_project_contains_and_the_exact_name(ask, model):
    own = model.register_session()
    other = model.register_session(projects=[f"{PROJECT}_pilot"])
    assert eids(ask(f"/sessions?project={PROJECT}")[1]["results"]) == {own, other}
    assert eids(ask(f"/sessions?django=projects__name,{PROJECT}")[1]["results"]) == {own}
    assert model.eids(PROJECT) == [own]


def test_stamps_of_datasets_and_of_their_session_are_apart(ask, model):
    eid = model.register_session(auto_datetime=NOW - timedelta(days=2))
    model.add_dataset(eid, "alf/a.npy", b"old", auto_datetime=NOW - timedelta(days=2))
    edge = (NOW - timedelta(hours=1)).isoformat()
    field = "data_dataset_session_related__auto_datetime__gte"
    assert ask(f"/sessions?django={field},{edge}")[1]["count"] == 0
    model.add_dataset(eid, "alf/b.npy", b"new")
    model.add_dataset(eid, "alf/c.npy", b"new")
    assert ask(f"/sessions?django={field},{edge}")[1]["count"] == 1, "once, not once per file"
    assert ask(f"/sessions?django=auto_datetime__gte,{edge}")[1]["count"] == 0
    model.touch_session(eid)
    assert ask(f"/sessions?django=auto_datetime__gte,{edge}")[1]["count"] == 1


def test_two_conditions_on_datasets_may_hold_of_two_datasets(ask, model):
    """Chained filters of Django: a window over datasets finds more than lies in it."""
    eid = model.register_session()
    model.add_dataset(eid, "alf/a.npy", b"1", auto_datetime=NOW - timedelta(days=9))
    model.add_dataset(eid, "alf/b.npy", b"2", auto_datetime=NOW - timedelta(days=1))
    first, last = ((NOW - timedelta(days=d)).isoformat() for d in (6, 4))
    window = f"auto_datetime__gte,{first},auto_datetime__lt,{last}"
    of_sessions = ",".join(
        f"data_dataset_session_related__{part}" if part.startswith("auto") else part
        for part in window.split(",")
    )
    assert ask(f"/sessions?django={of_sessions}")[1]["count"] == 1
    assert ask(f"/datasets?django={window}")[1]["count"] == 0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("id__in,('{0}','{1}')", {0, 1}),
        ("pk,{2}", {2}),
        ("start_time__date,2025-05-02", {2}),
        ("start_time__gte,2025-05-01T00:00:00,start_time__lt,2025-05-03", {1, 2}),
        ("subject__nickname__startswith,B", {2}),
        ("number__gte,2", {1, 2}),
        ("task_protocol__icontains,TRAINING", {0}),
        ("data_dataset_session_related__name,a.npy", {0}),
        ("~projects__name__icontains,pilot,number,1", {0}),
    ],
)
def test_lookups(ask, model, query, expected):
    made = [
        model.register_session(
            subject=subject,
            number=number,
            start_time=datetime(2025, 4, 30) + timedelta(days=i),
            task_protocol=protocol,
            projects=[project],
        )
        for i, (subject, number, protocol, project) in enumerate(
            [
                ("A1", 1, "trainingChoiceWorld", PROJECT),
                ("A2", 2, "biasedChoiceWorld", f"{PROJECT}_pilot"),
                ("B1", 3, "ephysChoiceWorld", PROJECT),
            ]
        )
    ]
    model.add_dataset(made[0], "alf/a.npy", b"1")
    status, answer = ask(f"/sessions?django={query.format(*made)}")
    assert status == 200
    assert eids(answer["results"]) == {made[i] for i in expected}


@pytest.mark.parametrize(
    "query",
    [
        "nonsense,1",
        "auto_datetime__gte,yesterday",
        "auto_datetime__gte,2025-01-01T00:00:00Z",
        "id,no-uuid",
        "number__gte",
        "number__gte,1,number__gte,2",
        "number__biggest,1",
    ],
)
def test_a_query_that_alyx_cannot_answer_is_status_500(ask, model, query):
    model.register_session()
    status, answer = ask(f"/sessions?django={query}")
    assert (status, answer["status_code"]) == (500, 500)
    assert answer["detail"]


def test_a_field_twice_is_refused():
    with pytest.raises(QueryError, match="Duplicated"):
        parse("number,1,number,2")


# what changes ------------------------------------------------------------------------------------


def test_a_new_revision_takes_the_default_and_a_late_commit_lies_in_the_past(ask, model):
    eid = model.late_commit(7000)
    assert model.sessions[eid].stamp == NOW - timedelta(seconds=7000)
    model.add_dataset(eid, "alf/a.npy", b"one")
    model.advance(60)
    model.add_dataset(eid, "alf/a.npy", b"two", revision="2025-06-01")
    listed = ask(f"/sessions/{eid}")[1]["data_dataset_session_related"]
    assert [(d["revision"], d["default_revision"]) for d in listed] == [
        (None, "False"),
        ("2025-06-01", "True"),
    ]
    assert "/alf/%232025-06-01%23/" not in listed[1]["data_url"]
    assert "/alf/#2025-06-01#/a." in listed[1]["data_url"]
    assert listed[1]["hash"] == hashlib.md5(b"two").hexdigest()
    assert model.sessions[eid].stamp == NOW - timedelta(seconds=7000)


def test_a_deleted_session_takes_all_of_its_own_along(small_archive, own_home):
    model = from_archive(small_archive[0])
    eid = next(iter(model.sessions))
    own = {key for key, row in model.insertions.items() if row["session"] == eid}
    model.delete_session(eid)
    with AlyxServer(model) as server:
        headers = {"Authorization": f"Token {server.new_token()}"}
        answer = requests.get(f"{server.url}/sessions/{eid}", headers=headers, timeout=5)
        assert (answer.status_code, answer.json()["detail"]) == (404, "Not found.")
    assert not own & set(model.insertions)
    assert not any(dataset.eid == eid for dataset in model.datasets.values())


@pytest.mark.slow
def test_a_replaced_dataset_has_another_hash_under_its_id(open_client, model, served):
    eid = model.register_session()
    key = model.add_dataset(eid, "alf/_ibl_trials.table.pqt", b"first")
    model.advance(5)
    model.replace_dataset(key, b"second")
    one = open_client(served)
    row = one.alyx.rest("datasets", "read", id=key)
    assert (row["hash"], row["file_size"]) == (hashlib.md5(b"second").hexdigest(), 6)
    assert row["auto_datetime"] == (NOW + timedelta(seconds=5)).isoformat()
    path = one.load_dataset(eid, "_ibl_trials.table.pqt", download_only=True)
    assert Path(path).read_bytes() == b"second"


# log-in and faults -------------------------------------------------------------------------------


def test_a_wrong_password_is_refused(served, own_home, tmp_path):
    from one.webclient import AlyxClient

    with pytest.raises(requests.HTTPError) as caught:
        AlyxClient(
            base_url=served.url, username="demo", password="no", silent=True, cache_dir=tmp_path
        )
    assert caught.value.response.status_code == 400
    assert "non_field_errors" in caught.value.response.json()


def test_a_token_that_expired_is_refused(served, open_client):
    one = open_client(served)
    assert one.alyx.rest("sessions", "list") == []
    served.revoke_tokens()
    answer = requests.get(f"{served.url}/sessions", headers=one.alyx._headers, timeout=5)
    assert (answer.status_code, answer.json()["detail"]) == (403, "Invalid token.")


def test_a_token_names_its_owner(served, own_home, tmp_path):
    from one.webclient import AlyxClient

    client = AlyxClient(
        base_url=served.url, token=served.new_token(), silent=True, cache_dir=tmp_path
    )
    assert client.user == "demo"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
def test_a_fault_by_status_hits_as_often_as_planned(ask, served, status):
    served.faults.add(r"^GET /sessions", status, times=2, retry_after=3)
    headers = requests.get(f"{served.url}/sessions", timeout=5)
    assert headers.status_code == status
    assert headers.headers.get("Retry-After") == ("3" if status in (429, 503) else None)
    assert ask("/projects")[0] == 200
    assert ask("/sessions")[0] == status
    assert ask("/sessions")[0] == 200
    shown = [request.fault for request in served.requests if request.path == "/sessions"]
    assert shown == [status, status, None]


def test_a_hang_is_never_answered_and_ends_with_the_server(model):
    with AlyxServer(model) as server:
        server.faults.add("/projects", "hang")
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{server.url}/projects", timeout=0.3)
        started = time.perf_counter()
    assert time.perf_counter() - started < 2


@pytest.mark.slow
def test_faults_of_the_connection(ask, served, model):
    eid = model.register_session()
    served.faults.add("/projects", "reset")
    with pytest.raises(requests.ConnectionError):
        ask("/projects")
    served.faults.add("/projects", "truncated")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        ask("/projects")
    served.faults.add("/projects", "html")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        ask("/projects")
    served.faults.add("/projects", "drip", delay_s=0.005)
    assert ask("/projects")[1]["count"] == 1
    assert ask(f"/sessions/{eid}")[0] == 200


def test_a_wrong_hash_keeps_the_size(served, model, open_client):
    eid = model.register_session()
    model.add_dataset(eid, "alf/_ibl_trials.table.pqt", b"content")
    served.faults.add(r"^GET /data/", "wrong_hash")
    path = Path(open_client(served).load_dataset(eid, "_ibl_trials.table.pqt", download_only=True))
    assert len(path.read_bytes()) == len(b"content")
    assert path.read_bytes() != b"content"


def test_the_log_can_be_read_while_requests_come_in(served, ask):
    ask("/projects")
    for seen in served.requests:
        ask("/projects")
        assert seen.path == "/projects"
    assert len(served.requests) == 2


def test_random_faults_repeat_with_their_seed(served):
    def shown(seed):
        served.faults.at_random(0.3, [500, 503], seed=seed)
        return [
            fault.kind if (fault := served.faults.of("GET /sessions")) else None for _ in range(99)
        ]

    assert shown(1) == shown(1) != shown(2)
    assert 10 < sum(kind is not None for kind in shown(1)) < 50
    served.faults.clear()
    assert served.faults.of("GET /sessions") is None


def test_an_unknown_fault_is_refused(served):
    with pytest.raises(ValueError, match="no fault of kind 'slow'"):
        served.faults.add("", "slow")


def test_the_command_serves_an_archive(small_archive):
    command = [sys.executable, "-m", "iblnm.demo.alyx", "--archive", str(small_archive[0])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline().strip() for _ in range(5)]
            settings = dict(line.split("=", 1) for line in lines)
            login = {"username": settings["IBLNM_ALYX_USER"]}
            login["password"] = settings["IBLNM_ALYX_PASSWORD"]
            address = settings["IBLNM_ALYX_URL"]
            token = requests.post(f"{address}/auth-token", data=login, timeout=5).json()["token"]
        finally:
            process.kill()  # told to end, it would have to hear that
    assert re.fullmatch("[0-9a-f]{40}", token)
