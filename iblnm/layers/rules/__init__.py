"""Rules of the data layers, one decorated function each; importing them registers them."""

from iblnm.layers.rules import epochs, status, units

__all__ = ["epochs", "status", "units"]
