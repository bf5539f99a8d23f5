"""Curves of animals from those of their recordings."""

from __future__ import annotations

import pandas as pd

METHOD_VERSION = 1


def animal_curves(effects: pd.DataFrame) -> pd.DataFrame:
    """One curve per animal: fibers are averaged within sessions, sessions within the animal.

    Parameters
    ----------
    effects : DataFrame
        ``target_NM``, ``event``, ``term``, ``subject``, ``eid``, ``fiber_idx``, ``time`` and
        ``effect``.

    Returns
    -------
    DataFrame
        ``target_NM``, ``event``, ``term``, ``subject``, ``time`` and ``effect``.
    """
    keys = ["target_NM", "event", "term", "subject"]
    of_session = effects.groupby([*keys, "eid", "time"], observed=True)["effect"].mean()
    of_animal = of_session.groupby([*keys, "time"], observed=True).mean()
    return of_animal.reset_index()
