"""docs/add_a_task.md does what it says: its code blocks are the files, and its commands are run."""

import json
import math
import re
import sys
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

import training_maps.training.tasks
from tests.support.project import ROOT
from tests.support.twin import begin, plain_loop, train_epochs
from tests.support.workflow_project import Project
from training_maps.config.resolve import resolve
from training_maps.config.schema import load_schema
from training_maps.figures import FIGURES
from training_maps.metrics.compute import checkpoint_metrics, run_metrics
from training_maps.metrics.definitions import METRIC_COLUMNS
from training_maps.training.networks import measured
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task, task_names

NAME = "delayed_recall"
TASK_FILE = f"python/training_maps/training/tasks/{NAME}.py"
EXPERIMENT_FILE = f"experiments/{NAME}.yaml"
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', flags=re.M | re.S)


class Block(NamedTuple):
    language: str
    title: str
    text: str


BLOCKS = [
    Block(*found) for found in _BLOCK.findall((ROOT / "docs/add_a_task.md").read_text("utf-8"))
]
FILES = {block.title: block.text for block in BLOCKS if block.title}


def block(beginning):
    """The one block of the page that begins so."""
    (found,) = [block for block in BLOCKS if block.text.startswith(beginning)]
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with the page's two files where the page says."""
    project = Project.new(tmp_path_factory.mktemp("add_a_task") / "project")
    for path, text in FILES.items():
        assert not (project.folder / path).exists()
        (project.folder / path).write_text(text, encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def added(project):
    """The task is among this process's own, from the copy: nothing is put into the sources."""
    folder = project.folder / "only_this_task"
    folder.mkdir()
    (folder / f"{NAME}.py").write_text(FILES[TASK_FILE], encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            training_maps.training.tasks,
            "__path__",
            [*training_maps.training.tasks.__path__, str(folder)],
        )
        yield project
    sys.modules.pop(f"training_maps.training.tasks.{NAME}", None)
    vars(training_maps.training.tasks).pop(NAME, None)


def as_typed(project, command):
    """Run what the page tells to type, in the copy of the project; return what it printed."""
    done = project.call("bash", "-c", command)
    assert done.returncode == 0, done.stdout
    return done.stdout


def experiment(project):
    """The experiment's whole settings, as the workflow reads them, and its recipe."""
    schema = load_schema()
    config = resolve({"experiments": [NAME]}, project.folder / "experiments", schema)
    settings = config.experiments[NAME]
    recipe = Recipe(**{name: settings["training"][name] for name in vars(Recipe())})
    return settings, recipe


def test_the_page_has_exactly_two_files():
    assert list(FILES) == [TASK_FILE, EXPERIMENT_FILE]
    assert not (ROOT / TASK_FILE).exists()  # it is an example, and not one of the package's tasks


def test_the_config_knows_the_task_and_its_settings(added):
    assert NAME in task_names()
    settings, recipe = experiment(added)
    assert settings["training"]["task_settings"] == {
        "n_symbols": 4, "delay": 8, "n_train": 1000, "n_eval": 200, "width": 16, "hidden_size": 32,
    }  # fmt: skip
    assert (recipe.unit, recipe.length, recipe.optimizer) == ("step", 400, "adamw")
    assert settings["seeds"] == list(range(20))


def test_the_answer_is_the_first_symbol_and_nothing_else_tells_it(added):
    data = make_task(NAME, {"n_symbols": 3, "delay": 5, "n_train": 4000}).data(
        np.random.default_rng(0)
    )
    assert data.train_inputs.shape == (4000, 6)
    assert data.train_inputs.dtype == data.train_targets.dtype == np.int64
    np.testing.assert_array_equal(data.eval_targets, data.eval_inputs[:, 0])
    for position in range(1, 6):  # right by chance: a third, within five standard deviations
        agreement = (data.train_inputs[:, position] == data.train_targets).mean()
        assert abs(agreement - 1 / 3) < 5 * math.sqrt(2 / 9 / 4000)


def test_the_forward_pass_is_that_of_torchs_own_lstm(added):
    network = make_task(NAME, {"width": 5, "hidden_size": 7}).network().double()
    parameters = dict(network.named_parameters())
    twin = torch.nn.LSTM(5, 7, batch_first=True).double()
    with torch.no_grad():
        twin.weight_ih_l0.copy_(parameters["gates.weight"][:, :5])
        twin.weight_hh_l0.copy_(parameters["gates.weight"][:, 5:])
        twin.bias_ih_l0.copy_(parameters["gates.bias"])
        twin.bias_hh_l0.zero_()
        symbols = torch.randint(4, (6, 9), generator=torch.Generator().manual_seed(0))
        states, _ = twin(parameters["embed.weight"][symbols])
        expected = states[:, -1] @ parameters["output.weight"].T + parameters["output.bias"]
        torch.testing.assert_close(network(symbols), expected, rtol=1e-12, atol=1e-12)


@pytest.fixture
def double():
    """Networks in float64, so that a difference is a mistake and not rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_side_by_side_equals_one_after_another(added, double):
    task = make_task(NAME, {"n_train": 110, "n_eval": 20})  # two batches of 50 and one of 10
    assert task.side_by_side
    recipe = Recipe("adamw", learning_rate=0.003, weight_decay=0.01, batch_size=50)
    for seed, tensors in train_epochs(task, recipe, [1, 4, 6], 3).items():
        twin = plain_loop(task, seed, recipe, 3, torch.nn.CrossEntropyLoss())
        assert tensors.keys() == twin.keys()
        for name, value in twin.items():
            np.testing.assert_allclose(tensors[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_it_needs_its_memory(added):
    """Asked for the first symbol, a network that sees only the later ones stays at chance."""
    settings, recipe = experiment(added)
    task = make_task(NAME, settings["training"]["task_settings"])
    examples, networks = begin(task, recipe, [0, 1])
    batches = examples.batches()
    for _ in range(300):
        networks.step(*next(batches))
    ((inputs, targets),) = examples.part("eval", 200)
    _, accuracy = measured(networks, [(inputs, targets)])
    assert (accuracy > settings["semantics"]["threshold"]).all()
    forgetful = inputs.clone()
    forgetful[..., 0] = 0
    _, accuracy = measured(networks, [(forgetful, targets)])
    assert (accuracy < 0.4).all()


def test_the_page_tells_what_the_metrics_count(project):
    printed = as_typed(
        project, f"python - <<'END'\n{block('from training_maps.metrics.parameters').text}END"
    )
    assert printed == block("embed.weight |").text


def test_training_by_hand(project):
    as_typed(project, block("training-maps train").text)
    for seed in range(4):
        run = project.folder / f"my_runs/seed-{seed}"
        log = pd.read_parquet(run / "training_log.parquet")
        assert log["step"].tolist() == list(range(0, 401, 20))
        first, last = log.iloc[0], log.iloc[-1]
        assert first["eval_loss"] == pytest.approx(math.log(4), abs=0.1)
        assert first["eval_accuracy"] < 0.5
        assert last["eval_accuracy"] > 0.9
    printed = as_typed(project, f"python - <<'END'\n{block('import pandas').text}END")
    assert "eval_accuracy" in printed
    assert "l1" in printed


def test_a_checkpoints_metrics_are_those_of_the_gates_and_the_output(project):
    command = "training-maps train --task delayed_recall --seeds 5 --recipe unit=step length=2"
    as_typed(project, f"{command} checkpoint_every=2 --threads 1 --runs two_steps")
    run = project.folder / "two_steps/seed-5"
    row = run_metrics(run).iloc[-1]
    p = load_file(run / "checkpoints/step-000002.safetensors")
    weights, biases = (
        [p[f"{layer}.{part}"].astype(np.float64) for layer in ("gates", "output")]
        for part in ("weight", "bias")
    )
    assert row["l2"] == pytest.approx(np.mean([np.linalg.norm(w) for w in weights]), rel=1e-6)
    assert row["mean_b"] == pytest.approx(np.concatenate(biases).mean(), rel=1e-6)
    largest = [np.linalg.svd(w, compute_uv=False)[0] for w in weights]
    assert row["lambda_max"] == pytest.approx(np.mean(largest), rel=1e-6)
    for name, value in checkpoint_metrics(weights=weights, biases=biases).items():
        assert row[name] == pytest.approx(value, rel=1e-5, abs=1e-8), name


def test_the_first_look_ends_in_a_report_and_a_change_reruns_it(project):
    (look,) = [b for b in BLOCKS if b.language == "sh" and "first_look" in b.text]
    command = look.text.rstrip() + " --cores 1"
    as_typed(project, command)
    results = project.folder / "first_look" / NAME
    assert json.loads((results / "summary.json").read_text())["n_runs"] == 6
    assert (results / "report.html").stat().st_size > 10_000
    for width in ("column", "page"):  # all of them, as nothing was said of figures
        for suffix in ("svg", "pdf", "png"):
            assert len(list((results / "figures" / width).glob(f"*.{suffix}"))) == len(FIGURES)
    metrics = pd.read_parquet(results / "runs/seed-3/metrics.parquet")
    assert list(metrics.columns) == ["step", *METRIC_COLUMNS]
    assert len(metrics) == 21
    source = project.folder / TASK_FILE
    try:
        source.write_text(FILES[TASK_FILE] + "\n# a comment changes nothing\n")
        assert "Nothing to be done" in as_typed(project, f"{command} --dry-run")
        source.write_text(FILES[TASK_FILE] + "\n_changed = 1\n")
        assert re.search(rf"^train_{NAME}_0 +1$", as_typed(project, f"{command} --dry-run"), re.M)
    finally:
        source.write_text(FILES[TASK_FILE])
