"""Many sessions and their recordings: selection, iteration, analyses."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.recordings import collect_recordings, explode_sessions, is_exploded
from iblnm.config import Settings, get_settings
from iblnm.data._group_analyses import GroupAnalyses
from iblnm.data._group_process import ProcessLog, run_here, run_in_workers
from iblnm.data._session_cache import STORED_GROUPS, LazyConnection, SessionCache, open_session
from iblnm.data.group_tables import read_catalog, selection_tables
from iblnm.data.session import PhotometrySession
from iblnm.errors import DataError
from iblnm.pipeline.error_log import LOG_COLUMNS, make_log_entry
from iblnm.pipeline.rules.cohort import TrueDuplicateSession, one_of_day
from iblnm.pipeline.rules.values import as_values
from iblnm.pipeline.selection import (
    Criterion,
    account_in_words,
    select_sessions,
    what_removed_all,
    with_performance,
)
from iblnm.schemas.selection import SESSION_SELECTION


class PhotometrySessionGroup(GroupAnalyses):
    """A selection of sessions, and the analyses over their recordings.

    The catalog that the group was made from stays whole; a filter changes only which of
    its sessions and recordings are in use. Results of analyses start as None, are filled by
    the methods, and become None again when the recordings in use change; tables of trials
    and recordings are cut to the recordings that stay.

    Parameters
    ----------
    sessions : DataFrame
        One row per session, with list columns as in the sessions table; or one row per
        recording, as exploding these columns gives.
    one : ONE, optional
        Any object with the methods that are used; the connection of the settings by default,
        opened at first use.
    h5_dir : path, optional
        Folder of the session files; that of the settings by default.
    settings : Settings, optional
        Those of the process by default. ``cohort.max_cached_sessions`` limits how many
        sessions are in memory.
    errors, performance, labels : DataFrame, optional
        What the criteria of `filter_sessions` need; by default they are read from the files
        of the settings when they are needed.

    Attributes
    ----------
    sessions : DataFrame
        Sessions in use.
    recordings : DataFrame
        Recordings in use, one row each: the columns of the session with ``brain_region``,
        ``recording_name``, ``hemisphere`` and ``target_NM`` of the fiber, and ``fiber_idx``.
    h5_groups : tuple of str
        Parts of the session file that a session of the group is opened with.

    Examples
    --------
    >>> sessions = pd.DataFrame(
    ...     {
    ...         "eid": ["0a64126d-a149-4d28-80d8-00a5ca60c681"],
    ...         "subject": ["m1"],
    ...         "brain_region": [["VTA", "SNc"]],
    ...         "hemisphere": [["l", "r"]],
    ...         "target_NM": [["VTA-DA", "SNc-DA"]],
    ...     }
    ... )
    >>> group = PhotometrySessionGroup(sessions)
    >>> len(group), group.recordings["fiber_idx"].tolist()
    (2, [0, 1])
    >>> len(group.filter(group.recordings["target_NM"] == "SNc-DA"))
    1
    """

    def __init__(
        self,
        sessions: pd.DataFrame,
        one: Any = None,
        h5_dir: Path | str | None = None,
        *,
        settings: Settings | None = None,
        errors: pd.DataFrame | None = None,
        performance: pd.DataFrame | None = None,
        labels: pd.DataFrame | None = None,
    ):
        self.settings = settings or get_settings()
        self.one = LazyConnection(self.settings) if one is None else one
        self.h5_dir = self.settings.sessions_h5_dir if h5_dir is None else Path(h5_dir)
        self.h5_groups: tuple[str, ...] = STORED_GROUPS
        if is_exploded(sessions):
            sessions = collect_recordings(sessions)
        repeated = sessions["eid"][sessions["eid"].duplicated()]
        if len(repeated):
            raise DataError(
                f"{len(repeated)} sessions are listed more than once; a table with one row per "
                "session is expected",
                eid=str(repeated.iloc[0]),
            )
        self._catalog = sessions.copy()
        self._positions = {eid: i for i, eid in enumerate(sessions["eid"])}
        self._given = {"errors": errors, "performance": performance, "labels": labels}
        self._targets: tuple[str, ...] | None = None
        self._cache = SessionCache(self._open, self.settings.cohort.max_cached_sessions)
        self._duplicates: set[str] = set()
        self._told_empty = False
        self.account = SESSION_SELECTION.empty()
        self._sessions = self._catalog
        self._recordings: pd.DataFrame | None = None
        self._forget_results()

    @classmethod
    def from_catalog(
        cls,
        catalog: pd.DataFrame | Path | str,
        one: Any = None,
        h5_dir: Path | str | None = None,
        *,
        settings: Settings | None = None,
        errors: pd.DataFrame | None = None,
        performance: pd.DataFrame | None = None,
        labels: pd.DataFrame | None = None,
        verbose: bool = True,
        **criteria: Any,
    ) -> PhotometrySessionGroup:
        """The group of a catalog: its sessions selected, one row per recording.

        Parameters
        ----------
        catalog : path or DataFrame
            The sessions table.
        one, h5_dir, settings, errors, performance, labels
            As for the class.
        verbose : bool
            Whether the account of the selection is printed.
        **criteria
            As for `filter_sessions`.
        """
        settings = settings or get_settings()
        group = cls(
            read_catalog(catalog),
            one,
            h5_dir,
            settings=settings,
            errors=errors,
            performance=performance,
            labels=labels,
        )
        group.filter_sessions(verbose=verbose, **criteria)
        group.explode_recordings()
        return group

    # selection -----------------------------------------------------------------------------

    def filter_sessions(
        self,
        session_types: Criterion = None,
        exclude_subjects: Criterion = None,
        qc_blockers: Criterion = None,
        targetnms: Criterion = None,
        min_performance: float | dict[str, float] | bool | None = None,
        required_contrasts: Criterion = None,
        lab: Any = False,
        start_time_min: Any = False,
        *,
        deduplicate: bool = True,
        labels: pd.DataFrame | bool | None = None,
        verbose: bool = True,
    ) -> pd.DataFrame:
        """Select sessions of the whole catalog, whatever was selected before.

        Parameters
        ----------
        session_types, exclude_subjects, qc_blockers, min_performance, required_contrasts
            As for `iblnm.pipeline.selection.select_sessions`: None is the default of the
            settings, False leaves the criterion out, and a single name or number is one
            value.
        targetnms : str or collection of str
            Targets; recordings of other targets are left out too.
        lab, start_time_min
            Left out by default.
        deduplicate : bool
        labels : DataFrame or False, optional
            Human verdicts; those of the settings' file by default.
        verbose : bool
            Whether the account is printed.

        Returns
        -------
        DataFrame
            What each criterion removed; also in ``account``.

        Raises
        ------
        DataError
            If a session type, target or error is not known at all; see `select_sessions`.
        """
        tables = selection_tables(self.settings, **self._given)
        selected, account = select_sessions(
            self._catalog[~self._catalog["eid"].isin(self._duplicates)],
            session_types=session_types,
            exclude_subjects=exclude_subjects,
            qc_blockers=qc_blockers,
            targets=targetnms,
            min_performance=min_performance,
            required_contrasts=required_contrasts,
            lab=lab,
            start_time_min=start_time_min,
            deduplicate=deduplicate,
            labels=tables["labels"] if labels is None else labels,
            errors=tables["errors"],
            performance=tables["performance"],
            settings=self.settings,
        )
        wanted = self.settings.analysed_targets if targetnms is None else targetnms
        self._targets = None if wanted is False else tuple(as_values(wanted))
        self.account = account
        self._use(selected.reset_index(drop=True), None)
        if verbose:
            print(account_in_words(account))
        return account

    def explode_recordings(self) -> pd.DataFrame:
        """One row per recording of the sessions in use, of the targets asked for.

        Returns
        -------
        DataFrame
            Also in ``recordings``; undoes `filter`, as far as sessions are left.
        """
        self._use(self.sessions, explode_sessions(self.sessions, self._targets))
        return self.recordings

    @property
    def sessions(self) -> pd.DataFrame:
        """Sessions in use; assigned, these and their recordings are in use."""
        return self._sessions

    @sessions.setter
    def sessions(self, sessions: pd.DataFrame) -> None:
        self._use(sessions.reset_index(drop=True), None)

    @property
    def recordings(self) -> pd.DataFrame:
        """Recordings in use, one row each; assigned, these and their sessions are in use."""
        if self._recordings is None:
            self._recordings = explode_sessions(self.sessions, self._targets)
        return self._recordings

    @recordings.setter
    def recordings(self, recordings: pd.DataFrame) -> None:
        self._keep(recordings)

    def filter(self, mask: Any) -> PhotometrySessionGroup:
        """Keep the recordings for which a mask is true, and their sessions.

        Parameters
        ----------
        mask : array-like of bool, shape (n_recordings,), or callable
            In the order of ``recordings``; a missing value counts as false. A function takes
            the table ``recordings`` and returns the mask.

        Returns
        -------
        PhotometrySessionGroup
            This group.

        Raises
        ------
        ValueError
            If the mask has another length, or is not boolean.
        """
        mask = mask(self.recordings) if callable(mask) else mask
        values = pd.array(np.asarray(mask, dtype=object), dtype="boolean").fillna(False)
        if len(values) != len(self.recordings):
            raise ValueError(
                f"a mask of {len(values)} values for {len(self.recordings)} recordings"
            )
        self._keep(self.recordings[values.to_numpy(dtype=bool)])
        return self

    def deduplicate(self) -> pd.DataFrame:
        """Keep one session of each subject and day of the catalog, also in later filters.

        It is the first without a disqualifying error (in the catalog's ``logged_errors``)
        that the default selection keeps; see `iblnm.pipeline.rules.cohort.one_of_day`.

        Returns
        -------
        DataFrame
            One row per session that is left out from now on, with the columns of an error log;
            the message names the session that stays.
        """
        catalog = self._catalog[~self._catalog["eid"].isin(self._duplicates)]
        performance = selection_tables(self.settings, **self._given)["performance"]
        known = catalog if performance is None else with_performance(catalog, performance)
        used = one_of_day(known.set_axis(catalog.index), self.settings)
        left_out = catalog.assign(used=used)[used != catalog["eid"]]
        entries = [
            make_log_entry(
                row.eid,
                error_type=TrueDuplicateSession.__name__,
                error_message=f"{row.subject} has another session on {str(row.start_time)[:10]}; "
                f"{row.used} is used.",
            )
            for row in left_out.itertuples()
        ]
        self._duplicates |= set(left_out["eid"])
        if self.recordings["eid"].isin(self._duplicates).any():
            self.filter(~self.recordings["eid"].isin(self._duplicates))
        return pd.DataFrame(entries, columns=LOG_COLUMNS)

    # sessions ------------------------------------------------------------------------------

    def session(self, eid: str) -> PhotometrySession:
        """A session of the catalog, with what its session file holds.

        The sessions used last are kept; see `max_cached_sessions` of the settings.
        """
        return self._cache.get(eid)

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(
        self, position: int | slice
    ) -> tuple[pd.Series, PhotometrySession] | PhotometrySessionGroup:
        """A recording and its session; for a slice, a group of its recordings.

        The group of a slice is a new one, which opens a session when it is asked for, like
        this one; this one stays as it is.
        """
        if isinstance(position, slice):
            part = copy.copy(self)
            part._keep(self.recordings.iloc[position])
            return part
        recording = self.recordings.iloc[int(position)]
        return recording, self.session(recording["eid"])

    def __iter__(self) -> Iterator[tuple[pd.Series, PhotometrySession]]:
        for position in range(len(self.recordings)):
            yield self[position]

    def __repr__(self) -> str:
        sessions, recordings = self.sessions, self.recordings
        return (
            f"<{type(self).__name__}: {len(recordings)} recordings, {len(sessions)} sessions, "
            f"{sessions['subject'].nunique()} subjects>"
        )

    def process(self, fn: Callable | str, workers: int = 1, **kwargs: Any) -> ProcessLog:
        """Call a function for each session in use; one that fails does not stop the others.

        Parameters
        ----------
        fn : callable or str
            Takes a `PhotometrySession` and `kwargs`; a text names a method of it. With
            several workers it must be a function of a module, and every process opens the
            archive of the settings itself.
        workers : int
            Processes.
        **kwargs
            Passed on.

        Returns
        -------
        ProcessLog
            A list with one element per row of ``sessions``: what the function returned, None
            where it failed. ``.failures`` has an entry (eid, error_type, error_message,
            traceback) per session that failed, ``.results`` the values by eid; a warning
            counts them. What a session logged, and its failure, are stored in the errors of its
            file.

        Raises
        ------
        TypeError
            If `fn` is neither a function nor the name of a method.
        """
        method = getattr(PhotometrySession, fn, None) if isinstance(fn, str) else fn
        if not callable(method):
            raise TypeError(
                f"a function or the name of a method of PhotometrySession is expected, not {fn!r}"
            )
        eids = self.sessions["eid"].tolist()
        if workers <= 1:
            log = run_here(eids, self.session, method, kwargs, self.h5_dir)
        else:
            log = run_in_workers(
                ((eid, self._row(eid)) for eid in eids),
                method,
                kwargs,
                workers=workers,
                settings=self.settings,
                h5_dir=self.h5_dir,
                groups=self.h5_groups,
            )
        if log.failures:
            warnings.warn(f"{log!r}", stacklevel=2)
        return log

    # inside --------------------------------------------------------------------------------

    def _row(self, eid: str) -> pd.Series:
        if eid not in self._positions:
            raise DataError("the catalog of the group has no such session", eid=eid)
        return self._catalog.iloc[self._positions[eid]]

    def _open(self, eid: str) -> PhotometrySession:
        return open_session(self._row(eid), self.one, self.settings, self.h5_dir, self.h5_groups)

    def _keep(self, recordings: pd.DataFrame) -> None:
        sessions = self.sessions[self.sessions["eid"].isin(recordings["eid"])]
        self._use(sessions.reset_index(drop=True), recordings.reset_index(drop=True))

    def _use(self, sessions: pd.DataFrame, recordings: pd.DataFrame | None) -> None:
        """Change what is in use; tables are cut to it, other results forgotten."""
        self._told_empty = False
        before = None if self._recordings is None else _keys(self._recordings)
        self._sessions, self._recordings = sessions, recordings
        kept = (
            self._cut_tables() if before is not None and _keys(self.recordings) <= before else {}
        )
        self._forget_results()
        for name, table in kept.items():
            setattr(self, name, table)

    def _tell_if_empty(self) -> None:
        """Warn, once for each selection, that an analysis has nothing to work on."""
        if self._told_empty or len(self.recordings):
            return
        self._told_empty = True
        why = what_removed_all(self.account) or "filter() or the targets left none"
        # the analysis, and what calls it
        warnings.warn(f"the group has no recordings: {why}", stacklevel=3)


def _keys(recordings: pd.DataFrame) -> set[tuple[str, int]]:
    return set(zip(recordings["eid"], recordings["fiber_idx"], strict=True))
