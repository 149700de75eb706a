"""A SLURM of one node, for tests, from Debian's packages slurm-wlm and munge.

`python tests/slurm/one_node.py start FOLDER` starts its controller, its node and its munge, and
prints what a shell must export to use them; `stop FOLDER` ends them. All that they write is in
FOLDER: nothing in /etc is read or changed, so that a SLURM that this machine has is left alone. It
takes root, as SLURM's daemons do. The node has one GPU, which is none: a name that is handed out.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scancel", "scontrol")
INSTALL = "apt-get install -y --no-install-recommends slurm-wlm munge"
# Debian keeps the daemons where ordinary users' PATH does not lead.
SYSTEM = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))
PATIENCE = 120
"""Seconds within which a daemon must answer, on a busy machine too."""


def unavailable() -> str | None:
    """Why no SLURM can be started here; None if it can."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return f"{', '.join(missing)} not found; {INSTALL}"
    if os.geteuid() != 0:
        return "SLURM's daemons are started by root only"
    return None


class OneNode:
    """A SLURM whose files are in `folder`.

    Args:
        folder: a folder of its own, with a short path: sockets allow a hundred characters.
        cpus: how many cores the node says it has. They are not pinned, so that there may be more
            than the machine's.
        memory: its memory, in MB.
    """

    def __init__(self, folder: Path, cpus: int = 16, memory: int = 16000) -> None:
        self.folder = folder.resolve()
        self.cpus, self.memory = cpus, memory
        self.conf = self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead SLURM's commands here.

        The job step of Snakemake's plugin drops all variables of SLURM before it calls srun: the
        srun that it finds here sets SLURM_CONF anew.
        """
        path = os.pathsep.join((str(self.folder / "bin"), os.environ["PATH"]))
        return {**os.environ, "SLURM_CONF": str(self.conf), "PATH": path}

    def start(self) -> None:
        """Write the configuration, start the daemons and wait until the node is idle."""
        for part in ("state", "spool", "bin"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self.conf.write_text(self._configuration())
        gpu = f"NodeName={_host()} Name=gpu Count=1 File=/dev/null\n"
        (self.folder / "gres.conf").write_text(gpu)
        srun, conf = self.folder / "bin/srun", shlex.quote(str(self.conf))
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {_program("srun")} "$@"\n')
        srun.chmod(0o755)
        self._start_munge()
        self.start_controller()
        self._daemon("slurmd", "-f", str(self.conf), "-N", _host())
        self._wait(lambda: "idle" in self.call("sinfo", "--noheader", "--format=%T"), "the node")

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._daemon("slurmctld", "-f", str(self.conf))
        self._wait(lambda: "UP" in self.call("scontrol", "ping"), "the controller")

    def stop_controller(self) -> None:
        """End slurmctld, which saves its state; jobs go on."""
        self._end("slurmctld")

    def stop(self) -> None:
        """Cancel all jobs and end the daemons; harmless if there are none."""
        if self._pid("slurmctld"):
            self.call("scancel", "--user", "root")
            self.call("scancel", "--user", "root", "--signal=KILL", "--full")
        for name in ("slurmd", "slurmctld", "munged"):
            self._end(name)
        for process in self.steps():
            os.kill(process, signal.SIGKILL)

    def steps(self) -> list[int]:
        """The processes that watch over running jobs."""
        ours = f"SLURM_CONF={self.conf}".encode()
        return [pid for pid in _processes("slurmstepd") if ours in _read(pid, "environ")]

    def call(self, *command: str) -> str:
        """What one of SLURM's commands prints; empty if it fails."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    def jobs(self) -> list[dict[str, str]]:
        """The jobs that the controller knows, finished ones too: what scontrol says of each."""
        told = self.call("scontrol", "--oneliner", "show", "jobs")
        return [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in told.splitlines()
            if line.startswith("JobId=")
        ]

    def _configuration(self) -> str:
        """slurm.conf: no accounting, cores and memory as what is handed out, memory enforced."""
        folder = self.folder
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": f"{_host()}(127.0.0.1)",
            "SlurmctldPort": _free_port(),
            "SlurmdPort": _free_port(),
            "SlurmUser": "root",
            "AuthInfo": f"socket={folder}/munge.socket",
            "StateSaveLocation": f"{folder}/state",
            "SlurmdSpoolDir": f"{folder}/spool",
            "SlurmctldPidFile": f"{folder}/slurmctld.pid",
            "SlurmdPidFile": f"{folder}/slurmd.pid",
            "SlurmctldLogFile": f"{folder}/slurmctld.log",
            "SlurmdLogFile": f"{folder}/slurmd.log",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "SchedulerParameters": "batch_sched_delay=0,bf_interval=1",
            "AccountingStorageType": "accounting_storage/none",
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=1",
            "JobAcctGatherParams": "OverMemoryKill",
            "ReturnToService": 2,
            # The node may say that it has more cores than the machine.
            "SlurmdParameters": "config_overrides",
            "MinJobAge": 36000,
            "KillWait": 2,
            "GresTypes": "gpu",
        }
        node = f"NodeName={_host()} NodeAddr=127.0.0.1 CPUs={self.cpus} RealMemory={self.memory}"
        return "".join(f"{name}={value}\n" for name, value in settings.items()) + (
            f"{node} Gres=gpu:1\n"
            f"PartitionName=main Nodes={_host()} Default=YES MaxTime=INFINITE State=UP\n"
        )

    def _start_munge(self) -> None:
        """Start a munge of our own, with its own key and socket."""
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = [
            f"--{option}={self.folder}/munge{suffix}"
            for option, suffix in (
                ("key-file", ".key"),
                ("socket", ".socket"),
                ("log-file", ".log"),
                ("seed-file", ".seed"),
            )
        ]
        self._daemon("munged", "--force", f"--pid-file={self.folder}/munged.pid", *files)
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munge")

    def _daemon(self, *command: str) -> None:
        """Start a daemon, which goes to the background by itself."""
        subprocess.run((_program(command[0]), *command[1:]), check=True, env=self.environment,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # fmt: skip

    def _pid(self, name: str) -> int | None:
        """The daemon's process, if it runs: its number may be another's by now."""
        try:
            text = (self.folder / f"{name}.pid").read_text().strip()
        except FileNotFoundError:
            return None
        alive = text.isdigit() and int(text) in _processes(name)
        return int(text) if alive else None

    def _end(self, name: str) -> None:
        """End a daemon and wait until it is gone; kill it if it does not go."""
        pid = self._pid(name)
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE / 2
        while self._pid(name) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        if self._pid(name) is not None:
            os.kill(pid, signal.SIGKILL)

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until `ready()`; if it never is, show what the daemons logged."""
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if time.monotonic() > deadline:
                logs = "\n".join(
                    f"{log.name}:\n{log.read_text()[-2000:]}" for log in self.folder.glob("*.log")
                )
                self.stop()
                raise RuntimeError(f"SLURM: waited {PATIENCE} s for {what}\n{logs}")
            time.sleep(0.1)


def _program(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), SYSTEM)))


def _host() -> str:
    """This machine's name, as SLURM takes it."""
    return socket.gethostname().split(".")[0]


def _free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _processes(program: str) -> list[int]:
    """The running processes of `program`; one that has ended but is not waited for is none."""
    numbers = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    name = f"{program}\n".encode()
    return [pid for pid in numbers if _read(pid, "comm") == name and _read(pid, "cmdline")]


def _read(pid: int, name: str) -> bytes:
    """A file of /proc about a process; nothing if that has ended."""
    try:
        return Path(f"/proc/{pid}", name).read_bytes()
    except OSError:
        return b""


def main() -> None:
    """Start or stop a SLURM from the command line."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        sys.exit("usage: python tests/slurm/one_node.py start|stop FOLDER")
    node = OneNode(Path(sys.argv[2]))
    if sys.argv[1] == "stop":
        node.stop()
    elif reason := unavailable():
        sys.exit(f"No SLURM can be started here: {reason}")
    else:
        node.start()
        print(f"export SLURM_CONF={shlex.quote(str(node.conf))}")
        print(f"export PATH={shlex.quote(str(node.folder / 'bin'))}:$PATH")


if __name__ == "__main__":
    main()
