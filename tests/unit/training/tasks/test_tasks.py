"""Tasks: their data, losses and settings."""

import numpy as np
import pytest
import torch

from tests.support.dataset_files import image_set
from training_maps.training import datasets
from training_maps.training.tasks import make_task, settings_schema, task_class, task_names
from training_maps.utils.errors import InputError


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


def test_only_perceptrons_are_stacked():
    assert make_task("mnist", {}).side_by_side
    assert not make_task("mnist", {"model": "lenet5"}).side_by_side
    assert not make_task("mnist", {"model": "lenet5", "batch_norm": True}).side_by_side
    assert not make_task("cifar", {}).side_by_side


@pytest.mark.parametrize("name", ["mnist", "cifar"])
def test_images_of_another_shape_are_refused(tmp_path, name):
    path = image_set(tmp_path / "odd.npz", (3, 28, 28))
    with pytest.raises(
        InputError, match=r"odd\.npz have shape \(3, 28, 28\).*takes images of shape \("
    ):
        make_task(name, {"dataset": path}).data(np.random.default_rng(0))


@pytest.mark.parametrize("name", ["mnist", "cifar"])
def test_cross_entropy_and_accuracy_by_hand(name):
    task = make_task(name, {})
    outputs = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]])) + 3
    targets = torch.tensor([0, 1, 1])
    expected = -np.log([0.5, 0.1, 0.8]).mean()
    assert task.loss(outputs, targets).item() == pytest.approx(expected, rel=1e-6)
    assert task.correct(outputs, targets).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("name", "settings", "n_classes"),
    [
        ("mnist", {}, 10),
        ("mnist", {"dataset": "mnist_t10k", "model": "lenet5"}, 10),
        ("cifar", {}, 100),
        ("cifar", {"dataset": "cifar10"}, 10),
    ],
)
def test_networks_answer_with_the_classes_of_the_data_set(name, settings, n_classes, monkeypatch):
    # Known without the files: the network can be had where they cannot.
    monkeypatch.setattr(datasets, "load", lambda _: pytest.fail("the data set was loaded"))
    network = make_task(name, settings).network()
    assert list(network.parameters())[-1].shape == (n_classes,)


def test_networks_answer_with_the_classes_of_ones_own_images(digits, photographs):
    assert make_task("mnist", {"dataset": digits}).network().output.bias.shape == (3,)
    assert make_task("cifar", {"dataset": photographs}).network().fc.bias.shape == (3,)


def test_a_data_set_that_is_not_there():
    for name in ("mnist", "cifar"):
        task = make_task(name, {"dataset": "nothing"})
        with pytest.raises(InputError, match="there is no data set 'nothing'"):
            task.data(np.random.default_rng(0))
        with pytest.raises(InputError, match="there is no data set 'nothing'"):
            task.network()
