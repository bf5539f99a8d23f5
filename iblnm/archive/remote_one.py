"""ONE in remote mode: what the pipeline asks of a session, and the library's own methods.

Imported inside functions only: ONE is heavy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from one.alf.exceptions import ALFError
from one.api import OneAlyx
from one.converters import ses2records
from one.util import filter_datasets

from iblnm.archive.client import Client
from iblnm.archive.records import require_place
from iblnm.config import Settings
from iblnm.errors import InvalidNameError, MalformedFileError, NotFoundError
from iblnm.storage.names import validate_name, validate_relative_path


class RemoteOne(OneAlyx):
    """ONE in remote mode on `Client`.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings):
        self._web_client = Client(settings)
        self._search_endpoint = "sessions"
        settings.cache_dir.mkdir(parents=True, exist_ok=True)
        super(OneAlyx, self).__init__(mode="remote", cache_dir=settings.cache_dir)
        self.revision_before = settings.revision_before
        self.verified_dir = settings.cache_dir / ".verified"
        self.lock_timeout_s = settings.remote.lock_timeout_s
        self.file_limits = settings.files

    def describe(self, eid: str) -> tuple[Path | None, pd.DataFrame]:
        """Local folder of a session, and its datasets with their addresses (``url``).

        Raises
        ------
        MalformedFileError
            Alyx's record lacks something, or names what could not be a path.
        """
        try:
            detail = self.alyx.ask("sessions", "read", eid)
        except NotFoundError:
            return None, pd.DataFrame()
        return describe_record(detail, self.cache_dir)

    def download(self, url: str, path: Path, *, size: int | None = None) -> str:
        """Download a file and give its md5; see `Transport.download`."""
        return self.alyx.download(url, path, size=size)

    def record2url(self, record: Any) -> str:
        """Address of a dataset as Alyx records it."""
        eid, dataset = map(str, record.name)
        detail = self.alyx.ask("sessions", "read", eid)
        listed = detail.get("data_dataset_session_related") or []
        return next(item["data_url"] for item in listed if item["id"] == dataset)

    def save_cache(self, *_: Any, **__: Any) -> None:
        """Nothing: parallel processes would overwrite each other's tables."""

    def _download_datasets(self, dsets: Any, **kwargs: Any) -> Any:
        # the base class tries another service first, and without a deadline
        kwargs["keep_uuid"] = kwargs.get("keep_uuid", self.uuid_filenames)
        return self._download_dataset(dsets, **kwargs)

    def _tag_mismatched_file_record(self, url: str) -> None:
        """Nothing: the base class would write to Alyx."""


def describe_record(detail: dict[str, Any], cache_dir: Path) -> tuple[Path, pd.DataFrame]:
    """Local folder of a session, and its datasets with their addresses (``url``).

    Parameters
    ----------
    detail : dict
        REST detail of the session.
    cache_dir : Path
        Root of the archive.

    Raises
    ------
    MalformedFileError
        The record lacks something.
    InvalidNameError
        It names what could not be a path.
    """
    eid = detail.get("id")
    require_place(str(eid), number=detail.get("number"), start_time=detail.get("start_time"))
    try:
        on_server = [
            item
            for item in detail.get("data_dataset_session_related") or []
            if item.get("data_url")
        ]
        session, datasets = ses2records({**detail, "data_dataset_session_related": on_server})
        names = [detail["lab"], "Subjects", session["subject"], str(session["date"])]
        folder = cache_dir.joinpath(*map(validate_name, names), f"{session['number']:03d}")
        # the library's own list leaves out the same: datasets whose quality is critical
        datasets = filter_datasets(
            datasets, revision_last_before=False, assert_unique=False, wildcards=True
        )
        urls = {item["id"]: item["data_url"] for item in on_server}
        datasets["url"] = [urls[str(key)] for key in datasets.index.get_level_values("id")]
    except InvalidNameError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, ALFError) as error:
        raise MalformedFileError(
            f"Alyx's record of the session cannot be used: {error!r}", eid=eid
        ) from error
    for rel_path in datasets["rel_path"]:
        validate_relative_path(rel_path, eid=eid)
    return folder, datasets
