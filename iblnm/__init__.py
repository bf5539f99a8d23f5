"""Fiber-photometry pipeline of the IBL neuromodulators project (the science; no orchestration)."""

__version__ = "0.1.0"
