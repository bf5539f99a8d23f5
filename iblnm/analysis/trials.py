"""Trials as all analyses take them: selection, coding, mask, baseline, window means, traces.

What is here is nowhere else: magnitudes, response vectors, mean traces, regressions, mixed
models and decoding start from the output of these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.analysis.derived import with_derived
from iblnm.analysis.remaining import remaining_trials
from iblnm.constants import TASK_CONTRASTS, TRIAL_EVENTS, UNBIASED, WHOLE_WINDOW
from iblnm.errors import MissingColumnError
from iblnm.signal.perievent import before_next_event, in_window, mean_of_finite

if TYPE_CHECKING:
    import xarray as xr

    from iblnm.config import Settings

MIN_RESPONSE_TIME_S = 0.05
BASELINE_WINDOW = (-0.1, 0.0)
EARLY_WINDOW = (0.1, 0.35)
SIDE_CODES = {"ipsi": -0.5, "contra": 0.5}
REWARD_CODES = {"incorrect": -0.5, "correct": 0.5}
OUTCOMES = {"correct": 1.0, "incorrect": -1.0}
RESPONSES = ("response_early", "response_kernel")
"""Columns of magnitudes that are stored in z."""

# selection --------------------------------------------------------------------------------


def select_trials(
    table: pd.DataFrame,
    *,
    probability_left: float | None = UNBIASED,
    min_response_time_s: float | None = MIN_RESPONSE_TIME_S,
    exclude_nogo: bool = True,
    response_col: str | None = "response_early",
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Trials of the unbiased block with a choice, a plausible time and a response.

    Parameters
    ----------
    table : DataFrame
        One row per trial, or per recording, event and trial; the columns of the criteria
        that are applied: ``probabilityLeft``, ``response_time`` (s), ``choice`` (0 is no
        choice) and `response_col`.
    probability_left : float, optional
        Block to keep; None keeps all.
    min_response_time_s : float, optional
        Trials with this response time or a shorter one, and those without one, are left out;
        None keeps all.
    exclude_nogo : bool
        Whether trials without a choice are left out.
    response_col : str, optional
        Rows without a finite value in this column are left out; None keeps all.

    Returns
    -------
    selected : DataFrame
        Rows of `table`, index and order kept.
    counts : dict of str to int
        ``candidate`` rows, then what each criterion removed of what the ones before it left
        (``other_block``, ``no_choice``, ``too_fast``, ``no_response``; only those applied),
        and ``eligible`` rows.

    Raises
    ------
    MalformedFileError
        If the table lacks a column that a criterion needs, or no trial has a value in it: that
        all trials fail it would be no finding.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {
    ...         "probabilityLeft": [0.5, 0.5, 0.8],
    ...         "choice": [1, 0, 1],
    ...         "response_time": [0.4, 60.0, 0.4],
    ...         "response_early": [0.1, 0.2, 0.3],
    ...     }
    ... )
    >>> select_trials(table)[1]
    {'candidate': 3, 'other_block': 1, 'no_choice': 1, 'too_fast': 0, 'no_response': 0, \
'eligible': 1}
    """
    criteria: list[tuple[str, str]] = []
    if probability_left is not None:
        criteria.append(("other_block", "probabilityLeft"))
    if exclude_nogo:
        criteria.append(("no_choice", "choice"))
    if min_response_time_s is not None:
        criteria.append(("too_fast", "response_time"))
    if response_col is not None:
        criteria.append(("no_response", response_col))
    missing = [column for _, column in criteria if column not in table]
    if missing:
        raise MissingColumnError(
            f"the table of trials has no column {', '.join(missing)}; "
            + (
                f"its responses are {_responses(table)}, by the windows of the settings"
                if response_col in missing
                else "pass None or False to leave a criterion out"
            )
        )
    unknown = [c for name, c in criteria if name != "no_response" and table[c].isna().all()]
    if len(table) and unknown:
        raise MissingColumnError(
            f"no trial of {len(table)} has a value of {', '.join(unknown)}; pass None or False to "
            "leave the criterion out"
        )
    keep = np.ones(len(table), dtype=bool)
    counts = {"candidate": len(table)}
    for name, column in criteria:
        values = table[column].to_numpy(dtype=float, na_value=np.nan)
        if name == "other_block":
            passed = np.isclose(values, probability_left)
        elif name == "no_choice":
            passed = np.isfinite(values) & (values != 0)
        elif name == "too_fast":
            passed = values > min_response_time_s
        else:
            passed = np.isfinite(values)
        counts[name] = int((keep & ~passed).sum())
        keep &= passed
    counts["eligible"] = int(keep.sum())
    return table[keep], counts


def analyzed_trials(
    table: pd.DataFrame,
    settings: Settings,
    response_col: str | None = "response_early",
    *,
    masked: bool = False,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Trials selected by the criteria of the settings, and a record of the selection.

    Parameters
    ----------
    table : DataFrame
        See `select_trials`.
    settings : Settings
        ``cohort.probability_left``, ``cohort.min_response_time_s``, ``cohort.response`` and
        ``cohort.unit``.
    response_col : str, optional
    masked : bool
        Leave ``response_early`` the masked mean minus the baseline in z, whatever the settings
        say.

    Returns
    -------
    selected : DataFrame
        Its ``response_early`` is the magnitude that the settings name, where the table has it,
        in their unit.
    record : dict
        For the provenance: which ``response``, ``unit``, ``probability_left``,
        ``min_response_time_s``, ``trial_rows``, what each criterion removed, and
        ``remaining_trials``, what the response alone costs
        (`iblnm.analysis.remaining.remaining_trials`).
    """
    criteria = {
        "probability_left": settings.cohort.probability_left,
        "min_response_time_s": settings.cohort.min_response_time_s,
    }
    kind = "early"
    if response_col == "response_early" and not masked:
        table, kind = _with_chosen_response(table, settings.cohort.response)
    unit = "z"
    if response_col in RESPONSES and not masked:
        unit = settings.cohort.unit
        table = in_unit(table, response_col, unit)
    selected, counts = select_trials(table, response_col=response_col, **criteria)
    record = {"response": kind, "unit": unit, **criteria, "trial_rows": counts}
    if response_col is not None and {"event", "target_NM"} <= set(table.columns):
        wanted, _ = select_trials(table, response_col=None, **criteria)
        record["remaining_trials"] = remaining_trials(wanted, response_col)
    return selected, record


def in_unit(table: pd.DataFrame, response_col: str, unit: str) -> pd.DataFrame:
    """Magnitudes in z or dF/F.

    Parameters
    ----------
    table : DataFrame
        Magnitudes in z, and ``signal_sd`` [dF/F per z] where dF/F is asked for.
    response_col : str
    unit : {'z', 'dff'}

    Returns
    -------
    DataFrame
        In dF/F those of recordings whose scale is not stored are missing.

    Raises
    ------
    MissingColumnError
        If dF/F is asked for and no recording has a scale.

    Examples
    --------
    >>> table = pd.DataFrame({"response_early": [2.0], "signal_sd": [0.01]})
    >>> in_unit(table, "response_early", "dff")["response_early"].tolist()
    [0.02]
    """
    if unit == "z" or response_col not in table:
        return table
    if "signal_sd" not in table or (len(table) and table["signal_sd"].isna().all()):
        raise MissingColumnError(
            "dF/F is asked for (IBLNM_COHORT__UNIT), and the table of magnitudes has no value of "
            "signal_sd, by which z is multiplied"
        )
    values = table[[response_col, "signal_sd"]].to_numpy(dtype=float, na_value=np.nan)
    return table.assign(**{response_col: values.prod(axis=1)})


def _responses(table: pd.DataFrame) -> list[str]:
    """Columns with a magnitude of the response in a window."""
    names = [name for name in map(str, table.columns) if name.startswith("response_")]
    return [name for name in names if name not in ("response_time", "response_times")]


def _with_chosen_response(table: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, str]:
    if kind == "kernel" and "response_kernel" in table and table["response_kernel"].notna().any():
        return table.assign(response_early=table["response_kernel"]), "kernel"
    return table, "early"


# coding -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ContrastCoding:
    """A coding of contrast for regression, centered on the analyzed contrasts.

    Parameters
    ----------
    name : {'log', 'linear', 'rank'}
        ln(c + 1); the percentage itself; or the position among the levels, NaN for other
        contrasts, whatever contrasts a data set holds.
    levels : sequence of float
        Analyzed contrasts [%].

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> ContrastCoding("rank", (0.0, 25.0, 100.0)).encode([25.0, 50.0]).tolist()
    [1.0, nan]
    >>> round(ContrastCoding("log", (0.0, 100.0)).center, 4)
    2.3076
    """

    name: str = "log"
    levels: Sequence[float] = TASK_CONTRASTS

    def __post_init__(self) -> None:
        if self.name not in _CODINGS:
            raise ValueError(
                f"coding {self.name!r} is unknown; known are 'log', 'linear' and 'rank'"
            )
        object.__setattr__(self, "levels", tuple(float(level) for level in self.levels))

    def encode(self, contrast: Any) -> Any:
        """Code of a contrast in percent, not centered."""
        return _CODINGS[self.name][0](contrast, self.levels)

    def decode(self, coded: Any) -> Any:
        """Contrast in percent of a code that is not centered."""
        return _CODINGS[self.name][1](coded, self.levels)

    @property
    def center(self) -> float:
        """Mean code of the levels; it does not depend on the trials."""
        return float(np.mean(self.encode(np.asarray(self.levels))))


def _to_rank(contrast: Any, levels: Sequence[float]) -> np.ndarray:
    ordered = np.sort(levels)
    contrast = np.asarray(contrast, dtype=float)
    rank = np.clip(np.searchsorted(ordered, contrast), 0, len(ordered) - 1)
    return np.where(np.isclose(ordered[rank], contrast), rank.astype(float), np.nan)


def _from_rank(rank: Any, levels: Sequence[float]) -> np.ndarray:
    return np.interp(rank, np.arange(len(levels)), np.sort(levels))


_CODINGS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "log": (lambda c, _: np.log1p(c), lambda x, _: np.expm1(x)),
    "linear": (lambda c, _: c, lambda x, _: x),
    "rank": (_to_rank, _from_rank),
}


def unknown_contrasts(
    trials: pd.DataFrame, contrast_coding: str, contrasts: Sequence[float] = TASK_CONTRASTS
) -> dict[float, int]:
    """Contrasts [%] that a coding has no number for, with their trials; see `ContrastCoding`."""
    if "contrast" not in trials:
        return {}
    percent = trials["contrast"].to_numpy(dtype=float, na_value=np.nan)
    coded = np.asarray(ContrastCoding(contrast_coding, contrasts).encode(percent), dtype=float)
    values, counts = np.unique(percent[np.isfinite(percent) & np.isnan(coded)], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def code_factors(trials: pd.DataFrame, coding: ContrastCoding) -> pd.DataFrame:
    """Contrast, side and outcome of trials as numbers.

    Parameters
    ----------
    trials : DataFrame
        ``contrast`` [%], ``side`` ('contra' or 'ipsi') and, if it is there, ``feedbackType``
        (1 or −1).
    coding : ContrastCoding

    Returns
    -------
    DataFrame, float64
        ``contrast`` (coded and centered), ``side`` (contra +.5, ipsi −.5) and ``reward``
        (correct +.5, incorrect −.5; only with ``feedbackType``). What is unknown is NaN.
    """
    percent = trials["contrast"].to_numpy(dtype=float, na_value=np.nan)
    side = trials["side"].astype(object).map(SIDE_CODES).astype(float).to_numpy()
    coded = {
        "contrast": np.asarray(coding.encode(percent), dtype=float) - coding.center,
        "side": side,
    }
    if "feedbackType" in trials:
        feedback = trials["feedbackType"].to_numpy(dtype=float, na_value=np.nan)
        coded["reward"] = np.full(len(trials), np.nan)
        for outcome, value in OUTCOMES.items():
            coded["reward"][feedback == value] = REWARD_CODES[outcome]
    return pd.DataFrame(coded, index=trials.index)


def code_trials(
    df: pd.DataFrame,
    response_col: str,
    contrast_coding: str = "log",
    *,
    contrasts: Sequence[float] = TASK_CONTRASTS,
) -> tuple[pd.DataFrame, float]:
    """Trials as the mixed models see them.

    Parameters
    ----------
    df : DataFrame
        ``subject``, ``contrast`` (%), ``side`` ('contra' or 'ipsi'), ``feedbackType`` (1 or
        −1) and the response; other columns are kept.
    response_col : str
    contrast_coding : {'log', 'linear', 'rank'}
    contrasts : sequence of float
        Analyzed contrasts [%], on whose mean code contrast is centered.

    Returns
    -------
    coded : DataFrame
        ``response``, ``contrast``, ``side`` and ``reward`` (where ``feedbackType`` is there)
        as of `code_factors`, ``percent``, and the other columns; rows without response,
        contrast, side or outcome are left out.
    center : float
        Mean of the coded `contrasts`. It does not depend on the trials, so coefficients
        compare between targets and events.

    Raises
    ------
    DataError
        If a column is missing.
    """
    df = with_derived(df)
    missing = [c for c in ("subject", "contrast", "side", response_col) if c not in df]
    if missing:
        raise MissingColumnError(f"the table of trials has no column {', '.join(missing)}")
    coding = ContrastCoding(contrast_coding, contrasts)
    factors = code_factors(df, coding)
    coded = df.assign(
        response=df[response_col].to_numpy(dtype=float, na_value=np.nan),
        percent=df["contrast"].to_numpy(dtype=float, na_value=np.nan),
        **{name: factors[name] for name in factors},
    )
    needed = ["response", *factors]
    return coded[np.isfinite(coded[needed]).all(axis=1) & coded["subject"].notna()], coding.center


# mask, baseline, window means, traces -----------------------------------------------------


def early_responses(
    responses: xr.DataArray,
    trials: pd.DataFrame,
    *,
    event_order: Sequence[str] = TRIAL_EVENTS,
    baseline_window: tuple[float, float] = BASELINE_WINDOW,
    window: tuple[float, float] = EARLY_WINDOW,
    min_coverage: float = WHOLE_WINDOW,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean response of each trial in a window, minus its baseline, up to the next event.

    Parameters
    ----------
    responses : DataArray (event, trial, time)
        Peri-event signal of one recording; ``trial`` holds row positions of `trials`.
    trials : DataFrame
        Times of the events in `event_order`, s.
    event_order : sequence of str
        Order of the events in a trial. Samples from the next event on do not count; see
        `iblnm.signal.perievent.mask_subsequent_events`.
    baseline_window, window : tuple of float
        Start and end (excluded) from the event, s.
    min_coverage : float
        Share of the window's samples that must be there; never less than one sample. Below
        1 the samples that a trial keeps, and with them its magnitude, depend on the time to
        the next event.

    Returns
    -------
    magnitude : ndarray (event, trial), float64
        In the unit of the responses; NaN without baseline or with too few samples.
    n_samples : ndarray (event, trial), int64
        Samples of the mean.

    Notes
    -----
    The mean of a difference is the difference of the means: only the samples of the two
    windows are read, and no trace is copied. The same numbers as `subtract_baseline`,
    `mask_subsequent_events` and `response_magnitude` of `iblnm.signal.perievent` in a row.
    """
    responses = responses.transpose("event", "trial", "time")
    values, time = responses.to_numpy(), responses["time"].to_numpy()
    baseline, _ = mean_of_finite(values[..., in_window(time, baseline_window)])
    inside = in_window(time, window)
    kept = before_next_event(responses, trials, event_order, time[inside])
    mean, n_samples = mean_of_finite(values[..., inside], kept)
    needed = max(1, int(np.ceil(min_coverage * inside.sum())))
    return np.where(n_samples >= needed, mean - baseline, np.nan), n_samples


def prepare_traces(
    responses: xr.DataArray,
    trials: pd.DataFrame,
    *,
    event_order: Sequence[str] = TRIAL_EVENTS,
    baseline_window: tuple[float, float] = BASELINE_WINDOW,
) -> np.ndarray:
    """Traces minus their baseline, NaN from the next event on.

    Parameters
    ----------
    responses : DataArray (event, trial, time)
        Peri-event signal of one recording; ``trial`` holds row positions of `trials`.
    trials : DataFrame
        Times of the events in `event_order`, s.
    event_order : sequence of str
    baseline_window : tuple of float
        Start and end (excluded), s.

    Returns
    -------
    ndarray (event, trial, time), float64
        As `subtract_baseline` and `mask_subsequent_events` of `iblnm.signal.perievent`.
    """
    responses = responses.transpose("event", "trial", "time")
    values, time = responses.to_numpy(), responses["time"].to_numpy()
    baseline, _ = mean_of_finite(values[..., in_window(time, baseline_window)])
    prepared = values - baseline[..., None]
    prepared[~before_next_event(responses, trials, event_order, time)] = np.nan
    return prepared


def prepared_traces(
    responses: xr.DataArray, trials: pd.DataFrame, settings: Settings
) -> xr.DataArray:
    """`prepare_traces` with windows and order of events of the settings, coordinates kept."""
    values = prepare_traces(
        responses,
        trials,
        event_order=settings.response_events,
        baseline_window=settings.signal.baseline_window,
    )
    return responses.transpose("event", "trial", "time").copy(data=values)
