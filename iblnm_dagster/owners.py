"""Names of processes that hold across machines, restarts and reused process numbers."""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from pathlib import Path

# of proc(5) stat, counted after the name of the command
_STATE_FIELD, _START_FIELD = 0, 19
_ENDED = ("Z", "X")


def worker_tag() -> str:
    """Text that names this process: host, its start, start of the process, number.

    In a job of Slurm it also has the job, and how often that was requeued.
    """
    pid = os.getpid()
    job = _slurm_job()
    return f"{socket.gethostname()}/{_boot()}/{_start_of(pid)}{'/' * bool(job)}{job}:{pid}"


def machine_of(owner: str) -> str:
    """The part of a process's name that all processes have since their machine was started.

    Examples
    --------
    >>> machine_of("rig/51b9/1234:77")
    'rig/51b9'
    """
    return "/".join(owner.rpartition(":")[0].split("/")[:2])


def owner_is_alive(owner: str) -> bool | None:
    """Whether the process of a name exists; None if it is of another machine.

    A name may lack what a system does not tell, and then has only host and number. What the
    present job of Slurm ran before it was requeued is dead, on whichever machine.
    """
    place, _, pid = owner.rpartition(":")
    host, boot, start, job = (*place.split("/"), "", "", "")[:4]
    if _was_requeued(job):
        return False
    if host != socket.gethostname():
        return None
    if boot and _boot() and boot != _boot():
        return False
    if not process_is_alive(int(pid)):
        return False
    found = _start_of(int(pid))
    return not (start and found and start != found)


def _slurm_job() -> str:
    """Job of Slurm and how often it was requeued, as ``slurm-71.2``; empty outside of one."""
    number = os.environ.get("SLURM_JOB_ID", "")
    return f"slurm-{number}.{os.environ.get('SLURM_RESTART_COUNT', '0')}" if number else ""


def _was_requeued(job: str) -> bool:
    """Whether a job is an earlier start of the present one."""
    number, _, count = job.rpartition(".")
    own_number, _, own_count = _slurm_job().rpartition(".")
    same = bool(number) and number == own_number
    return same and count.isdigit() and own_count.isdigit() and int(count) < int(own_count)


def process_is_alive(pid: int) -> bool:
    """Whether a process of this number exists on this machine.

    One that has ended and that nobody has asked for its exit code, as the orphans in a container
    without an init process, does not.
    """
    if sys.platform == "win32":  # signal 0 is Ctrl-C there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _stat_field(pid, _STATE_FIELD) not in _ENDED


@cache
def _boot() -> str:
    """Eight digits that are others after each start of the machine; empty if not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty if not known."""
    return _stat_field(pid, _START_FIELD)


def _stat_field(pid: int, field: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[field]
