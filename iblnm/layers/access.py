"""Loading sessions, units and spikes of a root for notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.layers.spike_trains import SpikeTrains

if TYPE_CHECKING:
    from iblnm.config import Settings

SESSIONS_FILE = "metadata/sessions.pqt"
UNITS_FILE = "data/units.pqt"
SPIKES_FILE = "data/spikes.h5"
SPIKES_FOLDER = "data/spikes"
UnitFilter = str | Callable[[pd.DataFrame], Any] | Mapping[str, Any]


def load_sessions(*, settings: Settings | None = None) -> pd.DataFrame:
    """The table of sessions, with the status of their datasets and their epochs.

    Parameters
    ----------
    settings : Settings, optional
        Those of the process by default.

    Raises
    ------
    MissingFileError
        If the asset ``sessions`` has not been computed.
    """
    from iblnm.storage.parquet import read_table

    return read_table(_root(settings) / SESSIONS_FILE)


def load_units(
    eids: str | Iterable[str] | None = None,
    unit_filter: UnitFilter | None = None,
    *,
    settings: Settings | None = None,
) -> pd.DataFrame:
    """The table of units.

    Parameters
    ----------
    eids : str or iterable of str, optional
        Sessions, in this order; all by default.
    unit_filter : str, callable or mapping, optional
        A query of pandas (``"label == 1 and coarse_region == 'TH'"``), a function of the table
        that gives a mask, or values wanted by column (one, or several).
    settings : Settings, optional

    Returns
    -------
    DataFrame

    Raises
    ------
    MissingFileError
        If the asset ``unit_table`` has not been computed.
    """
    from iblnm.storage.parquet import read_table

    table = read_table(_root(settings) / UNITS_FILE)
    if eids is not None:
        wanted = [eids] if isinstance(eids, str) else list(eids)
        order = {eid: i for i, eid in enumerate(wanted)}
        table = table[table["eid"].isin(wanted)]
        table = table.sort_values("eid", key=lambda column: column.map(order), kind="stable")
    return _filtered(table, unit_filter).reset_index(drop=True)


def _filtered(table: pd.DataFrame, unit_filter: UnitFilter | None) -> pd.DataFrame:
    if unit_filter is None:
        return table
    if isinstance(unit_filter, str):
        return table.query(unit_filter)
    if isinstance(unit_filter, Mapping):
        for name, wanted in unit_filter.items():
            values = [wanted] if pd.api.types.is_scalar(wanted) else list(wanted)
            table = table[table[name].isin(values)]
        return table
    return table[unit_filter(table)]


def load_spikes(
    uuids: str | Iterable[str] | pd.DataFrame,
    remove_duplicates: bool = False,
    *,
    settings: Settings | None = None,
) -> SpikeTrains:
    """Spike times of units, wherever they were recorded.

    Parameters
    ----------
    uuids : str, iterable of str, or DataFrame with ``uuid``
    remove_duplicates : bool
        Leave out spikes that are another spike's double.
    settings : Settings, optional

    Returns
    -------
    SpikeTrains
        In the order asked for.

    Raises
    ------
    UnknownUnitError
        Naming the first uuid that is not stored.
    MissingFileError
        If the index, or the file of a session, is gone.
    """
    from iblnm.layers.spike_file import index_targets, read_units

    units = uuids if isinstance(uuids, pd.DataFrame) else None
    wanted = [uuids] if isinstance(uuids, str) else list(uuids if units is None else units["uuid"])
    found = {}
    for path, own in index_targets(_root(settings) / SPIKES_FILE, wanted).items():
        found |= read_units(path, own, remove_duplicates=remove_duplicates)
    return SpikeTrains({uuid: found[uuid] for uuid in wanted}, units)


def load_session_spikes(
    eid: str, remove_duplicates: bool = False, *, settings: Settings | None = None
) -> SpikeTrains:
    """Spike times of all units of a session, from its own file."""
    from iblnm.layers.spike_file import read_units
    from iblnm.storage.names import validate_eid

    path = _root(settings) / SPIKES_FOLDER / f"{validate_eid(eid)}.h5"
    return SpikeTrains(read_units(path, remove_duplicates=remove_duplicates))


def _root(settings: Settings | None) -> Path:
    if settings is None:
        from iblnm.config import get_settings

        settings = get_settings()
    return settings.root
