"""Slurm on loopback: a controller and one node, without systemd, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scontrol")
_START_S = 60.0
_PAUSE_S = 2
_CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/none
CredType=cred/none
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why no Slurm can be started here; None if one can perhaps."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)} (apt-get install slurmctld slurmd slurm-client munge)"
    if os.geteuid() != 0:
        return "slurmd runs as root only"
    return None


class Slurm:
    """A cluster of one node; trust among its processes needs no key, as all are of root."""

    def __init__(self, cpus: int = 4):
        self._cpus = cpus
        self._processes: list[subprocess.Popen] = []

    def __enter__(self) -> Slurm:
        self.folder = Path(tempfile.mkdtemp(prefix="iblnm-slurm-"))
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        host = socket.gethostname().split(".")[0]
        text = _CONFIGURATION.format(
            host=host, ports=_free_ports(2), folder=self.folder, cpus=self._cpus
        )
        configuration = self.folder / "slurm.conf"
        configuration.write_text(text)
        self.environment = {**os.environ, "SLURM_CONF": str(configuration)}
        for name in ("slurmctld", "slurmd"):
            with (self.folder / f"{name}.out").open("w") as out:
                self._processes.append(
                    subprocess.Popen([name, "-D"], env=self.environment, stdout=out, stderr=out)
                )
        try:
            self._await_node()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str, check: bool = True) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout.strip()

    def states(self) -> dict[str, str]:
        """State of each job and task of an array, by its name as ``1_2`` or ``3``."""
        found = {}
        for line in self.run("scontrol", "--oneliner", "show", "job").splitlines():
            words = dict(word.split("=", 1) for word in line.split() if "=" in word)
            name = words.get("JobId", "")
            if "ArrayTaskId" in words:
                name = f"{words['ArrayJobId']}_{words['ArrayTaskId']}"
            found[name] = words.get("JobState", "")
        return found

    def requeue(self, task: str) -> bool:
        """Put a task that has ended in line again, to begin soon; whether that is done.

        Slurm itself would let it wait for two minutes. It refuses a start in the second in which
        the start before has ended ("Job credential revoked"), and the task has failed then.
        """
        if self.states()[task] in ("RUNNING", "COMPLETING"):
            return False
        self.run("scontrol", "requeue", task, check=False)
        if self.states()[task] != "PENDING":
            return False
        self.run("scontrol", "update", f"JobId={task}", f"StartTime=now+{_PAUSE_S}")
        return True

    def signal_task(self, task: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to all processes of one task of an array; by default the end, at once."""
        wanted = {f"SLURM_ARRAY_TASK_ID={task}", f"SLURM_CONF={self.environment['SLURM_CONF']}"}
        reached = 0
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                variables = set(path.read_text(errors="replace").split("\0"))
                if wanted <= variables:
                    os.kill(int(path.parent.name), number)
                    reached += 1
            except OSError:  # it has ended
                continue
        return reached

    def told(self) -> str:
        """What Slurm knows of all jobs, and what its two servers have logged."""
        logs = [(self.folder / f"{name}.log").read_text() for name in ("slurmctld", "slurmd")]
        return "\n".join([self.run("scontrol", "show", "job", check=False), *logs])

    def _await_node(self) -> None:
        end = time.monotonic() + _START_S
        while "idle" not in self.run("sinfo", "-h", "-o", "%T", check=False):
            if time.monotonic() > end or any(p.poll() is not None for p in self._processes):
                logs = [path.read_text()[-500:] for path in self.folder.glob("*.out")]
                raise RuntimeError(f"Slurm does not start: {logs}")
            time.sleep(0.2)


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()
