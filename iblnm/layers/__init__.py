"""The data layers: which data exist for every session, probes, histology, units and spikes.

Examples
--------
>>> from iblnm.layers import load_units, load_spikes
>>> units = load_units(unit_filter="label == 1")  # doctest: +SKIP
>>> load_spikes(units).counts(0, 300, 0.1)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

_NAMES = {
    "load_sessions": "access",
    "load_units": "access",
    "load_spikes": "access",
    "load_session_spikes": "access",
    "SpikeTrains": "spike_trains",
}
__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])
