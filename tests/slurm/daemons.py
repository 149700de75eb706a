"""Starts and ends the daemons of a SLURM whose files are all in one folder."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Debian keeps the daemons where ordinary users' PATH does not lead.
SYSTEM = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))
PATIENCE = 120
"""Seconds within which a daemon must answer, on a busy machine too."""


class Daemons:
    """Daemons that write NAME.pid and their logs in `folder`, found again by these.

    Args:
        folder: where their files are.
        environment: the variables that they are started with.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self._in_the_foreground: dict[str, subprocess.Popen[bytes]] = {}
        self._failed: dict[str, str] = {}

    def start(self, *command: str) -> None:
        """Start a daemon that goes to the background by itself.

        What it says goes to a file: a daemon keeps a pipe open, and reading that would not end.

        Raises:
            RuntimeError: if it fails, with what it said and what all daemons logged, as most say
                why in their logs only.
        """
        told = self.folder / f"{command[0]}.said.log"
        try:
            run(*command, environment=self.environment, told=told)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self._told()}") from None

    def start_behind(self, log: str, *command: str) -> None:
        """Start a daemon that stays in the foreground; what it says goes to the file `log`."""
        with (self.folder / log).open("w") as file:
            self._in_the_foreground[command[0]] = subprocess.Popen(
                (program(command[0]) or command[0], *command[1:]), env=self.environment,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def pid(self, name: str) -> int | None:
        """The process of the daemon with the file `{name}.pid`, if it runs.

        Its program is the name's first part: `slurmd-node1` is a slurmd. The number may be another
        program's by now.
        """
        try:
            text = (self.folder / f"{name}.pid").read_text().strip()
        except FileNotFoundError:
            return None
        alive = text.isdigit() and int(text) in processes(name.partition("-")[0])
        return int(text) if alive else None

    def end(self, name: str) -> None:
        """End a daemon and wait until it is gone; kill it if it does not go."""
        pid = self.pid(name)
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE / 2
        while self.pid(name) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.pid(name) is not None:
            os.kill(pid, signal.SIGKILL)

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until `ready()`.

        Raises:
            RuntimeError: if it never is, or a daemon that it takes has ended; with what the daemons
                logged, and what the commands said that failed.
        """
        deadline = time.monotonic() + PATIENCE
        while not ready():
            ended = [name for name, each in self._in_the_foreground.items() if each.poll()]
            if ended:
                raise RuntimeError(f"SLURM: {', '.join(ended)} ended before {what}\n{self._told()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"SLURM: waited {PATIENCE} s for {what}\n{self._told()}")
            time.sleep(0.1)

    def _told(self) -> str:
        """The ends of all logs, and what failing commands said last."""
        logs = [(log.name, log.read_text()) for log in self.folder.glob("*.log")]
        return "\n".join(
            f"{name}:\n{text[-2000:]}" for name, text in (*logs, *self._failed.items())
        )

    def call(self, *command: str) -> str:
        """What one of SLURM's commands prints; empty if it fails."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            self._failed[shlex.join(command)] = done.stderr
            return ""
        self._failed.pop(shlex.join(command), None)
        return done.stdout


def run(*command: str, environment: dict[str, str] | None = None, told: Path | None = None) -> None:
    """Run a program to its end; what it says goes to the file `told`, or to one that is dropped.

    Raises:
        RuntimeError: if it fails, with what it said.
    """
    with told.open("w+") if told else tempfile.TemporaryFile("w+") as said:
        done = subprocess.run((program(command[0]) or command[0], *command[1:]), env=environment,
                              stdin=subprocess.DEVNULL, stdout=said, stderr=said)  # fmt: skip
        said.seek(0)
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)} failed ({done.returncode}):\n{said.read()}")


def program(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), SYSTEM)))


def host() -> str:
    """This machine's name, as SLURM takes it."""
    return socket.gethostname().split(".")[0]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def processes(name: str) -> list[int]:
    """The running processes of a program; one that has ended but is not waited for is none."""
    numbers = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    comm = f"{name}\n".encode()
    return [pid for pid in numbers if read(pid, "comm") == comm and read(pid, "cmdline")]


def read(pid: int, name: str) -> bytes:
    """A file of /proc about a process; nothing if that has ended."""
    try:
        return Path(f"/proc/{pid}", name).read_bytes()
    except OSError:
        return b""
