"""The parts that callbacks share, without any library."""

from pathlib import Path

import pytest
import torch

from training_maps.recording.callback_parts import StepRecording
from training_maps.runs.journal import read_journal
from training_maps.utils.errors import InputError


def recording(folder: Path, every: int = 2, **asked: bool) -> StepRecording:
    made = StepRecording()
    asked = {"updates": False, "activations": False, **asked}
    made.set_up(folder, every, {"train_loss": "loss"}, settings={"seed": 3}, **asked)
    return made


def test_steps_are_whole_multiples_and_the_norms_those_of_the_step(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    made = recording(tmp_path / "run", updates=True, activations=True)
    made.begin(network)
    assert [step for step in range(7) if made.is_recorded(step)] == [0, 2, 4, 6]
    for step in (1, 2):
        made.before_forward(step)
        out = network(torch.ones(4, 3))
        made.before_update(step, network)
        with torch.no_grad():
            network.weight += step
        found = made.norms_of_step(network)
        if step == 1:
            assert found == {}
    assert found["update_size"] == pytest.approx(2 * 6**0.5)
    assert found["activation_norm"] == pytest.approx(float(out.detach().square().mean().sqrt()))
    made.recorder.record(network, 2, **found)  # type: ignore[union-attr]
    made.close()
    assert [line.step for line in read_journal(tmp_path / "run")] == [2]


def test_nothing_is_measured_that_nobody_asked_for(tmp_path: Path) -> None:
    made = recording(tmp_path)
    made.close()  # training never began
    made.before_forward(2)
    made.before_update(2, torch.nn.Linear(1, 1))
    assert made.norms_of_step(torch.nn.Linear(1, 1)) == {}
    with pytest.raises(InputError, match="every_n_steps: expected at least 1, not 0"):
        recording(tmp_path, 0)
