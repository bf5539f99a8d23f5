"""The wide table of single trials that the R package fastFMM reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.analysis.selected import eligible_recordings
from iblnm.analysis.stored import Skipped, iterate_responses
from iblnm.analysis.trials import ContrastCoding, code_factors, select_trials
from iblnm.constants import CURVE_WINDOW
from iblnm.errors import DataError
from iblnm.io.text import as_inert
from iblnm.signal.perievent import in_window, mean_of_finite
from iblnm.task.contrasts import add_relative_contrast

if TYPE_CHECKING:
    import xarray as xr

    from iblnm.config import Settings

OUTCOME = "photometry"
"""What the names of the samples begin with: the left-hand side of the formula in R."""
_OF_RECORDING = ("subject", "eid", "session_type", "target_NM", "fiber_idx", "hemisphere")
_OF_TRIAL = ("contrast", "feedbackType", "choice", "reaction_time", "response_time")


@dataclass
class WideTable:
    """Trials with their curves.

    Parameters
    ----------
    table : DataFrame
        One row per recording and trial, see `wide_table`.
    times : ndarray (n,)
        Of the samples from the event, s.
    n_incomplete : int
        Trials that were left out because a sample is missing.
    skipped : Skipped
        What could not be read.
    """

    table: pd.DataFrame
    times: np.ndarray
    n_incomplete: int = 0
    skipped: Skipped = field(default_factory=Skipped)


def wide_table(
    settings: Settings,
    event: str,
    *,
    targets: Sequence[str] | None = None,
    window: tuple[float, float] = CURVE_WINDOW,
) -> WideTable:
    """Curves of the trials that the mixed models take, a sample per column.

    Parameters
    ----------
    settings : Settings
        Selection of sessions and trials, and the baseline, which is subtracted.
    event : str
        One of ``response_events``.
    targets : sequence of str, optional
        Those of the settings by default.
    window : tuple of float
        Start and end (excluded) of the curves from the event, s.

    Returns
    -------
    WideTable
        Columns: ``id`` (number of the mouse, from 1), ``session`` (number of the session within
        the mouse, from 1), ``trial`` (from 0), ``subject``, ``eid``, ``session_type``,
        ``target_NM``, ``fiber_idx``, ``hemisphere``; ``contrast`` [%], ``side``,
        ``feedbackType``, ``choice``, ``reaction_time`` and ``response_time`` [s];
        ``contrast_coded``, ``side_coded`` and ``reward_coded``, as the mixed models have them;
        ``photometry_1`` to ``photometry_n`` [z].

    Raises
    ------
    DataError
        If no session is in the catalog, or the event is not among those of the responses.

    Notes
    -----
    The samples are not cut at the next event: fastFMM (Cui et al. 2022, J Comput Graph Stat
    31) fits a model at each time, whose trials then are the same at all times. Responses to
    neighboring events overlap; `response_kernels` takes them apart.
    """
    if event not in settings.response_events:
        known = ", ".join(settings.response_events)
        raise DataError(f"no responses to {event!r}; there are those to {known}")
    recordings = _recordings(settings, targets)
    found = WideTable(pd.DataFrame(), np.empty(0))
    parts = list(_parts(recordings, settings, event, window, found))
    if parts:
        found.table = _numbered(pd.concat(parts, ignore_index=True))
    return found


def write_wide_table(found: WideTable, path: Path) -> None:
    """Write the table as a CSV file, whole; missing values are ``NA``.

    A name that a spreadsheet would take for a formula has an apostrophe before it.

    Parameters
    ----------
    found : WideTable
    path : Path
        The file; one of the same name with ``_times`` has the time of each sample [s].
    """
    from iblnm.storage.atomic import write_whole

    names = [f"{OUTCOME}_{i + 1}" for i in range(len(found.times))]
    times = pd.DataFrame({"sample": names, "time_s": found.times})
    texts = found.table.select_dtypes(include=["object", "string", "category"])
    inert = texts.astype(object).map(as_inert, na_action="ignore")
    rows = found.table.assign(**{name: inert[name] for name in inert})
    for table, own in ((rows, path), (times, times_path(path))):
        with write_whole(own) as temporary:
            table.to_csv(temporary, index=False, na_rep="NA", float_format="%.6g")


def times_path(path: Path) -> Path:
    """File with the times of the samples of a table."""
    return path.with_name(f"{path.stem}_times{path.suffix}")


def _recordings(settings: Settings, targets: Sequence[str] | None) -> pd.DataFrame:
    from iblnm.data.group_tables import read_catalog, selection_tables

    path = settings.metadata_dir / "sessions.pqt"
    if not path.exists():
        raise DataError(f"there is no {path}: the table of sessions has not been made yet")
    known = selection_tables(settings)
    criteria: dict[str, Any] = {} if targets is None else {"targets": list(targets)}
    return eligible_recordings(
        read_catalog(path),
        settings,
        known["errors"],
        known["performance"],
        known["labels"],
        criteria,
    )[1]


def _parts(
    recordings: pd.DataFrame,
    settings: Settings,
    event: str,
    window: tuple[float, float],
    found: WideTable,
) -> Iterator[pd.DataFrame]:
    coding = ContrastCoding(settings.models.contrast_coding, settings.analysis_contrasts)
    read = iterate_responses(recordings, settings.sessions_h5_dir, skipped=found.skipped)
    for recording, responses, trials in read:
        if event not in responses["event"].to_numpy():
            continue
        times, curves = _curves(responses, event, settings.signal.baseline_window, window)
        if len(found.times) and not np.allclose(times, found.times):
            key = (str(recording["eid"]), int(recording["fiber_idx"]))
            found.skipped.recordings[key] = "its responses are at other times"
            continue
        found.times = times
        rows = responses["trial"].to_numpy()
        table = _covariates(recording, trials.iloc[rows].reset_index(drop=True), rows, coding)
        chosen, _ = select_trials(
            table,
            probability_left=settings.cohort.probability_left,
            min_response_time_s=settings.cohort.min_response_time_s,
            response_col=None,
        )
        own = curves[chosen.index]
        whole = np.isfinite(own).all(axis=1)
        found.n_incomplete += int((~whole).sum())
        names = [f"{OUTCOME}_{i + 1}" for i in range(len(times))]
        samples = pd.DataFrame(own[whole], columns=names)
        chosen = chosen[whole].drop(columns="probabilityLeft").reset_index(drop=True)
        if len(chosen):
            yield pd.concat([chosen, samples], axis=1)


def _curves(
    responses: xr.DataArray,
    event: str,
    baseline_window: tuple[float, float],
    window: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    own = responses.sel(event=event).transpose("trial", "time")
    values, time = own.to_numpy().astype(float), own["time"].to_numpy()
    baseline, _ = mean_of_finite(values[:, in_window(time, baseline_window)])
    inside = in_window(time, window)
    return time[inside], values[:, inside] - baseline[:, None]


def _covariates(
    recording: dict[str, Any], trials: pd.DataFrame, rows: np.ndarray, coding: ContrastCoding
) -> pd.DataFrame:
    sides = trials[["signed_contrast", "stim_side"]].assign(hemisphere=recording["hemisphere"])
    table = pd.DataFrame(
        {
            **{name: recording.get(name) for name in _OF_RECORDING},
            "trial": rows,
            **{name: trials[name].to_numpy() for name in (*_OF_TRIAL, "probabilityLeft")},
            "side": add_relative_contrast(sides)["side"].to_numpy(),
        }
    )
    coded = code_factors(table, coding)
    return table.assign(**{f"{name}_coded": coded[name] for name in coded})


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    table = table.sort_values(["subject", "eid", "fiber_idx", "trial"], ignore_index=True)
    mouse = pd.factorize(table["subject"], sort=True)[0] + 1
    session = table.groupby("subject", sort=False)["eid"].transform(lambda e: pd.factorize(e)[0])
    table.insert(0, "session", session.to_numpy(dtype=int) + 1)
    table.insert(0, "id", mouse)
    return table
