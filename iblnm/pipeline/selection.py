"""The one selection of sessions that all cohort analyses share, with an account of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

import iblnm.errors
from iblnm.config import Settings
from iblnm.errors import DataError, IblnmError
from iblnm.pipeline.criteria import (
    by_session,
    contrast_levels,
    have_datasets,
    have_parallel_lists,
    have_target,
    is_in,
    logged_names,
    perform,
    performance_in_words,
    subjects_from,
    unknown_in_words,
)
from iblnm.pipeline.graph import essential_stages, is_stage
from iblnm.pipeline.labels import label_sessions
from iblnm.pipeline.rules import RULES, error_types, umbrella_types
from iblnm.pipeline.rules.cohort import used_of_day
from iblnm.pipeline.rules.values import (
    as_values,
    get_list,
    join,
)
from iblnm.schemas.selection import SESSION_SELECTION

if TYPE_CHECKING:
    from iblnm.storage.store import SessionStore

Criterion = str | float | Collection | Literal[False] | None


def blocking_errors() -> set[str]:
    """Names of the errors that leave a session out by default: those of BLOCK rules.

    What `iblnm.pipeline.rules.disqualifying_errors` has besides concerns a single modality: a
    session without raw frames, or without a wheel, has responses all the same.
    """
    names = {rule.exception.__name__ for rule in RULES.values() if rule.severity == "BLOCK"}
    return error_types(names)


def select_sessions(
    sessions: pd.DataFrame,
    *,
    session_types: Criterion = None,
    exclude_subjects: Criterion = None,
    qc_blockers: Criterion = None,
    targets: Criterion = None,
    min_performance: float | Mapping[str, float] | Literal[False] | None = None,
    required_contrasts: Criterion = None,
    lab: str | Collection[str] | Literal[False] = False,
    start_time_min: str | Literal[False] = False,
    deduplicate: bool = True,
    labels: pd.DataFrame | Literal[False] | None = None,
    errors: pd.DataFrame | None = None,
    performance: pd.DataFrame | None = None,
    settings: Settings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sessions to analyse, and what each criterion removed.

    For every criterion None stands for the default of the settings, and False leaves it out.
    Where several values can be given, a single one stands for itself.

    Parameters
    ----------
    sessions : DataFrame
        Schema `iblnm.schemas.SESSIONS_TABLE`, or the columns of it that the criteria need.
    session_types : str or collection of str
    exclude_subjects : str or collection of str
        Names that no session has are no error.
    qc_blockers : str or collection of str
        Names of errors; an umbrella such as ``QCValidationError`` stands for all under it. A
        name that nobody knows is a warning. By default those of BLOCK rules
        (`blocking_errors`), and the failure of an asset without which there are no responses.
    targets : str or collection of str
        At least one fiber that no human dropped records from one of them.
    min_performance : float or mapping of session type to float
        Fraction correct that a session needs: a number for all types, or one for each type
        that is held to it. By default training sessions alone are.
    required_contrasts : float or collection of float
        The session has these contrasts (%), no other and none less.
    lab : str or collection of str
    start_time_min : str
        ISO 8601; subjects whose first session is earlier are left out, with all theirs. A
        time without zone is taken as UTC.
    deduplicate : bool
        Whether of a subject's sessions on one day only the first stays. It is applied last,
        so that a session that is left out does not stand in the way of another.
    labels : DataFrame, optional
        Human verdicts, schema `iblnm.schemas.LABELS`. By default those in the columns
        ``label`` and ``excluded`` of `sessions`.
    errors : DataFrame, optional
        ``eid`` and ``error_type``, also ``asset`` and ``severity``: schema
        `iblnm.schemas.ERRORS`, or an error log. The lists in the column ``logged_errors`` of
        `sessions` decide where they are there.
    performance : DataFrame, optional
        ``eid``, ``fraction_correct`` and ``contrasts``; these columns of `sessions` decide
        where they are there.
    settings : Settings

    Returns
    -------
    selected : DataFrame
        Rows of `sessions`, with ``label`` and ``excluded`` if labels were given.
    account : DataFrame
        Schema `iblnm.schemas.selection.SESSION_SELECTION`: one row per criterion, in order.

    Raises
    ------
    DataError
        If a criterion is asked for explicitly and the table that it needs was not given (a
        default criterion without its table removes nothing, and the account says so), or if
        it names a session type or target that neither the settings nor the tables know.
    """
    steps = _Steps(_with_labels(sessions, labels))

    types = _values_or_default(session_types, settings.analysed_session_types)
    if types is not False:
        _refuse_unknown("session type", session_types, _known_types(sessions, settings))
        steps.keep(
            f"session type in {join(types)}",
            lambda table: is_in(table, "session_type", types),
            setting=session_types is None and "ANALYSED_SESSION_TYPES",
        )
    subjects = _values_or_default(exclude_subjects, settings.excluded_subjects)
    if subjects is not False:
        steps.keep(
            f"subject not among {len(subjects)} excluded",
            lambda table: ~is_in(table, "subject", subjects),
            setting=exclude_subjects is None and "EXCLUDED_SUBJECTS",
        )
    if lab is not False:
        labs = as_values(lab)
        steps.keep(f"lab in {join(labs)}", lambda table: is_in(table, "lab", labs))
    if start_time_min is not False:
        first = pd.to_datetime(start_time_min, utc=True)
        late = subjects_from(sessions, first)
        steps.keep(
            f"subject's first session at {start_time_min} or later",
            lambda table: is_in(table, "subject", late),
        )
    if labels is not False:
        steps.keep(
            "no human verdict drop",
            lambda table: ~is_in(table, "label", ["drop"]),
            needs=("label",),
        )
    if "withdrawn" in steps.table:
        steps.keep("not withdrawn from the archive", lambda table: table["withdrawn"].isna())
    steps.keep("lists of fibers of equal length", have_parallel_lists)
    steps.keep(
        "trials and photometry listed",
        lambda table: have_datasets(table, settings),
        needs=("datasets",),
    )
    _keep_unblocked(steps, qc_blockers, errors)
    wanted = _values_or_default(targets, settings.analysed_targets)
    if wanted is not False:
        _refuse_unknown("target", targets, _known_targets(sessions, settings))
        steps.keep(
            f"target in {join(wanted)}",
            lambda table: have_target(table, wanted),
            setting=targets is None and "ANALYSED_TARGETS",
        )
    _keep_by_performance(steps, performance, min_performance, required_contrasts, settings)
    if deduplicate:
        steps.keep("first of the subject's day", first_of_day)
    return steps.table, steps.account()


def what_removed_all(account: pd.DataFrame) -> str:
    """The criterion that left no session, in words; empty if sessions are left."""
    last = account[(account["n_sessions"] == 0) & (account["n_sessions_before"] > 0)]
    if last.empty:
        return ""
    row = last.iloc[0]
    return f"'{row['criterion']}' removed the last {row['n_sessions_removed']}"


def account_in_words(account: pd.DataFrame) -> str:
    """The account of a selection as text, one line per criterion."""
    lines = [
        f"{row.criterion}: {row.n_sessions_before} - {row.n_sessions_removed} = "
        f"{row.n_sessions} sessions of {row.n_subjects} subjects"
        for row in account.itertuples()
    ]
    return "\n".join(lines)


class _Steps:
    """Sessions that are left, and the account of what was removed."""

    def __init__(self, table: pd.DataFrame):
        self.table = table
        self._rows: list[dict[str, Any]] = []

    def keep(
        self,
        criterion: str,
        passes: Callable[[pd.DataFrame], Any],
        *,
        needs: Iterable[str] = (),
        explicit: bool = False,
        setting: str | Literal[False] = False,
    ) -> None:
        missing = [name for name in needs if name not in self.table]
        if missing and explicit:
            raise DataError(
                f"the sessions cannot be held to '{criterion}': {join(missing)} is unknown; "
                "give the table with it, or leave the criterion out with False"
            )
        if missing:
            unapplied = f"{criterion} (not applied: no {join(missing)})"
            self._record(unapplied, self.table, [], setting)
            return
        mask = pd.Series(passes(self.table), index=self.table.index)
        mask = mask.astype("boolean").fillna(False).to_numpy(dtype=bool)
        removed = self.table["eid"][~mask].astype(str).tolist()
        self._record(criterion, self.table[mask], removed, setting)

    def _record(
        self,
        criterion: str,
        table: pd.DataFrame,
        removed: list[str],
        setting: str | Literal[False],
    ) -> None:
        self._rows.append(
            {
                "step": len(self._rows) + 1,
                "criterion": criterion,
                "n_sessions_before": len(self.table),
                "n_sessions_removed": len(removed),
                "n_sessions": len(table),
                "n_subjects": table["subject"].nunique() if "subject" in table else 0,
                "setting": f"IBLNM_{setting}" if setting else None,
                "eids_removed": removed,
            }
        )
        self.table = table

    def account(self) -> pd.DataFrame:
        return SESSION_SELECTION.conform(pd.DataFrame(self._rows, columns=SESSION_SELECTION.names))


def _or_default(value: Any, default: Collection) -> Any:
    return default if value is None else value


def _values_or_default(value: Criterion, default: Collection) -> Any:
    value = _or_default(value, default)
    return value if value is False else as_values(value)


def _refuse_unknown(what: str, given: Criterion, known: Collection[str]) -> None:
    if given is None or given is False:
        return
    unknown = [value for value in as_values(given) if value not in known]
    if unknown:
        raise DataError(
            f"no such {what}: {join(map(repr, unknown))}; known are {join(sorted(known))}"
        )


def _known_types(sessions: pd.DataFrame, settings: Settings) -> set[str]:
    found = sessions["session_type"] if "session_type" in sessions else pd.Series(dtype=object)
    words = settings.session_type_words.values()
    return {*words, *settings.analysed_session_types, *found.dropna()}


def _known_targets(sessions: pd.DataFrame, settings: Settings) -> set[str]:
    found = {name for row in sessions.to_dict("records") for name in get_list(row, "target_NM")}
    return {*settings.valid_targets, *settings.analysed_targets, *found} - {None}


def _known_errors(errors: pd.DataFrame | None) -> set[str]:
    """Names of rules' errors, of failures of assets, and of what is in the table."""
    failures = (entry for entry in vars(iblnm.errors).values() if isinstance(entry, type))
    names = {entry.__name__ for entry in failures if issubclass(entry, IblnmError)}
    names |= {rule.exception.__name__ for rule in RULES.values()}
    names |= umbrella_types(names)
    return names if errors is None else names | set(errors["error_type"].dropna())


def _with_labels(sessions: pd.DataFrame, labels: pd.DataFrame | Literal[False] | None) -> Any:
    if labels is None or labels is False:
        return sessions
    if "n_recordings" not in sessions:
        counts = [len(get_list({"v": v}, "v")) for v in sessions["brain_region"]]
        labeled = label_sessions(sessions.assign(n_recordings=counts), labels)
        return labeled.drop(columns="n_recordings")
    return label_sessions(sessions, labels)


def _keep_unblocked(steps: _Steps, blockers: Criterion, errors: pd.DataFrame | None) -> None:
    if blockers is False:
        return
    if blockers is None:
        names, named = blocking_errors(), "no blocking check"
    else:
        given = as_values(blockers)
        unknown = set(given) - _known_errors(errors) - logged_names(steps.table)
        if unknown:
            warnings.warn(unknown_in_words(unknown, _known_errors(errors)), stacklevel=4)
        names, named = error_types(given), f"no error of {join(sorted(given))}"
    if errors is None or "logged_errors" in steps.table:
        steps.keep(
            named,
            lambda table: [
                names.isdisjoint(get_list({"v": logged}, "v")) for logged in table["logged_errors"]
            ],
            needs=("logged_errors",),
            explicit=blockers is not None,
        )
        return
    blocked = errors["error_type"].isin(list(names))
    if blockers is None and {"asset", "severity"} <= set(errors):
        failed = (errors["severity"] == "FAILURE").fillna(False)
        blocked |= failed.astype(bool) & errors["asset"].isin(essential_stages())
    eids = set(errors.loc[blocked.astype(bool), "eid"])
    steps.keep(named, lambda table: ~is_in(table, "eid", eids))


def _keep_by_performance(
    steps: _Steps,
    performance: pd.DataFrame | None,
    min_performance: float | Mapping[str, float] | Literal[False] | None,
    contrasts: Criterion,
    settings: Settings,
) -> None:
    correct, shown = (
        by_session(steps.table, performance, name) for name in ("fraction_correct", "contrasts")
    )
    default = {"training": settings.thresholds.min_training_fraction_correct}
    limits = _or_default(min_performance, default)
    if limits is not False:
        steps.keep(
            performance_in_words(limits),
            lambda table: perform(table, correct, limits),
            needs=() if correct is not None else ("fraction_correct",),
            explicit=min_performance is not None,
            setting=min_performance is None and "THRESHOLDS__MIN_TRAINING_FRACTION_CORRECT",
        )
    required = _or_default(contrasts, settings.analysis_contrasts)
    if required is not False:
        levels = contrast_levels(required)
        steps.keep(
            f"contrasts {join(f'{level:g}' for level in sorted(levels))} %",
            lambda table: [contrast_levels(shown.get(eid)) == levels for eid in table["eid"]],
            needs=() if shown is not None else ("contrasts",),
            explicit=contrasts is not None,
            setting=contrasts is None and "ANALYSIS_CONTRASTS",
        )


def first_of_day(table: pd.DataFrame) -> np.ndarray:
    """Which sessions are the one that is used of their subject's day.

    Parameters
    ----------
    table : DataFrame
        See `iblnm.pipeline.rules.cohort.used_of_day`.

    Returns
    -------
    ndarray of bool, shape (n_sessions,)
        A session of unknown subject or day is no duplicate.
    """
    return (used_of_day(table) == table["eid"]).to_numpy(dtype=bool)


def passes_default_selection(sessions: pd.DataFrame, settings: Settings) -> np.ndarray:
    """Which sessions an analysis with the default criteria keeps, but for duplicates.

    Parameters
    ----------
    sessions : DataFrame
        As for `select_sessions`, with ``fraction_correct`` and ``contrasts`` as far as they
        are known (see `with_performance`) and ``logged_errors``. A criterion whose column is
        not there removes nothing.
    settings : Settings

    Returns
    -------
    ndarray of bool, shape (n_sessions,)
    """
    absent = {
        "session_types": "session_type" in sessions,
        "targets": "target_NM" in sessions,
        "exclude_subjects": "subject" in sessions,
        "min_performance": {"fraction_correct", "session_type"} <= set(sessions),
        "required_contrasts": "contrasts" in sessions,
    }
    off = {name: False for name, known in absent.items() if not known}
    kept, _ = select_sessions(sessions, settings=settings, deduplicate=False, **off)
    return sessions["eid"].isin(kept["eid"]).to_numpy()


def with_performance(sessions: pd.DataFrame, performance: pd.DataFrame) -> pd.DataFrame:
    """Sessions with ``fraction_correct`` and ``contrasts``, null where none was computed."""
    names = ["fraction_correct", "contrasts"]
    own = performance[["eid", *names]]
    return sessions.drop(columns=names, errors="ignore").merge(own, on="eid", how="left")


def with_stored_performance(sessions: pd.DataFrame, store: SessionStore) -> pd.DataFrame:
    """As `with_performance`; unchanged if the group that is run has no such stage."""
    if not is_stage("performance"):
        return sessions
    return with_performance(sessions, store.collect("performance"))
