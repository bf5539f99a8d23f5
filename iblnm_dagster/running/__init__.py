"""Running many sessions: warm workers, the batch around them, the backlog, what waits."""
