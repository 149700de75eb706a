"""Say whether other seeds would show the same map: what the halves of the runs agree on.

Each half chooses among its own fits by the experiment's rule. Tells how far halves agree on states,
on ways and on the number of states, and what share of them has each state and fork of the map; and
each delay, if --regression, --outcomes and --convergence are given.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from training_maps.config.arguments import add_inputs, add_options, read_options
from training_maps.utils.files import made_by, read_json, read_table, write_json

if TYPE_CHECKING:
    import pandas as pd

    from training_maps.analysis.reproducibility.found_again import FindDelays

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--halves", type=Path, nargs="+", required=True, metavar="NPZ", help="of each half"
    )
    add_inputs(parser, "observations", "state-paths")
    parser.add_argument(
        "--structure",
        type=Path,
        metavar="JSON",
        help="of 'training-maps structure': what halves choose with --criterion found_again",
    )
    for name, form in (("regression", "JSON"), ("outcomes", "CSV"), ("convergence", "CSV")):
        parser.add_argument(f"--{name}", type=Path, metavar=form, help="of the semantics stage")
    add_options(parser, "reproducibility")
    parser.add_argument("--output", type=Path, required=True, metavar="JSON", help="output")


def run(arguments: argparse.Namespace) -> None:
    """Write what the halves say together."""
    from training_maps.analysis.reproducibility.gather import gather_halves
    from training_maps.hmm.observations import Observations
    from training_maps.reproducibility.refit import HalfFit
    from training_maps.training_map.paths import read_state_paths

    settings = read_options(arguments, "reproducibility")
    obs = Observations.load(arguments.observations)
    found = gather_halves(
        [HalfFit.load(path, obs) for path in arguments.halves],
        obs,
        read_state_paths(arguments.state_paths),
        find_delays=_delays(arguments),
        structure=None if arguments.structure is None else read_json(arguments.structure),
        **settings,
    )
    write_json({**found, "made_by": made_by(**settings)}, arguments.output)
    for sentence in found["sentences"]:
        logger.info("%s", sentence)


def _delays(arguments: argparse.Namespace) -> FindDelays | None:
    """What names the delays of paths, as the semantics stage does; None without an outcome."""
    from training_maps.analysis.semantics.delays import delays
    from training_maps.analysis.semantics.outcomes import read_outcome

    if None in (arguments.regression, arguments.outcomes, arguments.convergence):
        return None
    outcome = read_outcome(arguments.regression, arguments.outcomes)
    if outcome is None:
        return None
    steps = read_table(arguments.convergence, ("seed", "step")).set_index("seed")["step"]

    def find(paths: pd.DataFrame) -> list[int]:
        found = delays(paths, outcome, steps)
        return [int(state) for state in found.loc[found["is_delay"].astype(bool), "state"]]

    return find
