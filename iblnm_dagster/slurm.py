"""The two scripts with which a cluster's Slurm works all sessions off."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from iblnm.config import Settings
from iblnm.storage.atomic import write_whole

ARRAY = "sessions.sbatch"
FOLLOWING = "tables.sbatch"
_PREFIX = "IBLNM_"
# a session takes seconds, and the one in hand is finished
_WARNING_S = 120
_HEAD = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --open-mode=append
#SBATCH --output={log}
"""
_ARRAY_OPTIONS = """\
#SBATCH --array=1-{tasks}
#SBATCH --requeue
#SBATCH --signal=B:TERM@{seconds}
"""


@dataclass(frozen=True)
class Job:
    """What the scripts of one root have in common.

    Parameters
    ----------
    root : Path
        Of the outputs.
    folder : Path
        Where the commands are run: relative paths and ``.env`` are those of this folder.
    variables : mapping
        Settings in the environment, by variable; those that are secret are left out.
    options : sequence of str
        Further options of sbatch.
    python : str
        The interpreter.
    """

    root: Path
    folder: Path
    variables: Mapping[str, str]
    options: Sequence[str] = ()
    python: str = sys.executable


def open_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings of an environment that may be shown: no passwords.

    Examples
    --------
    >>> open_variables({"IBLNM_ALYX_USER": "me", "IBLNM_ALYX_PASSWORD": "x", "HOME": "/home/me"})
    {'IBLNM_ALYX_USER': 'me'}
    """
    secret = secret_variables()
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.upper().startswith(_PREFIX) and name.upper() not in secret
    }


def secret_variables() -> frozenset[str]:
    """Variables of the settings that hold passwords."""
    fields = Settings.model_fields.items()
    return frozenset(
        f"{_PREFIX}{name.upper()}"
        for name, field in fields
        if "SecretStr" in str(field.annotation)
    )


def array_script(job: Job, tasks: int, logs: Path) -> str:
    """The job array: each task runs its part of the sessions.

    A task that is ended (time, preemption) finishes the session in hand, and one that is started
    again (requeued) goes on with those of its part that are missing.

    Parameters
    ----------
    job : Job
    tasks : int
        Parts of the array.
    logs : Path
        Folder of what the tasks print.

    Examples
    --------
    >>> job = Job(Path("/data/root"), Path("/data"), {}, python="python")
    >>> print(array_script(job, 4, Path("/data/logs")).splitlines()[-1])
    exec python -m iblnm_dagster.cli batch --shard "$SLURM_ARRAY_TASK_ID/4" --workers 1
    """
    head = _HEAD.format(name="iblnm", log=logs / "sessions-%A_%a.log")
    head += _ARRAY_OPTIONS.format(tasks=tasks, seconds=_WARNING_S)
    part = f'"$SLURM_ARRAY_TASK_ID/{tasks}"'
    return _script(head, job, f"batch --shard {part} --workers 1")


def following_script(job: Job, logs: Path) -> str:
    """The job after the array: the tables over all sessions."""
    head = _HEAD.format(name="iblnm-tables", log=logs / "tables-%j.log")
    return _script(head, job, "catalogue")


def write_scripts(job: Job, tasks: int, folder: Path) -> tuple[Path, Path]:
    """Write both scripts; the logs go beside them.

    Returns
    -------
    array, following : Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    array, following = folder / ARRAY, folder / FOLLOWING
    for path, text in (
        (array, array_script(job, tasks, folder)),
        (following, following_script(job, folder)),
    ):
        with write_whole(path) as part:
            part.write_text(text)
    return array, following


def submission(array: Path, following: Path) -> str:
    """The line of a shell that starts the array, and the other when all tasks have ended."""
    first, second = (shlex.quote(str(path)) for path in (array, following))
    return (
        f"array=$(sbatch --parsable {first}) && "
        f'sbatch --dependency="afterany:${{array%%;*}}" {second}'
    )


def _script(head: str, job: Job, words: str) -> str:
    variables = {**job.variables, f"{_PREFIX}ROOT": str(job.root), "OMP_NUM_THREADS": "1"}
    command = f"{shlex.quote(job.python)} -m iblnm_dagster.cli"
    lines = [
        *(f"#SBATCH {option}" for option in job.options),
        "",
        "set -e",
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        f"cd {shlex.quote(str(job.folder))}",
        # in place of the shell, so that it gets Slurm's signal
        f"exec {command} {words}",
    ]
    return head + "\n".join(lines) + "\n"
