"""`training-maps STAGE ...`: one command a stage, the same that the workflow's rules call.

Each stage is a module of `training_maps.commands` with `SUMMARY` (a line of help),
`add_arguments(parser)` and `run(arguments)`. Only the chosen stage's module is imported, so that an
analysis job does not pay for importing torch.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from training_maps.utils.errors import InputError
from training_maps.utils.files import explained, package_version

STAGES = {
    "open": "open an experiment's report in the browser",
    "fetch": "fetch data sets and check them",
    "train": "train a block of seeds side by side; write checkpoints, manifests and logs",
    "collect": "list the checkpoints of one existing run",
    "tables": "make tables of metrics and training logs of what runs logged elsewhere",
    "hub": "compute the metrics of one run's checkpoints on the Hugging Face hub",
    "inspect": "show which tensors of a checkpoint count, and as what",
    "describe_model": "write which tensor of a network is what, by its modules' types",
    "layers": "print the metrics of each weight matrix, or WeightWatcher's table of layers",
    "metrics": "compute the metrics of one run's checkpoints",
    "observations": "z-score the runs' metrics and split the seeds",
    "hmm": "fit hidden Markov models with one number of states",
    "half": "fit all models to a random half of the runs",
    "structure": "say whether there are states at all, and which are found again",
    "map": "select the model; write the training map and each run's path",
    "state_paths": "write the training map of runs whose states are known",
    "convert": "convert a training map to GraphML or DOT",
    "layer_changes": "say which layers change at each transition of the map",
    "forks": "say how runs split at each fork of the map, and whether it tells when they converge",
    "phase_transitions": "find when runs memorise and generalise, and in which states they do",
    "reproducibility": "say what halves of the runs agree on, and so other seeds would show",
    "semantics": "relate states to convergence time, or another outcome; find detours",
    "dissimilarity": "compute trajectory dissimilarity between runs",
    "outliers": "find runs that do not go the way of the rest",
    "spread": "test whether two groups of runs are equally spread",
    "sensitivity_variant": "select the model again with other metrics, and compare its states",
    "sensitivity": "gather how states move with the metrics that the model sees",
    "early_warning": "test how well the first part of a run predicts its outcome",
    "figures": "draw the figures",
    "report": "write the report page",
    "summary": "write an experiment's summary, or print summaries",
    "compare": "compare experiments side by side",
    "calibrate": "write what new runs are placed on a map by",
    "place": "place new runs on an existing map",
    "watch": "follow runs while they train, and place them on an existing map",
}
# What people type; the workflow's rules call the others.
_FOR_PEOPLE = (
    "open",
    "inspect",
    "describe_model",
    "layers",
    "place",
    "watch",
    "summary",
    "convert",
    "spread",
)

logger = logging.getLogger("training_maps")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; return the exit status: 0, or 1 after an error that has been reported.

    Interrupted it is 130, and 141 where nobody reads on what is printed.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    stage = arguments[0].replace("-", "_") if arguments else None
    if stage is not None and stage not in STAGES and not arguments[0].startswith("-"):
        print(_unknown(arguments[0]), file=sys.stderr)
        return 2
    if stage not in STAGES:
        _overview().parse_args(arguments or ["--help"])
        return 2  # parse_args has exited already, unless argparse changes
    command = importlib.import_module(f"training_maps.commands.{stage}")
    parser = argparse.ArgumentParser(
        prog=f"training-maps {stage}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="also write messages to FILE")
    command.add_arguments(parser)
    options = parser.parse_args(arguments[1:])
    try:
        _configure_logging(options.log)
        command.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has seen enough, as `head` has. The rest goes nowhere, so that Python's last
        # flush is quiet too; the status is the one that shells know.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except InputError as error:
        logger.error("%s", error)
        return 1
    except KeyboardInterrupt:
        logger.error("interrupted; files not yet whole were removed")
        return 130
    except MemoryError as error:
        logger.error("there is not enough memory (%s); give the job more of it", error)
        return 1
    except Exception as error:
        told = explained(error)
        if told is None:
            logger.exception("%s", _unforeseen(stage, options, error))
        else:
            logger.error("%s", told)
        return 1
    return 0


def _several(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _unforeseen(stage: str, options: argparse.Namespace, error: Exception) -> str:
    """What to say of an error that no check foresaw: a damaged file, or a bug of ours."""
    given = [part for value in vars(options).values() for part in _several(value)]
    files = ", ".join(str(part) for part in given if isinstance(part, Path) and part.exists())
    return (
        f"training-maps {stage} failed in a way that it should not "
        f"({type(error).__name__}: {error}). "
        + (f"If one of these was changed or damaged, make it again: {files}. " if files else "")
        + "Otherwise this is a bug of training-maps; please report it with the lines that follow"
    )


def _unknown(stage: str) -> str:
    """What to say of a command that there is not, with the nearest that there is."""
    near = difflib.get_close_matches(stage, STAGES, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"training-maps: there is no {stage}{hint}\n'training-maps --help' lists all commands."


def _overview() -> argparse.ArgumentParser:
    def lines(names: Iterable[str]) -> str:
        return "\n".join(f"  {name:19} {STAGES[name]}" for name in names)

    people = [name for name in _FOR_PEOPLE if name in STAGES]
    stages = lines(name for name in STAGES if name not in _FOR_PEOPLE)
    parser = argparse.ArgumentParser(
        prog="training-maps",
        description="Turn training runs into a training map, stage by stage.",
        epilog=f"to look at things:\n{lines(people)}\n\nstages, which the workflow calls:\n{stages}"
        "\n\n'training-maps STAGE --help' explains one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=package_version())
    parser.add_argument("stage", choices=STAGES, metavar="STAGE")
    return parser


class _LogFile(logging.FileHandler):
    """A log file; what it cannot take, on a full disk for one, the terminal shows all the same."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Do nothing: a traceback for each line would bury the message."""

    def close(self) -> None:
        """Close the file; what it still does not take is lost."""
        with suppress(OSError):
            super().close()


def _configure_logging(log: Path | None) -> None:
    """Messages go to the terminal, and with the time before them to the file `log`."""
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(terminal)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = _LogFile(log, mode="w", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(file)


if __name__ == "__main__":
    sys.exit(main())
