"""A SLURM on this machine alone, for tests, from Debian's packages slurm-wlm and munge.

`python -m tests.slurm.small_slurm start FOLDER` starts its controller, its nodes and its munge, and
prints what a shell must export to use them; `stop FOLDER` ends them. All that they write is in
FOLDER: nothing in /etc is read or changed, so that a SLURM that this machine has is left alone. It
takes root, as SLURM's daemons do. Each node has one GPU, which is none: a name that is handed out.
With accounting it takes a database as well: tools/slurm-packages.sh names the packages.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
from pathlib import Path

from tests.slurm import accounting
from tests.slurm.accounting import Accounting
from tests.slurm.daemons import Daemons, free_port, host, processes, program, read

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scancel", "scontrol")


def unavailable(with_accounting: bool = False) -> str | None:
    """Why no SLURM can be started here; None if it can."""
    needed = PROGRAMS + (accounting.PROGRAMS if with_accounting else ())
    missing = [name for name in needed if program(name) is None]
    if missing:
        return f"{', '.join(missing)} not found; tools/slurm-packages.sh installs them"
    if os.geteuid() != 0:
        return "SLURM's daemons are started by root only"
    if not Path("/sys/fs/cgroup").is_mount():
        return "SLURM's nodes take cgroups, which are not mounted at /sys/fs/cgroup"
    return None


class SmallSlurm:
    """A SLURM whose files are in `folder`.

    Args:
        folder: a folder of its own, with a short path: sockets allow a hundred characters.
        nodes: how many nodes there are; all are this machine.
        with_accounting: whether finished jobs are written to a database, which sacct asks.
        cpus: how many cores each node says it has. They are not pinned, so that there may be more
            than the machine's.
        memory: the memory of each, in MB.
    """

    def __init__(
        self,
        folder: Path,
        nodes: int = 1,
        with_accounting: bool = False,
        cpus: int = 16,
        memory: int = 16000,
    ) -> None:
        self.folder = folder.resolve()
        self.nodes = [f"node{i + 1}" for i in range(nodes)]
        self.cpus, self.memory = cpus, memory
        self.conf = self.folder / "slurm.conf"
        self._daemons = Daemons(self.folder, self.environment)
        self._accounting = Accounting(self._daemons)
        self._with_accounting = with_accounting

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead SLURM's commands here, and slurmdbd to its database.

        The job step of Snakemake's plugin drops all variables of SLURM before it calls srun: the
        srun that it finds here sets SLURM_CONF anew.
        """
        path = os.pathsep.join((str(self.folder / "bin"), os.environ["PATH"]))
        database = {"MYSQL_UNIX_PORT": str(self.folder / "database.socket")}
        return {**os.environ, **database, "SLURM_CONF": str(self.conf), "PATH": path}

    def start(self) -> None:
        """Write the configuration, start the daemons and wait until the nodes are idle."""
        try:
            for part in ("state", "bin"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)
            self.conf.write_text(self._configuration())
            nodes = ",".join(self.nodes)
            gpu = f"NodeName={nodes} Name=gpu Count=1 File=/dev/null\n"
            (self.folder / "gres.conf").write_text(gpu)
            srun, conf = self.folder / "bin/srun", shlex.quote(str(self.conf))
            srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {program("srun")} "$@"\n')
            srun.chmod(0o755)
            self._start_munge()
            if self._with_accounting:
                self._accounting.start()
            self.start_controller()
            for node in self.nodes:
                self._start_node(node)
            self._daemons.wait(self._idle, "the nodes")
        except BaseException:
            self.stop()
            raise

    def _idle(self) -> bool:
        """Whether every node is, in all partitions."""
        told = self.call("sinfo", "--noheader", "--Node", "--format=%N=%T").split()
        return set(told) == {f"{node}=idle" for node in self.nodes}

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._daemons.start("slurmctld", "-f", str(self.conf))
        self._daemons.wait(lambda: "UP" in self.call("scontrol", "ping"), "the controller")

    def stop_controller(self) -> None:
        """End slurmctld, which saves its state; jobs go on."""
        self._daemons.end("slurmctld")

    def kill_and_start_node(self, node: str) -> None:
        """Kill a node's slurmd, and start another; jobs go on."""
        pid = self._daemons.pid(f"slurmd-{node}")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        self._start_node(node)

    def _start_node(self, node: str) -> None:
        self._daemons.start("slurmd", "-f", str(self.conf), "-N", node)

    def stop(self) -> None:
        """Cancel all jobs and end the daemons; harmless if there are none."""
        if self._daemons.pid("slurmctld"):
            self.call("scancel", "--user", "root")
            self.call("scancel", "--user", "root", "--signal=KILL", "--full")
        for file in sorted(self.folder.glob("slurmd-*.pid")):
            self._daemons.end(file.stem)
        self._daemons.end("slurmctld")
        self._accounting.stop()
        self._daemons.end("munged")
        for process in self.left_running():
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                os.kill(process, signal.SIGKILL)

    def left_running(self) -> list[int]:
        """Processes of jobs: those that watch over them, and what runs on a node taken for dead."""
        watching = [pid for pid in processes("slurmstepd") if self._ours in _environment(pid)]
        return sorted({*self.in_jobs(), *watching})

    def in_jobs(self) -> dict[int, str]:
        """The processes that jobs have now, but those that watch over them, and their jobs."""
        numbers = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
        known = {pid: _environment(pid) for pid in numbers}
        jobs = {pid: _job(there) for pid, there in known.items() if self._ours in there}
        return {pid: job for pid, job in jobs.items() if job}

    @property
    def _ours(self) -> bytes:
        return f"SLURM_CONF={self.conf}".encode()

    def call(self, *command: str) -> str:
        """What one of SLURM's commands prints; empty if it fails."""
        return self._daemons.call(*command)

    def jobs(self) -> list[dict[str, str]]:
        """The jobs that the controller knows, finished ones too: what scontrol says of each."""
        told = self.call("scontrol", "--oneliner", "show", "jobs")
        return [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in told.splitlines()
            if line.startswith("JobId=")
        ]

    def _configuration(self) -> str:
        """slurm.conf: cores and memory are what is handed out, memory is enforced."""
        folder = self.folder
        settings: dict[str, object] = {
            "ClusterName": "test",
            "SlurmctldHost": f"{host()}(127.0.0.1)",
            "SlurmctldPort": free_port(),
            "SlurmUser": "root",
            # A job that is requeued waits as long as its credential would still have held.
            "AuthInfo": f"socket={folder}/munge.socket,cred_expire=30",
            "StateSaveLocation": f"{folder}/state",
            "SlurmdSpoolDir": f"{folder}/spool-%n",
            "SlurmctldPidFile": f"{folder}/slurmctld.pid",
            "SlurmdPidFile": f"{folder}/slurmd-%n.pid",
            "SlurmctldLogFile": f"{folder}/slurmctld.log",
            "SlurmdLogFile": f"{folder}/slurmd-%n.log",
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
            # A node may say that it has more cores than the machine.
            "SlurmdParameters": "config_overrides",
            "MinJobAge": 36000,
            "KillWait": 2,
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            "GresTypes": "gpu",
        }
        if self._with_accounting:
            settings |= self._accounting.settings
        here = f"NodeHostname={host()} NodeAddr=127.0.0.1"
        size = f"CPUs={self.cpus} RealMemory={self.memory} Gres=gpu:1"
        nodes = [f"NodeName={node} {here} Port={free_port()} {size}\n" for node in self.nodes]
        where = f"Nodes={','.join(self.nodes)} MaxTime=INFINITE State=UP"
        # Jobs of the urgent partition drive those of the others away.
        partitions = [
            f"PartitionName=main Default=YES {where}\n",
            f"PartitionName=spare PreemptMode=CANCEL {where}\n",
            f"PartitionName=urgent PriorityTier=10 {where}\n",
        ]
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        return "".join([*lines, *nodes, *partitions])

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
        self._daemons.start("munged", "--force", f"--pid-file={self.folder}/munged.pid", *files)
        self._daemons.wait((self.folder / "munge.socket").exists, "munge")


def _environment(pid: int) -> list[bytes]:
    """The variables of a process; none if it has ended."""
    return read(pid, "environ").split(b"\0")


def _job(environment: list[bytes]) -> str:
    """The job that a process with these variables is part of, or "" if it is of none."""
    name = b"SLURM_JOB_ID="
    found = [variable.removeprefix(name) for variable in environment if variable.startswith(name)]
    return found[0].decode() if found else ""


def main() -> None:
    """Start or stop a SLURM from the command line."""
    parser = argparse.ArgumentParser(description="A SLURM on this machine alone, for tests.")
    parser.add_argument("what", choices=("start", "stop"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--accounting", action="store_true")
    options = parser.parse_args()
    slurm = SmallSlurm(options.folder, options.nodes, options.accounting)
    if options.what == "stop":
        slurm.stop()
    elif reason := unavailable(options.accounting):
        sys.exit(f"No SLURM can be started here: {reason}")
    else:
        slurm.start()
        for name in ("SLURM_CONF", "PATH"):
            print(f"export {name}={shlex.quote(slurm.environment[name])}")


if __name__ == "__main__":
    main()
