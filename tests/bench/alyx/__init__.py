"""The demo's Alyx server with what tests need: a log, faults on demand, a model that changes."""

from bench.alyx.faults import Faults
from bench.alyx.model import AlyxModel, from_archive, synthetic
from bench.alyx.server import AlyxServer, Request

__all__ = ["AlyxModel", "AlyxServer", "Faults", "Request", "from_archive", "synthetic"]
