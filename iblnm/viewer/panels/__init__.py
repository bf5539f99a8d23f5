"""The panels of a session, in the order in which they stand on the page."""

from __future__ import annotations

from iblnm.viewer.panel import Panel
from iblnm.viewer.panels import behavior, responses, signal

PANELS: tuple[Panel, ...] = (*signal.PANELS, *responses.PANELS, *behavior.PANELS)
