"""Small archives of tests of readers and of what asks them."""

from bench.alf_tree import files, real_archive, signal_maker, tree, trials_maker

__all__ = ["files", "real_archive", "signal_maker", "tree", "trials_maker"]
