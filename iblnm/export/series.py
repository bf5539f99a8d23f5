"""Signals of a session as NWB has them: raw bands, preprocessed signal, wheel, responses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from iblnm.constants import REFERENCE_BAND, SIGNAL_BAND

if TYPE_CHECKING:
    from ndx_fiber_photometry import FiberPhotometryTable
    from pynwb import NWBFile

    from iblnm.export.content import SessionContent
    from iblnm.io.wheel import WheelTrace

NAMES = {SIGNAL_BAND: "gcamp_signal", REFERENCE_BAND: "isosbestic_signal"}
"""Name of each band's series."""
VALID, PARTLY, INVALID = 1, 2, 0
_CONTROL = (
    "0: no fiber has a valid sample (NaN)",
    "1: valid",
    "2: valid in some fibers, NaN in the others",
)
_REGULAR_S = 1e-9
_PREPROCESSED = {
    "dff": ("dff", "dF/F, corrected for bleaching and, where there is one, the isosbestic."),
    "zscore": ("signal", "dff, z-scored over the session."),
}
_MARKS = {
    "filter_edge": "Samples so near to an end or a gap that the filter is not settled.",
    "masked": "Samples that a person has marked as artifacts; they are NaN in dff and zscore.",
}


def time_fields(times: np.ndarray) -> dict[str, Any]:
    """The times of a series: start and rate where they are regular to a nanosecond.

    Parameters
    ----------
    times : ndarray (n,)
        s.

    Returns
    -------
    dict
        ``starting_time`` and ``rate``, or ``timestamps``.

    Examples
    --------
    >>> time_fields(2.0 + np.arange(5) / 30.0)
    {'starting_time': 2.0, 'rate': 30.0}
    """
    times = np.asarray(times, dtype=np.float64)
    if len(times) > 2 and times[-1] > times[0]:
        rate = (len(times) - 1) / (times[-1] - times[0])
        rate = round(rate, 6) if abs(rate - round(rate, 6)) < 1e-9 else rate
        if np.abs(times[0] + np.arange(len(times)) / rate - times).max() <= _REGULAR_S:
            return {"starting_time": float(times[0]), "rate": float(rate)}
    return {"timestamps": _packed(times)}


def control_of(values: np.ndarray) -> np.ndarray:
    """Code of every frame by how many of its fibers have a sample.

    Parameters
    ----------
    values : ndarray (n_frames, n_fibers)

    Returns
    -------
    ndarray of uint8 (n_frames,)
        1 all, 2 some, 0 none.
    """
    n_valid = np.isfinite(values).sum(axis=1)
    codes = np.where(n_valid == values.shape[1], VALID, np.where(n_valid == 0, INVALID, PARTLY))
    return codes.astype(np.uint8)


def add_raw_bands(nwbfile: NWBFile, content: SessionContent, table: FiberPhotometryTable) -> None:
    """Add ``acquisition/gcamp_signal`` and, where it is, ``acquisition/isosbestic_signal``."""
    from ndx_fiber_photometry import FiberPhotometryResponseSeries

    first_row = 0
    for band, frame in content.bands.items():
        values = frame.to_numpy(dtype=np.float64)
        rows = list(range(first_row, first_row + values.shape[1]))
        first_row += values.shape[1]
        nwbfile.add_acquisition(
            FiberPhotometryResponseSeries(
                name=NAMES[band],
                description=f"Raw signal, band {band}: frames x fibers "
                f"({', '.join(frame.columns)}). Samples that are marked invalid, or that stood "
                "still, are NaN.",
                data=_packed(values),
                unit="a.u.",
                control=_packed(control_of(values)),
                control_description=list(_CONTROL),
                fiber_photometry_table_region=table.create_fiber_photometry_table_region(
                    region=rows, description=f"Fibers of the band {band}."
                ),
                comments=_signal_comments(content),
                **time_fields(frame.index.to_numpy()),
            )
        )


def add_preprocessed(
    nwbfile: NWBFile, content: SessionContent, table: FiberPhotometryTable
) -> None:
    """Add ``processing/ophys`` with dff, zscore, and the marks of their samples."""
    from ndx_fiber_photometry import FiberPhotometryResponseSeries
    from pynwb import TimeSeries

    order = [name for name in _recordings(content) if name in content.preprocessed]
    if not order:
        return
    module = ophys_module(nwbfile)
    rows_of = {name: row for row, name in enumerate(content.bands[SIGNAL_BAND].columns)}
    for suffix, names in _on_one_time(content.preprocessed, order):
        parts = [content.preprocessed[name] for name in names]
        when = time_fields(parts[0]["time"].to_numpy())
        comments = _comments(content, names)
        words = f"frames x fibers ({', '.join(names)})"
        for title, (variable, description) in _PREPROCESSED.items():
            module.add(
                FiberPhotometryResponseSeries(
                    name=f"{title}{suffix}",
                    description=f"{description} {words}.",
                    data=_packed(np.column_stack([part[variable] for part in parts])),
                    unit="z" if title == "zscore" else "dF/F",
                    fiber_photometry_table_region=table.create_fiber_photometry_table_region(
                        region=[rows_of[name] for name in names], description="Fibers."
                    ),
                    comments=comments,
                    **when,
                )
            )
        for title, description in _MARKS.items():
            if any(title in part for part in parts):
                marks = [
                    part[title].to_numpy() if title in part else np.zeros(part.sizes["time"])
                    for part in parts
                ]
                module.add(
                    TimeSeries(
                        name=f"{title}{suffix}",
                        description=f"{description} 1 where it is so; {words}.",
                        data=_packed(np.column_stack(marks).astype(np.uint8)),
                        unit="n.a.",
                        **when,
                    )
                )


def add_wheel(nwbfile: NWBFile, wheel: WheelTrace) -> None:
    """Add ``processing/behavior/WheelPositionSeries``.

    A plain series: a spatial series of radians would have to stay within a turn.
    """
    from pynwb import TimeSeries

    module = nwbfile.create_processing_module(name="behavior", description="Behavior.")
    module.add(
        TimeSeries(
            name="WheelPositionSeries",
            description="Position of the wheel, unwrapped; increases where it is turned "
            "counter-clockwise, as in ALF.",
            data=_packed(wheel.position),
            unit="radians",
            comments=wheel.note or "complete",
            **time_fields(wheel.times),
        )
    )


def add_responses(nwbfile: NWBFile, content: SessionContent) -> None:
    """Add ``processing/ophys/responses_{recording}``: trials x times of every event."""
    from hdmf.common import DynamicTable, VectorData

    order = [name for name in _recordings(content) if name in content.responses]
    if not order:
        return
    module = ophys_module(nwbfile)
    for name in order:
        data = content.responses[name].transpose("event", "trial", "time")
        times = [float(time) for time in data["time"]]
        columns = []
        for i, event in enumerate(map(str, data["event"].to_numpy())):
            columns.append(
                VectorData(
                    name=event,
                    description=f"zscore around {event}, trials x times.",
                    data=_packed(data.to_numpy()[i]),
                )
            )
            if "masked_share" in data.coords:
                columns.append(
                    VectorData(
                        name=f"{event}_masked_share",
                        description="Share of the samples that a person has marked.",
                        data=data["masked_share"].to_numpy()[i],
                    )
                )
        module.add(
            DynamicTable(
                name=f"responses_{name}",
                description=f"Peri-event responses of {name}, a row per trial. Times relative to "
                f"the event [s]: {json.dumps(times)}",
                columns=columns,
                id=[int(trial) for trial in data["trial"].to_numpy()],
            )
        )


def ophys_module(nwbfile: NWBFile) -> Any:
    """The module of what was made of the signal; made at first use."""
    if "ophys" in nwbfile.processing:
        return nwbfile.processing["ophys"]
    return nwbfile.create_processing_module(
        name="ophys", description="Preprocessed fiber photometry."
    )


def _recordings(content: SessionContent) -> list[str]:
    return [fiber["recording_name"] for fiber in content.fibers]


def _on_one_time(preprocessed: dict[str, Any], order: list[str]) -> list[tuple[str, list[str]]]:
    """Suffix and recordings of the series: one for all where the times are the same."""
    times = [preprocessed[name]["time"].to_numpy() for name in order]
    if all(np.array_equal(times[0], other) for other in times[1:]):
        return [("", order)]
    return [(f"_{name}", [name]) for name in order]


def _signal_comments(content: SessionContent) -> str:
    first = content.reference.iloc[0]
    names = ("source", "clock", "signal_hash", "signal_size", "signal_revision", "sync_note")
    return json.dumps(
        {name: _plain(first[name]) for name in names if not _is_null(first[name])}, sort_keys=True
    )


def _comments(content: SessionContent, names: list[str]) -> str:
    """Provenance of the preprocessed signal, and what was fitted to each fiber, as JSON."""
    origin = content.preprocessed_origin
    known = {} if origin is None else json.loads(origin.to_json())
    fitted = {
        name: {
            key: _plain(value)
            for key, value in content.preprocessed[name].attrs.items()
            if not _is_null(value) and key not in ("parameters", "software", "provenance")
        }
        for name in names
    }
    return json.dumps({"provenance": known, "fibers": fitted}, sort_keys=True)


def _is_null(value: Any) -> bool:
    import pandas as pd

    return np.ndim(value) == 0 and bool(pd.isna(value))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def _packed(values: np.ndarray) -> Any:
    from hdmf.backends.hdf5 import H5DataIO

    return H5DataIO(np.ascontiguousarray(values), compression="gzip", compression_opts=1)
