"""Work-arounds: one file per fault of a dependency; its test says when to drop it."""
