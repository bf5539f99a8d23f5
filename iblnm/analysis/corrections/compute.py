"""Analysis: which correction of the signal comes nearest to planted responses."""

from __future__ import annotations

from typing import Any

import pandas as pd

from iblnm.analysis.corrections.benchmark import rank_chains, run_benchmark
from iblnm.analysis.corrections.disagreement import DISAGREEMENTS, disagreements
from iblnm.analysis.corrections.magnitudes import (
    iterate_sessions,
    magnitudes_table,
    session_magnitudes,
)
from iblnm.analysis.corrections.protocol import (
    CASES,
    DURATION_S,
    METHOD_VERSION,
    PROTOCOL_SEED,
)
from iblnm.analysis.corrections.tables import RECORDING_TRAITS, TABLES
from iblnm.analysis.corrections.traits import Traits, session_traits
from iblnm.analysis.result import AnalysisResult, conformed, count_units
from iblnm.analysis.selected import eligible_recordings
from iblnm.analysis.stored import Skipped
from iblnm.config import Settings
from iblnm.errors import DataError
from iblnm.signal.chains import DOCUMENTED, RATIO, find_chain, usable_chains
from iblnm.storage.store import SessionStore


def correction_benchmark(
    sessions: pd.DataFrame,
    errors: pd.DataFrame | None,
    performance_table: pd.DataFrame | None,
    store: SessionStore,
    settings: Settings,
    *,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> AnalysisResult:
    """Corrections of the signal compared on planted responses, with traits of real recordings.

    A few sessions of each target are measured: noise, reference, bleaching, response. Recordings
    with these traits are simulated under a frozen protocol (artifacts, leakage, a step, a rising
    or noisy reference) and corrected by each chain. The same sessions tell whether documented
    chain and ratio give the same early response.

    Parameters are those of `iblnm.analysis.responses.compute.response_magnitudes`.

    Returns
    -------
    AnalysisResult
        Tables ``correction_benchmark``, ``chain_ranking``, ``recording_traits`` and
        ``chain_magnitudes``.
    """
    selected, recordings, account, counts = eligible_recordings(
        sessions, settings, errors, performance_table, labels, criteria
    )
    chains, notes = usable_chains()
    eids = sample_sessions(recordings, settings.chains.sessions_per_target)
    compared = [find_chain(DOCUMENTED), find_chain(RATIO)]
    skipped = Skipped()
    traits: list[Traits] = []
    rows: list[dict[str, Any]] = []
    for session in iterate_sessions(store, eids, settings, skipped):
        try:
            own, reasons = session_traits(session)
            rows += session_magnitudes(session, compared)
        except DataError as error:
            skipped.sessions[session.eid] = error.message
            continue
        traits += own
        skipped.recordings |= {(session.eid, fiber): why for fiber, why in reasons.items()}
    wanted = set(zip(recordings["eid"], recordings["fiber_idx"], strict=True))
    traits = [each for each in traits if (each.eid, each.fiber_idx) in wanted]
    magnitudes = magnitudes_table(
        [row for row in rows if (row["eid"], row["fiber_idx"]) in wanted]
    )
    benchmark = run_benchmark(traits, chains, settings)
    ranking = rank_chains(benchmark)
    measured = pd.DataFrame([each.row() for each in traits], columns=RECORDING_TRAITS.names)
    notes += skipped.notes()
    if not traits:
        notes.append(
            f"none of {len(eids)} sessions has a recording whose reference can be measured; "
            "nothing is simulated"
        )
    subjects = selected[["eid", "subject"]] if len(selected) else None
    used = measured if subjects is None else measured.merge(subjects, on="eid", how="left")
    counts["used"] = count_units(used, trials=0)
    return AnalysisResult(
        tables=conformed(
            {
                "correction_benchmark": benchmark,
                "chain_ranking": ranking,
                "recording_traits": measured,
                "chain_magnitudes": magnitudes,
            },
            TABLES,
        ),
        counts=counts,
        parameters={
            **settings.chains.model_dump(),
            "chains_compared": [chain.name for chain in chains],
            "cases": [case.name for case in CASES],
            "protocol": METHOD_VERSION,
            "protocol_seed": PROTOCOL_SEED,
            "duration_s": DURATION_S,
            DISAGREEMENTS: disagreements(magnitudes),
            "selection": account["criterion"].tolist(),
        },
        numbers={"recordings measured": float(len(traits)), "simulated": float(len(benchmark))},
        notes=notes,
        removed=account,
    )


def sample_sessions(recordings: pd.DataFrame, per_target: int) -> list[str]:
    """Sessions of each target, evenly over their eids: the same of the same cohort.

    Parameters
    ----------
    recordings : DataFrame
        ``eid`` and ``target_NM``.
    per_target : int

    Returns
    -------
    list of str
        Without repetition, sorted.

    Examples
    --------
    >>> table = pd.DataFrame({"eid": list("abcd"), "target_NM": ["x", "x", "x", "y"]})
    >>> sample_sessions(table, 2)
    ['a', 'c', 'd']
    """
    chosen: set[str] = set()
    for _, own in recordings.groupby("target_NM", sort=True):
        eids = sorted(set(own["eid"].astype(str)))
        n = min(per_target, len(eids))
        chosen |= {eids[round(i * (len(eids) - 1) / max(n - 1, 1))] for i in range(n)}
    return sorted(chosen)
