"""Addresses on the Dagster page: where it is served, and the run that evaluated a check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
from dagster import DagsterInstance, RunRecord, RunsFilter

from iblnm.config import Settings
from iblnm.storage.atomic import write_whole

LOCAL = ("127.0.0.1", "localhost")
_TAG = "dagster/partition"
_CHUNK = 200
# times of evaluations are whole seconds
_SLACK_S = 1.0
_N_TRIED = 50


def page_url(settings: Settings) -> str:
    """Address of the page: of the settings where it is set, else where it was served last."""
    file = _file(settings)
    if "dagster_url" in settings.model_fields_set or not file.exists():
        return settings.dagster_url.rstrip("/")
    return file.read_text(encoding="utf-8").strip()


def remember_page(settings: Settings, url: str) -> None:
    """Keep the address with the root, and write it into the dashboard that is there."""
    from iblnm.vis.qc_dashboard import readdress

    file = _file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(file) as temporary:
        Path(temporary).write_text(url, encoding="utf-8")
    readdress(settings.figures_dir / "qc" / "dashboard.html", url)


def choose_port(arguments: Sequence[str], settings: Settings) -> int:
    """Port of the page: of the arguments, of the settings, else the first free one.

    Parameters
    ----------
    arguments : sequence of str
        Of ``dagster dev``.
    settings : Settings
    """
    from iblnm.viewer.server import is_free, port_of

    given = port_argument(arguments)
    if given is not None:
        return given
    url = settings.dagster_url
    first = port_of(url) if urlsplit(url).hostname in LOCAL else 3000
    viewer = port_of(settings.viewer_url)
    ports = (port for port in range(first, first + _N_TRIED) if port != viewer)
    return next((port for port in ports if is_free(port)), first)


def port_argument(arguments: Sequence[str]) -> int | None:
    """The port that arguments of ``dagster dev`` name.

    Examples
    --------
    >>> [port_argument(words.split()) for words in ("-p 3055", "--port=3055", "-p3055", "-v")]
    [3055, 3055, 3055, None]
    """
    for word, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        if word in ("-p", "--port"):
            value = following
        elif word.startswith("--port="):
            value = word.partition("=")[2]
        elif word.startswith("-p") and word[2:].isdigit():
            value = word[2:]
        else:
            continue
        if value.isdigit():
            return int(value)
    return None


def runs_of_problems(
    instance: DagsterInstance, matrix: pd.DataFrame
) -> dict[tuple[str, str], str]:
    """The runs in which the checks that did not pass were evaluated.

    Parameters
    ----------
    instance : DagsterInstance
    matrix : DataFrame
        Schema `iblnm.schemas.QC_MATRIX`.

    Returns
    -------
    dict of (eid, check) to str
        Identifiers; an evaluation whose run is not known any more is left out.
    """
    problems = matrix[matrix["outcome"].isin(("fail", "warn")) & matrix["evaluated_at"].notna()]
    eids = sorted(problems["eid"].unique())
    runs: dict[str, list[RunRecord]] = {}
    for record in _records(instance, eids):
        runs.setdefault(record.dagster_run.tags[_TAG], []).append(record)
    found = {}
    for row in problems.itertuples():
        at = datetime.fromisoformat(row.evaluated_at).replace(tzinfo=UTC).timestamp()
        during = [record for record in runs.get(row.eid, ()) if _is_during(record, at)]
        if during:
            latest = max(during, key=lambda record: record.start_time or 0.0)
            found[row.eid, row.check] = latest.dagster_run.run_id
    return found


def _records(instance: DagsterInstance, eids: Sequence[str]) -> Iterator[RunRecord]:
    for start in range(0, len(eids), _CHUNK):
        own = RunsFilter(tags={_TAG: list(eids[start : start + _CHUNK])})
        yield from instance.get_run_records(filters=own)


def _is_during(record: RunRecord, at: float) -> bool:
    if record.start_time is None:
        return False
    end = record.end_time
    return record.start_time - _SLACK_S <= at and (end is None or at <= end + _SLACK_S)


def _file(settings: Settings) -> Path:
    return settings.root / ".dagster" / "page_url"
