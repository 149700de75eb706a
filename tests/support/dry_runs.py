"""Dry runs of Snakemake without its start-up, which takes longer than what they do.

A process that has imported Snakemake forks for each of them. It knows nothing of the package, which
the fork imports from the project that it is asked about, as `python -m snakemake` there would.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path


def dry_run(folder: Path, environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Call `snakemake --dry-run` in a folder.

    Args:
        folder: the working directory.
        environment: all variables; PYTHONPATH is one folder.
        arguments: further ones.

    Returns:
        The exit status, and what was printed.
    """
    server = _server()
    assert server.stdin
    assert server.stdout
    order = {"folder": str(folder), "environment": environment, "arguments": arguments}
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    status, told = json.loads(server.stdout.readline())
    return status, told


@functools.cache
def _server() -> subprocess.Popen[str]:
    """This process's server; it ends when its input does."""
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server


def _serve() -> None:
    import snakemake.cli  # noqa: F401

    assert not any(name.startswith("training_maps") for name in sys.modules)
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            os.closerange(3, writing + 1)
            _run(**json.loads(line))
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as output:
            told = output.read()
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), told]), flush=True)


def _run(folder: str, environment: dict[str, str], arguments: list[str]) -> None:
    """Be a `python -m snakemake --dry-run` that has just begun, and end."""
    import snakemake.cli

    status = 1
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:1] = [folder, environment["PYTHONPATH"]]
        sys.argv = [snakemake.__file__, "--dry-run", *arguments]
        snakemake.cli.main(sys.argv[1:])
    except SystemExit as end:
        if isinstance(end.code, str):  # as the interpreter does
            print(end.code, file=sys.stderr)
        else:
            status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
