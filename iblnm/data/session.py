"""One session with its data: load, validate, process, store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.config import Settings, get_settings
from iblnm.data._session_behavior import Behavior
from iblnm.data._session_files import load_session_file, save_session_file
from iblnm.data._session_quality import Quality
from iblnm.data._session_signal import Signal
from iblnm.pipeline.error_log import LOG_COLUMNS, make_log_entry, unique_entries
from iblnm.pipeline.rules import RULES, evaluate
from iblnm.pipeline.rules.values import as_row, get, get_list, is_null
from iblnm.schemas import LIST, SESSIONS

if TYPE_CHECKING:
    import xarray as xr

PREPROCESSED = "GCaMP_preprocessed"
_LISTS = {column.name for column in SESSIONS.columns if column.dtype == LIST}


class PhotometrySession(Behavior, Signal, Quality):
    """A row of the sessions table, with methods for the data behind it.

    Every column of the row is an attribute (``ps.eid``, ``ps.subject``, ``ps.NM``); a column
    that the row lacks is None, and a list of that kind is empty. Data start empty, are filled
    by the ``load_*``, ``run_*`` and ``extract_*`` methods, and may be assigned directly. The
    row's own ``qc`` (the verdict on Alyx) is in ``ps.to_series()["qc"]``, since ``ps.qc`` is
    the table of signal quality.

    Parameters
    ----------
    session_series : Series, mapping or one-row DataFrame
        With ``eid`` (or ``id``).
    *args
        The ONE client may be given as second argument.
    one : ONE, optional
        Any object with the methods that are used; the default connection at first use.
    load_data : bool
        Whether to load trials and photometry at once.
    settings : Settings, optional
        Those of the process by default.
    **kwargs
        Further columns of the row.

    Attributes
    ----------
    trials : DataFrame or None
        One row per trial, columns of ALF and derived ones; see `load_trials`.
    photometry : dict of str to DataFrame
        By band: index ``times`` [s, session clock], one column per recording name. After
        `preprocess` also ``GCaMP_preprocessed``.
    qc : DataFrame
        One row per region and band; see `run_raw_qc` and `run_sliding_qc`.
    responses : dict of str to DataArray
        By recording name, dims (event, trial, time); see `extract_responses`.
    wheel : DataFrame or None
        Columns times [s], position [rad], velocity [rad/s].
    wheel_velocity : DataArray or None
        Dims (trial, time), rad/s; see `extract_wheel_velocity`.
    errors : list of dict
        Entries with eid, error_type, error_message, traceback.

    Examples
    --------
    >>> ps = PhotometrySession({"eid": "0a64126d-a149-4d28-80d8-00a5ca60c681", "NM": "DA"})
    >>> ps.NM, ps.lab, ps.photometry, len(ps.qc)
    ('DA', None, {}, 0)
    """

    settings: Settings
    trials: pd.DataFrame | None
    photometry: dict[str, pd.DataFrame]
    qc: pd.DataFrame
    responses: dict[str, xr.DataArray]
    wheel: pd.DataFrame | None
    wheel_velocity: xr.DataArray | None
    errors: list[dict[str, Any]]

    def __init__(
        self,
        session_series: Any,
        *args: Any,
        one: Any = None,
        load_data: bool = False,
        settings: Settings | None = None,
        **kwargs: Any,
    ):
        if len(args) > 1:
            raise TypeError(f"1 or 2 positional arguments are expected, found {1 + len(args)}")
        fields = {str(name): value for name, value in as_row(session_series).items()}
        fields = {**fields, **kwargs}
        if is_null(fields.get("eid")) and not is_null(fields.get("id")):
            fields["eid"] = fields["id"]
        if is_null(fields.get("eid")):
            raise ValueError("the row has no eid")
        fields["eid"] = str(fields["eid"])
        # the row decides later which names are columns, so that these are set around it
        self.__dict__.update(
            _row=fields,
            _one=one if one is not None or not args else args[0],
            settings=settings or get_settings(),
            trials=None,
            photometry={},
            qc=pd.DataFrame(),
            responses={},
            wheel=None,
            wheel_velocity=None,
            errors=[],
            _reference=None,
            _raw_metrics=None,
            _recordings={},
            _wheel_samples=None,
        )
        if load_data:
            self.load_trials()
            self.load_photometry()

    def __getattr__(self, name: str) -> Any:
        row = self.__dict__.get("_row", {})
        if name in row and not (name in _LISTS and is_null(row[name])):
            return row[name]
        if name in SESSIONS.names and row:
            return [] if name in _LISTS else None
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        is_own = name in self.__dict__ or hasattr(type(self), name)
        if not is_own and (name in SESSIONS.names or name in self._row):
            self._row[name] = value
        else:
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        where = f"{self.subject} {str(self.start_time)[:10]}" if self.subject else "session"
        return f"<{type(self).__name__} {where} {self.eid}>"

    @property
    def one(self) -> Any:
        """The ONE client; connected at first use."""
        if self._one is None:
            from iblnm.archive import _get_default_connection

            self._one = _get_default_connection()
        return self._one

    @one.setter
    def one(self, client: Any) -> None:
        self._one = client

    @property
    def date(self) -> str | None:
        """Day of the session, YYYY-MM-DD."""
        return None if is_null(self.start_time) else str(self.start_time)[:10]

    @property
    def session_path(self) -> Path | None:
        """Folder of the session in ONE's cache."""
        return self.one.eid2path(self.eid)

    @classmethod
    def from_h5(
        cls, fpath: Path | str, one: Any = None, settings: Settings | None = None
    ) -> PhotometrySession:
        """The session that a session file holds, with all the data in it.

        Parameters
        ----------
        fpath : path
        one : ONE, optional
        settings : Settings, optional

        Raises
        ------
        MissingFileError, UnreadableFileError
            If there is no such file, or it cannot be read.
        KeyError
            If the file has no metadata.
        """
        from iblnm.storage.h5 import read_group

        session = cls(read_group(fpath, "metadata"), one=one, settings=settings)
        return session.load_h5(fpath)

    def from_alyx(self) -> PhotometrySession:
        """Fill the row from the archive, and log the rules about it that are broken.

        Returns
        -------
        PhotometrySession
            This session; ``errors`` has one entry per broken rule.
        """
        from iblnm.archive.sessions import fetch_session

        self._row.update(fetch_session(self.one, self.eid, self.settings).iloc[0].to_dict())
        outcomes = evaluate("session", self.settings, session_row=self.to_series())
        names = {rule.exception.__name__ for rule in RULES.values() if rule.asset == "session"}
        self.errors = [entry for entry in self.errors if entry["error_type"] not in names]
        for outcome in outcomes:
            if not outcome.passed:
                exception = RULES[outcome.rule].exception
                self.log_error(exception(outcome.message, outcome=outcome))
        return self

    def log_error(self, error: BaseException) -> dict[str, Any]:
        """Append an error to ``errors``; returns the entry."""
        entry = make_log_entry(self.eid, error)
        self.errors.append(entry)
        return entry

    def to_dict(self) -> dict[str, Any]:
        """The row: every column with its present value."""
        return dict(self._row)

    def to_series(self) -> pd.Series:
        """The row as Series of objects, as one row of the sessions table."""
        return pd.Series(self._row, name=self.eid, dtype=object)

    @property
    def error_log(self) -> pd.DataFrame:
        """``errors`` as a table; entries of equal eid, type and message once."""
        return unique_entries(pd.DataFrame(self.errors, columns=LOG_COLUMNS))

    @property
    def recordings(self) -> dict[str, dict[str, Any]]:
        """Fiber, region, side and target by recording name."""
        regions = get_list(self._row, "brain_region")
        names = get_list(self._row, "recording_name") or regions
        columns = ("brain_region", "hemisphere", "target_NM")
        lists = {name: get_list(self._row, name) for name in columns}
        return {
            name: {
                "fiber_idx": i,
                **{key: values[i] if i < len(values) else None for key, values in lists.items()},
            }
            for i, name in enumerate(names)
            if name is not None
        }

    def save_h5(
        self,
        fpath: Path | str | None = None,
        groups: Iterable[str] | None = None,
        band: str = PREPROCESSED,
        mode: str = "a",
    ) -> Path:
        """Store what the session holds in its session file, in one atomic step.

        Parameters
        ----------
        fpath : path, optional
            ``{eid}.h5`` in the folder of the settings by default.
        groups : iterable of str, optional
            Of 'metadata', 'errors', 'photometry', 'trials', 'wheel', or a part of the
            photometry: 'photometry/qc', 'photometry/preprocessed', 'photometry/responses'
            (also 'signal', 'responses' and
            'photometry_qc_metrics'). All that is present by default.
        band : str
            Which preprocessed band is stored.
        mode : {'a', 'w'}
            Whether groups that are not written stay in the file or are removed.

        Returns
        -------
        Path
            The file.
        """
        if fpath is None:
            from iblnm.storage.names import validate_eid

            fpath = self.settings.sessions_h5_dir / f"{validate_eid(self.eid)}.h5"
        return save_session_file(self, Path(fpath), groups, band, mode)

    def load_h5(
        self,
        fpath: Path | str | None = None,
        groups: Iterable[str] | None = None,
        band: str = PREPROCESSED,
    ) -> PhotometrySession:
        """Fill the session from its session file.

        Parameters
        ----------
        fpath : path, optional
            As in `save_h5`.
        groups : iterable of str, optional
            As in `save_h5`; all that the file has by default.
        band : str
            Name under which the preprocessed signal appears in ``photometry``.

        Returns
        -------
        PhotometrySession
            This session.
        """
        if fpath is None:
            fpath = self.settings.sessions_h5_dir / f"{self.eid}.h5"
        load_session_file(self, Path(fpath), groups, band)
        return self

    def view(self) -> Any:
        """Look at what the session holds: signals, responses, behavior, checks.

        Returns
        -------
        PhotometrySessionViewer or Figure
            In a notebook the page of `iblnm.gui.PhotometrySessionViewer`, without a server; in
            a script it opens in the browser; without a browser, the static figure.
        """
        from iblnm.viewer.notebook import PhotometrySessionViewer

        return PhotometrySessionViewer(self).show()

    def _complete_row(self, names: Iterable[str]) -> pd.Series:
        """The row, with columns that it lacks taken from the archive."""
        if any(name not in self._row for name in names):
            from iblnm.archive.sessions import fetch_session

            fetched: Mapping[str, Any] = fetch_session(self.one, self.eid, self.settings).iloc[0]
            for name in SESSIONS.names:
                if name not in self._row:
                    self._row[name] = get(fetched, name) if name in fetched else None
        return self.to_series()
