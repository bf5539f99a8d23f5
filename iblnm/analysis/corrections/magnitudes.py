"""Early responses of stored sessions under each chain; no session file is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.analysis.corrections.tables import CHAIN_MAGNITUDES
from iblnm.analysis.recordings import explode_sessions
from iblnm.analysis.stored import Skipped
from iblnm.analysis.trials import early_responses
from iblnm.config import Settings
from iblnm.constants import REFERENCE_BAND, SIGNAL_BAND
from iblnm.errors import DataError, MalformedFileError, UnknownSessionError
from iblnm.pipeline import steps
from iblnm.signal.chains import DOCUMENTED, Chain, find_chain
from iblnm.signal.masking import mask_series, preprocess_masked
from iblnm.storage.store import SessionStore

if TYPE_CHECKING:
    import xarray as xr

METHOD_VERSION = 1
MIN_STANDARD_ERRORS, MIN_TRIALS = 2.0, 10
"""A response nearer to 0, or of fewer trials, has no share by which another differs."""
_MIN_CORRELATED = 3


@dataclass(frozen=True)
class RawSession:
    """A stored session with its raw bands.

    Parameters
    ----------
    eid : str
    recordings : list of dict
        One per fiber with a signal: ``fiber_idx``, ``recording_name``, ``subject``,
        ``target_NM``, ``brain_region``.
    reference : DataFrame
        To the signal's files.
    trials : DataFrame
    windows : dict
        Masked windows by recording.
    settings : Settings
    """

    eid: str
    recordings: list[dict[str, Any]]
    reference: pd.DataFrame
    trials: pd.DataFrame
    windows: dict[str, list[tuple[float, float]]]
    settings: Settings
    _corrected: dict[str, tuple[dict[str, xr.Dataset], dict[str, str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def bands(self) -> dict[str, pd.DataFrame]:
        """Raw signal by band, restricted to the task; index times [s]."""
        return steps.read_bands(self.reference, self.settings)

    @property
    def events(self) -> list[str]:
        """Events that are present in enough trials."""
        limit = self.settings.thresholds.min_event_completeness
        names = [name for name in self.settings.response_events if name in self.trials]
        return [name for name in names if self.trials[name].notna().mean() >= limit]

    def band_of(self, name: str, band: str) -> pd.Series | None:
        """One band of a recording without its masked samples; None where there is none."""
        series = self.bands.get(band, pd.DataFrame()).get(name)
        return None if series is None else mask_series(series, self.windows.get(name, ()))

    def corrected(self, chain: Chain) -> tuple[dict[str, xr.Dataset], dict[str, str]]:
        """Recordings under a chain, computed once, and why others have none."""
        if chain.name not in self._corrected:
            self._corrected[chain.name] = self._correct(chain)
        return self._corrected[chain.name]

    def _correct(self, chain: Chain) -> tuple[dict[str, xr.Dataset], dict[str, str]]:
        failures: dict[str, str] = {}
        try:
            found = preprocess_masked(
                self.bands,
                self.windows,
                self.settings.signal,
                correct=chain.correct(self.settings.chains),
                failures=failures,
                signal_band=SIGNAL_BAND,
                reference_band=REFERENCE_BAND,
            )
        except MalformedFileError as error:
            names = [recording["recording_name"] for recording in self.recordings]
            return {}, {name: failures.get(name, error.message) for name in names}
        return found, failures

    def magnitudes(self, recording: xr.Dataset, name: str) -> pd.DataFrame:
        """Early response of each trial in dF/F: a row per trial, a column per event."""
        own = self.settings
        signals = {name: recording["dff"].to_series()}
        responses = steps.cut_responses(signals, self.trials, own, events=self.events)[name]
        values, _ = early_responses(
            responses,
            self.trials,
            event_order=own.response_events,
            baseline_window=own.signal.baseline_window,
            window=own.signal.early_window,
            min_coverage=own.cohort.min_coverage,
        )
        return pd.DataFrame(values.T, columns=self.events)


def open_session(store: SessionStore, eid: str, settings: Settings) -> RawSession:
    """What is stored of a session and where its raw signal is.

    Raises
    ------
    UnknownSessionError
        If nothing is stored of the session.
    DataError
        If it has no trials or signal, or the two are on different clocks.
    """
    session = store.load("session", eid)
    if session is None:
        raise UnknownSessionError("nothing is stored of it: run iblnm batch first", eid=eid)
    reference, trials = store.load("photometry", eid), store.load("trials", eid)
    for what, value in (("photometry", reference), ("trials", trials)):
        if value is None:
            raise DataError(f"no {what} stored", eid=eid)
    signal = pd.DataFrame()
    signal.attrs = steps.origin_of(reference)
    note = steps.other_clock({"signal": signal}, trials)
    if note:
        raise DataError(note, eid=eid)
    found = RawSession(
        eid,
        explode_sessions(session).to_dict("records"),
        reference,
        trials,
        steps.masks_of(reference, settings),
        settings,
    )
    if not found.events:
        raise DataError("none of its events is in enough trials", eid=eid)
    return found


def session_magnitudes(session: RawSession, chains: Sequence[Chain]) -> list[dict[str, Any]]:
    """Rows of `CHAIN_MAGNITUDES` of one session.

    Parameters
    ----------
    session : RawSession
    chains : sequence of Chain
        What others are compared with, `documented`, is computed whether it is among them or not.

    Returns
    -------
    list of dict
    """
    found = {chain.name: session.corrected(chain) for chain in _with_documented(chains)}
    present = set(session.bands[SIGNAL_BAND].columns)
    rows = []
    for recording in session.recordings:
        name = recording["recording_name"]
        if name not in present:
            continue
        of_chain = {
            chain: session.magnitudes(recordings[name], name)
            for chain, (recordings, _) in found.items()
            if name in recordings
        }
        for chain in chains:
            recordings, failures = found[chain.name]
            key = {**recording, "chain": chain.name}
            if name not in recordings:
                note = failures.get(name, "no signal")
                rows += [{**key, "event": e, "n_trials": 0, "note": note} for e in session.events]
                continue
            for event in session.events:
                default = of_chain.get(DOCUMENTED)
                row = _compare(
                    of_chain[chain.name][event], None if default is None else default[event]
                )
                signal_sd = recordings[name].attrs["sd"]
                rows.append(
                    {
                        **key,
                        "event": event,
                        "correction": recordings[name].attrs["correction"],
                        "signal_sd": signal_sd,
                        "magnitude_z": row["magnitude"] / signal_sd,
                        **row,
                    }
                )
    return rows


def compare_chains(
    store: SessionStore, eids: Iterable[str], settings: Settings, chains: Sequence[Chain]
) -> tuple[pd.DataFrame, Skipped]:
    """Magnitudes of many sessions under each chain, one session in memory at a time.

    Parameters
    ----------
    store : SessionStore
    eids : iterable of str
    settings : Settings
    chains : sequence of Chain

    Returns
    -------
    table : DataFrame
        Schema `CHAIN_MAGNITUDES`.
    skipped : Skipped
        Sessions that could not be compared, and why; a failure costs its session only.
    """
    skipped = Skipped()
    rows: list[dict[str, Any]] = []
    for session in iterate_sessions(store, eids, settings, skipped):
        try:
            rows += session_magnitudes(session, chains)
        except DataError as error:
            skipped.sessions[session.eid] = error.message
    return magnitudes_table(rows), skipped


def iterate_sessions(
    store: SessionStore, eids: Iterable[str], settings: Settings, skipped: Skipped
) -> Iterator[RawSession]:
    """Sessions whose raw signal can be read; the reasons of others go to `skipped`."""
    for eid in eids:
        try:
            session = open_session(store, str(eid), settings)
            with steps.faults_of(str(eid), session.reference.signal_path.iloc[0]):
                # read now, so that what is wrong with the signal costs this session alone
                if SIGNAL_BAND not in session.bands:
                    raise MalformedFileError(f"it has no band {SIGNAL_BAND}")
        except DataError as error:
            skipped.sessions[str(eid)] = error.message
            continue
        yield session


def magnitudes_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows in the types of `CHAIN_MAGNITUDES`."""
    return CHAIN_MAGNITUDES.conform(pd.DataFrame(rows)) if rows else CHAIN_MAGNITUDES.empty()


def _with_documented(chains: Sequence[Chain]) -> list[Chain]:
    known = [chain for chain in chains if chain.name == DOCUMENTED]
    return [*(known or [find_chain(DOCUMENTED)]), *(c for c in chains if c.name != DOCUMENTED)]


def _compare(values: pd.Series, default: pd.Series | None) -> dict[str, Any]:
    own, se, n_trials = _mean(values)
    row = {"magnitude": own, "se": se, "n_trials": n_trials}
    if default is None:
        return row
    usual, usual_se, _ = _mean(default)
    if n_trials >= MIN_TRIALS and abs(usual) > MIN_STANDARD_ERRORS * usual_se:
        row["difference"] = (own - usual) / abs(usual)
    both = values.notna() & default.notna()
    if both.sum() >= _MIN_CORRELATED and values[both].std() > 0 and default[both].std() > 0:
        together = np.corrcoef(values[both], default[both])[0, 1]
        row["trial_correlation"] = float(np.clip(together, -1.0, 1.0))
    return row


def _mean(values: pd.Series) -> tuple[float, float, int]:
    known = values.to_numpy(dtype=float)
    known = known[np.isfinite(known)]
    if not len(known):
        return np.nan, np.nan, 0
    se = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else np.nan
    return float(known.mean()), se, len(known)
