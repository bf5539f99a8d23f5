"""Documents and traces of the sessions that somebody looks at now."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from iblnm.config import Settings
from iblnm.viewer.builder import Builder
from iblnm.viewer.report import read_report, report_path
from iblnm.viewer.stamp import stamp_of
from iblnm.viewer.traces import Sources
from iblnm.viewer.wire import unpack

_KEPT = 4


class OpenSessions:
    """The last few documents; one whose files have changed since is read or made again.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._builder = Builder(settings)
        self._kept: OrderedDict[str, tuple[str, dict[str, bytes]]] = OrderedDict()
        self._sources: dict[tuple[str, str, int], Sources] = {}

    async def blocks(self, eid: str) -> tuple[str, dict[str, bytes]]:
        """Stamp and compressed blocks of a session's document.

        From the session's report if that is current, which takes no time; else made anew.
        """
        stamp = stamp_of(self._settings.root, eid)
        kept = self._kept.get(eid)
        if kept is None or kept[0] != stamp:
            kept = read_report(report_path(self._settings.root, eid))
        if kept is None or kept[0] != stamp:
            kept = await self._builder.build(eid)
        self._kept[eid] = kept
        self._kept.move_to_end(eid)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return kept

    async def sources(self, eid: str, fiber: int) -> Sources | None:
        """Where the traces of a fiber are; None if the session has no such fiber."""
        stamp, blocks = await self.blocks(eid)
        if f"fiber-{fiber}" not in blocks:
            return None
        key = (eid, stamp, fiber)
        if key not in self._sources:
            if len(self._sources) >= _KEPT:
                self._sources.clear()
            self._sources[key] = self._locate(eid, fiber, blocks)
        return self._sources[key]

    def _locate(self, eid: str, fiber: int, blocks: dict[str, bytes]) -> Sources:
        head = unpack(blocks["session"])
        panels = unpack(blocks[f"fiber-{fiber}"])["panels"]
        name = head["recordings"][fiber]["name"]
        raw, stored = panels.get("raw", {}), panels.get("preprocessed", {})
        source = head["source"]
        signal: dict[str, Any] = {}
        # raw frames are read with pandas, which the server does without
        readable = not source.get("reading", {}).get("is_raw", False)
        if readable and "missing" not in raw and name in source.get("column", {}):
            signal = {**source, "column": source["column"][name]}
        axis = head["axis"]
        width = (axis["stop"] - axis["start"]) / axis["bins"]
        centers = axis["start"] + width * (np.arange(axis["bins"]) + 0.5)
        trends = {
            band.removesuffix(" trend"): (centers, entry["value"])
            for band, entry in raw.get("series", {}).items()
            if band.endswith(" trend")
        }
        fit = {}
        if "fitted reference" in raw.get("series", {}):
            fit = {"slope": stored["iso_slope"], "intercept": stored["iso_intercept"]}
        path: Path = self._settings.sessions_h5_dir / f"{eid}.h5"
        return Sources(path, "" if "missing" in stored else name, signal, trends, fit)

    def close(self) -> None:
        """End what was started."""
        self._builder.close()
