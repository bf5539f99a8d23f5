"""Settings of servers and of watching the archive; part of `iblnm.config.Settings`."""

from __future__ import annotations

from pydantic import BaseModel


class RemoteSettings(BaseModel):
    """Patience with servers: how long one call may take, and how it is tried again."""

    connect_timeout_s: float = 10.0
    """Finding the host and connecting."""
    stall_timeout_s: float = 30.0
    """Longest silence within an answer."""
    deadline_s: float = 60.0
    """One request or login, to the last byte of its answer."""
    min_bytes_per_s: float = 20_000.0
    """A download may take `deadline_s` and its size at this rate."""
    max_attempts: int = 4
    """Attempts at one call, where the fault may pass."""
    first_backoff_s: float = 0.5
    """Wait before the second attempt; it doubles with each, and is shortened at random."""
    max_backoff_s: float = 30.0
    """Longest wait between two attempts."""
    max_total_s: float = 180.0
    """All attempts at one call with their waits; for a download, beside its size at the rate."""
    max_answer_bytes: int = 256 * 2**20
    """One answer of Alyx, decompressed."""
    max_unrecorded_bytes: int = 2**30
    """A download for which Alyx records no size."""
    first_retry_s: float = 5.0
    """Longest wait before a session's failed step is tried anew; it doubles with each retry."""
    max_unreachable_sessions: int = 3
    """A batch ends after that many sessions in a row for which the server was not reached."""
    lock_timeout_s: float = 1800.0
    """Waiting for another process that downloads files of the same session."""


class SyncSettings(BaseModel):
    """How the archive is watched for new and changed sessions; times in seconds."""

    is_on: bool = True
    """Whether sensors and schedules are on from the start; the page turns each on and off."""
    interval_s: int = 120
    """Between two looks at the archive."""
    overlap_s: float = 2 * 3600.0
    """How long after its stamp a change may become visible."""
    look_again_s: tuple[float, ...] = (300.0, 7500.0)
    """When a changed session is looked at once more; the last is later than the overlap."""
    ask_late_s: float = 300.0
    """Between two questions for changes that became visible late."""
    look_anew_s: float = 24 * 3600.0
    """Each session is looked at once in that time, whatever else tells of it."""
    reconcile_s: float = 6 * 3600.0
    """Between two listings of all sessions, which also find what was withdrawn."""
    budget_s: float = 20.0
    """Observing within one tick; what is left over is for the next."""
    patience_s: float = 15.0
    """One call to the server within a tick, all its attempts together."""
    max_run_requests: int = 25
    """Runs asked for in one tick; with more sessions waiting, one run catches up with all."""
    catch_up_workers: int = 1
    """Processes of a run that catches up."""
    catch_up_s: float = 1200.0
    """A run that catches up ends after that, to let other runs in; another goes on."""
    catch_up_pause_s: float = 600.0
    """Wait after a run that caught up has failed."""
    settle_s: float = 60.0
    """A new session folder is not added to the tables of ONE while its files are younger."""
    tables_staleness_s: float = 900.0
    """While sessions are being run, the tables over all of them are remade that often."""
    cohort_cron: str = "0 3 * * *"
    """When the cohort analyses are made, in UTC."""
