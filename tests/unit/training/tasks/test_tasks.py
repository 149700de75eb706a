"""Tasks: their data, losses and settings."""

import numpy as np
import pytest
import torch

from training_maps.training.tasks import make_task, settings_schema, task_class, task_names
from training_maps.utils.errors import InputError


def test_sparse_parities_labels_are_products_of_the_relevant_bits():
    task = make_task("sparse_parities", {"n_relevant_bits": 3})
    data = task.data(np.random.default_rng(0))
    for inputs, targets, n in (
        (data.train_inputs, data.train_targets, 1000),
        (data.eval_inputs, data.eval_targets, 100),
    ):
        assert inputs.shape == (n, 40)
        assert set(np.unique(inputs)) == {-1.0, 1.0}
        assert inputs.dtype == targets.dtype == np.float32
        np.testing.assert_array_equal(targets, inputs[:, 0] * inputs[:, 1] * inputs[:, 2])
    # Fair signs: 44,000 of them, within five standard deviations.
    bits = np.concatenate([data.train_inputs, data.eval_inputs])
    assert abs(bits.mean()) < 5 / np.sqrt(bits.size)


def test_training_and_evaluation_examples_are_drawn_apart():
    data = make_task("sparse_parities", {}).data(np.random.default_rng(1))
    train = {row.tobytes() for row in data.train_inputs}
    assert not train & {row.tobytes() for row in data.eval_inputs}


def test_hinge_loss_and_accuracy_by_hand():
    task = make_task("sparse_parities", {})
    outputs = torch.tensor([[2.0], [0.5], [-0.5], [-3.0]])
    targets = torch.tensor([1.0, 1.0, 1.0, -1.0])
    assert task.loss(outputs, targets).item() == pytest.approx((0 + 0.5 + 1.5 + 0) / 4)
    assert task.correct(outputs, targets).tolist() == [True, True, False, True]


def test_the_network_is_a_perceptron_of_the_given_sizes():
    network = make_task("sparse_parities", {"n_bits": 7, "hidden_size": 5}).network().double()
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert shapes == {
        "hidden.weight": (5, 7), "hidden.bias": (5,), "output.weight": (1, 5), "output.bias": (1,),
    }  # fmt: skip
    inputs = np.random.default_rng(0).normal(size=(3, 7))
    p = {name: value.detach().numpy() for name, value in network.named_parameters()}
    twin = np.maximum(inputs @ p["hidden.weight"].T + p["hidden.bias"], 0)
    twin = twin @ p["output.weight"].T + p["output.bias"]
    outputs = network(torch.from_numpy(inputs)).detach().numpy()
    np.testing.assert_allclose(outputs, twin, rtol=1e-10, atol=1e-14)


def test_modular_addition_has_every_pair_once_and_its_sum():
    data = make_task("modular_addition", {}).data(np.random.default_rng(0))
    assert data.train_inputs.shape == (3830, 3)  # 30 % of 113 x 113, rounded down
    assert data.eval_inputs.shape == (8939, 3)
    inputs = np.concatenate([data.train_inputs, data.eval_inputs])
    targets = np.concatenate([data.train_targets, data.eval_targets])
    assert inputs.dtype == targets.dtype == np.int64
    # All pairs are there and none twice, so that none is in both parts.
    pairs = {(int(x), int(y)) for x, y, _ in inputs}
    assert pairs == {(x, y) for x in range(113) for y in range(113)}
    assert (inputs[:, 2] == 113).all()
    for (x, y, _), z in zip(inputs.tolist(), targets.tolist(), strict=True):
        assert z == (x + y if x + y < 113 else x + y - 113)


def test_modular_addition_is_split_by_the_runs_own_generator():
    task = make_task("modular_addition", {"modulus": 11, "train_share": 0.5})
    first, again, other = (task.data(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert len(first.train_inputs) == 60
    np.testing.assert_array_equal(first.train_inputs, again.train_inputs)
    assert set(map(tuple, first.train_inputs)) != set(map(tuple, other.train_inputs))
    # A random half, and not, say, the small sums: every number is met on both sides.
    assert set(first.train_inputs[:, 0]) == set(first.eval_inputs[:, 0]) == set(range(11))


def test_cross_entropy_and_accuracy_by_hand():
    task = make_task("modular_addition", {"modulus": 2})
    outputs = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]])) + 3
    targets = torch.tensor([0, 1, 1])
    expected = -np.log([0.5, 0.1, 0.8]).mean()
    assert task.loss(outputs, targets).item() == pytest.approx(expected, rel=1e-6)
    assert task.correct(outputs, targets).tolist() == [True, False, True]


@pytest.mark.parametrize("name", task_names())
def test_every_task_describes_its_settings(name):
    for key, part in settings_schema(name)["properties"].items():
        assert part["description"], key
        assert part["type"], key
    assert task_class(name).__doc__


def test_unknown_tasks_and_settings_are_refused():
    with pytest.raises(InputError, match="there is no task 'nothing'; the tasks are"):
        make_task("nothing", {})
    with pytest.raises(InputError, match="has no setting hidden; it has n_bits"):
        make_task("sparse_parities", {"hidden": 3})
    with pytest.raises(InputError, match="more than n_bits"):
        make_task("sparse_parities", {"n_bits": 2, "n_relevant_bits": 3})
    with pytest.raises(InputError, match="of the 9 pairs is less than one example"):
        make_task("modular_addition", {"modulus": 3, "train_share": 0.1})


@pytest.fixture
def own_task(tmp_path, monkeypatch):
    """Writes a task of one's own; the package finds it like its own."""
    import training_maps.training.tasks as package

    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write


CLASS = """
from dataclasses import dataclass
from training_maps.training.tasks import Task, setting

@dataclass(frozen=True)
class Own(Task):
    size: {type} = {default}
"""


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("own_syntax", "def f(:\n", r"own_syntax.py, line 1 cannot be imported \(SyntaxError"),
        ("own_import", "import no_such_module\n", r"cannot be imported \(ModuleNotFoundError"),
        (
            "own_plain",
            CLASS.replace("@dataclass(frozen=True)", ""),
            "is not a dataclass; put @data",
        ),
        (
            "own_type",
            CLASS.format(type="tuple[int, ...]", default="(1,)"),
            "setting size of Own has type tuple.*; a setting is one of int, float",
        ),
        (
            "own_default",
            CLASS.replace(" = {default}", "").format(type="int"),
            "setting size of Own has no default",
        ),
    ],
)
def test_a_task_of_ones_own_that_is_wrong_is_told_where(own_task, name, source, message):
    source = source.replace("{type}", "int").replace("{default}", "3")
    with pytest.raises(InputError, match=message):
        settings_schema(own_task(name, source))


def test_types_need_not_be_text(own_task):
    schema = settings_schema(own_task("own_right", CLASS.format(type="int", default="3")))
    assert schema["properties"]["size"] == {"type": "integer", "default": 3}
