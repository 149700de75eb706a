"""The config: defaults, who overrides whom, and one clear message for every mistake."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.project import ROOT
from training_maps.config.resolve import prepare, resolve
from training_maps.config.schema import fill_defaults, load_schema
from training_maps.utils.errors import InputError

SCHEMA = load_schema()


@pytest.fixture
def experiments(tmp_path):
    """A folder of experiments with one, called tiny."""
    (tmp_path / "tiny.yaml").write_text(
        "training: {task: sparse_parities, learning_rate: 0.2, length: 50,\n"
        "  checkpoint_every: 5}\nhmm: {restarts: 2}\n"
    )
    return tmp_path


def resolve_tiny(experiments, **config):
    return resolve({"experiments": ["tiny"], **config}, experiments, SCHEMA).experiments["tiny"]


def test_config_yaml_shows_every_key_with_its_default():
    text = (ROOT / "config.yaml").read_text()
    # A commented line that sets a key, at the top level or indented below a section.
    shown = re.sub(r"^# (?=(?:  )*[a-z_]+:(?: |$))", "", text, flags=re.M)
    config = yaml.safe_load(shown)
    keys = {"experiments", "results", "data_dir"}
    assert config.pop("experiments") == ["sparse_parities"]
    assert config.pop("results") == "results"
    assert config.pop("data_dir") is None
    defaults = fill_defaults({}, SCHEMA["$defs"]["experiment"])
    for own in ("description", "extends", "compare_with", "beside"):
        del defaults[own]  # an experiment's own, not for all of a run
    assert config == defaults
    assert keys | set(config) == set(SCHEMA["properties"])


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_experiment_is_valid(path):
    experiments = resolve({"experiments": [path.stem]}, path.parent, SCHEMA).experiments
    assert all(settings["description"] for settings in experiments.values())


def test_paper_is_the_six_settings_of_the_paper():
    assert list(resolve({"experiments": "paper"}, ROOT / "experiments", SCHEMA).experiments) == [
        "modular_addition",
        "modular_addition_stabilized",
        "cifar100",
        "cifar100_destabilized",
        "sparse_parities",
        "mnist",
    ]


def test_a_group_stands_for_its_experiments_once(experiments):
    (experiments / "other.yaml").write_text("extends: tiny\n")
    (experiments / "both.yaml").write_text("experiments: [tiny, other]\n")
    for names in ("both", ["both"], ["both", "tiny"]):
        assert list(resolve({"experiments": names}, experiments, SCHEMA).experiments) == [
            "tiny",
            "other",
        ]


def test_an_experiment_extends_another(experiments):
    (experiments / "longer.yaml").write_text("extends: tiny\ntraining: {length: 70}\n")
    (experiments / "longest.yaml").write_text("extends: longer\nhmm: {restarts: 3}\n")
    found = resolve({"experiments": ["longest"]}, experiments, SCHEMA).experiments["longest"]
    assert found["training"]["length"] == 70
    assert found["training"]["learning_rate"] == 0.2
    assert found["hmm"]["restarts"] == 3
    assert "extends" not in found


def test_an_experiment_cannot_extend_itself(experiments):
    (experiments / "a.yaml").write_text("extends: b\n")
    (experiments / "b.yaml").write_text("extends: a\n")
    with pytest.raises(InputError, match=r"a.yaml: extends itself \(a -> b -> a\)"):
        resolve({"experiments": ["a"]}, experiments, SCHEMA)


def test_sparse_parities_has_the_papers_settings():
    settings = resolve({"experiments": ["sparse_parities"]}, ROOT / "experiments", SCHEMA)
    settings = settings.experiments["sparse_parities"]
    assert settings["seeds"] == list(range(40))
    training = settings["training"]
    assert (training["optimizer"], training["learning_rate"]) == ("sgd", 0.1)
    assert (training["weight_decay"], training["batch_size"]) == (0.01, 32)
    assert (training["length"], training["checkpoint_every"], training["unit"]) == (
        1000,
        10,
        "epoch",
    )
    assert training["task_settings"] == {
        "n_bits": 40, "n_relevant_bits": 3, "n_train": 1000, "n_eval": 100, "hidden_size": 128,
        "initialisation": "torch",
    }  # fmt: skip
    assert settings["hmm"]["n_states"] == list(range(1, 9))


def test_config_overrides_experiment_overrides_defaults(experiments):
    settings = resolve_tiny(experiments, hmm={"restarts": 7}, seeds="0-4")
    assert settings["hmm"]["restarts"] == 7
    assert settings["training"]["learning_rate"] == 0.2
    assert settings["training"]["batch_size"] == 32
    assert settings["seeds"] == [0, 1, 2, 3, 4]
    assert settings["training"]["task_settings"]["hidden_size"] == 128


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"experimets": []}, "config: unknown key experimets (did you mean experiments?)"),
        ({"hmm": {"restart": 3}}, "config: unknown key hmm.restart (did you mean restarts?)"),
        ({"training": {"lenght": 3}}, "unknown key training.lenght (did you mean length?)"),
        ({"hmm": {"restarts": "five"}}, "config: hmm.restarts: expected integer at least 1, got"),
        ({"hmm": {"restarts": 0}}, "config: hmm.restarts: expected integer at least 1, got 0"),
        ({"hmm": {"covariance": "ful"}}, "expected one of full, diag, tied, spherical, got 'ful'"),
        ({"semantics": {"threshold": 1.0}}, "expected number at least 0 less than 1, got 1.0"),
        ({"seeds": "0-"}, "experiment tiny: seeds: '0-' is neither a whole number from 0 on nor"),
        ({"seeds": "3,3"}, "3 is given more than once"),
        ({"hmm": {"n_states": "0-3"}}, "hmm.n_states: expected numbers of at least 1"),
        ({"experiments": ["tinny"]}, "(did you mean tiny?); the experiments are tiny"),
        ({"experiments": []}, "experiments: expected array or string of length at least 1"),
        ({"experiments": ["../secret"]}, "'../secret' is neither the name of a file in"),
        ({"training": {"task": "sparse_parity"}}, "(did you mean sparse_parities?)"),
        (
            {"training": {"task_settings": {"hiden_size": 3}}},
            "training.task_settings: unknown key hiden_size (did you mean hidden_size?)",
        ),
        (
            {"training": {"task_settings": {"hidden_size": 0}}},
            "hidden_size: expected integer at least 1, got 0",
        ),
        ({"training": {"task_settings": {"n_bits": 2}}}, "n_relevant_bits (3) is more than n_bits"),
    ],
)
def test_mistakes_are_named(experiments, config, message):
    with pytest.raises(InputError, match=re.escape(message)):
        resolve({"experiments": ["tiny"], **config}, experiments, SCHEMA)


def test_all_mistakes_are_told_at_once(experiments):
    with pytest.raises(InputError) as error:
        resolve_tiny(experiments, hmm={"restarts": 0, "tolerance": -1})
    assert len(str(error.value).splitlines()) == 2


def test_mistakes_in_an_experiment_name_its_file(experiments):
    (experiments / "bad.yaml").write_text("hmm: {restarts: no}")
    with pytest.raises(InputError, match=r"bad\.yaml: hmm\.restarts: expected integer"):
        resolve({"experiments": ["bad"]}, experiments, SCHEMA)
    (experiments / "bad.yaml").write_text("hmm: [")
    with pytest.raises(InputError, match=r"bad\.yaml: is not valid YAML"):
        resolve({"experiments": ["bad"]}, experiments, SCHEMA)
    (experiments / "bad.yaml").write_text("just words")
    with pytest.raises(InputError, match=r"bad\.yaml: the whole: expected object"):
        resolve({"experiments": ["bad"]}, experiments, SCHEMA)


def test_numbers_from_the_command_line_may_be_text(experiments):
    settings = resolve_tiny(
        experiments,
        hmm={"restarts": "3", "tolerance": "1e-4", "n_states": "1-3"},
        training={"keep_checkpoints": "False", "task_settings": {"hidden_size": "8"}},
    )
    assert settings["hmm"]["restarts"] == 3
    assert settings["hmm"]["tolerance"] == 1e-4
    assert settings["training"]["keep_checkpoints"] is False
    assert settings["training"]["task_settings"]["hidden_size"] == 8


@pytest.fixture
def own(experiments):
    """Writes an experiment's file of one's own, outside the folder of experiments; its path."""

    def write(text, name="mine.yaml"):
        path = experiments / "elsewhere" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def resolve_file(experiments, path, **config):
    found = resolve({"experiments": [path], **config}, experiments, SCHEMA).experiments
    (settings,) = found.values()
    return settings


CHECKPOINTS = "source: checkpoints\ncheckpoints: {path: 'runs/{seed}/{step}.pt'}\n"


def test_an_experiment_may_be_a_file_of_ones_own(experiments, own):
    path = own("extends: tiny\nhmm: {restarts: 4}\n")
    config = resolve({"experiments": ["tiny", path]}, experiments, SCHEMA)
    assert list(config.experiments) == ["tiny", "mine"]
    assert config.called == {"tiny": "tiny", "mine": path}
    assert config.experiments["mine"]["hmm"]["restarts"] == 4
    assert config.experiments["mine"]["training"]["learning_rate"] == 0.2
    # Paths inside a file start from where it is.
    other = own("extends: mine.yaml\n", "other.yml")
    assert resolve_file(experiments, other)["hmm"]["restarts"] == 4
    both = own("experiments: [other.yml, tiny, mine.yaml]\n", "both.yaml")
    assert list(resolve({"experiments": both}, experiments, SCHEMA).experiments) == [
        "other",
        "tiny",
        "mine",
    ]


def test_a_file_is_found_from_the_working_directory(experiments, own, monkeypatch):
    own("extends: tiny\n")
    monkeypatch.chdir(experiments)
    assert resolve_file(experiments, "elsewhere/mine.yaml")["training"]["length"] == 50


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.yaml", "missing.yaml; a relative path starts from the folder that"),
        ("a b.yaml", "an experiment is called what its file is; expected letters, digits"),
        ("tiny.yaml", "are both called tiny; rename one"),
        ("a" * 201 + ".yaml", "has 201 characters, and files are named after it; expected at most"),
    ],
)
def test_files_that_cannot_be_experiments_are_named(experiments, own, name, message):
    path = own("extends: tiny\n", name)
    if name == "missing.yaml":
        Path(path).unlink()
    with pytest.raises(InputError, match=re.escape(message)):
        resolve({"experiments": ["tiny", path]}, experiments, SCHEMA)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"experiments": ["~nobody-of-this-name/mine.yaml"]}, "no home folder is known"),
        ({"results": "a" * 256}, "cannot be looked at (File name too long)"),
        ({"results": "/".join(["a" * 200] * 25)}, "cannot be looked at (File name too long)"),
    ],
)
def test_paths_that_cannot_be_are_told(experiments, config, message):
    with pytest.raises(InputError, match=re.escape(message)):
        prepare({"experiments": ["tiny"], **config}, experiments, SCHEMA)


def test_a_group_of_a_missing_name_says_what_there_is(experiments, own):
    path = own("extends: tinny\n")
    with pytest.raises(InputError, match=r"did you mean tiny.*named by its path"):
        resolve_file(experiments, path)


def test_runs_are_trained_here_by_default(experiments):
    settings = resolve_tiny(experiments)
    assert settings["source"] == "training"
    assert not {"checkpoints", "hub", "tables", "state_paths", "training_log"} & set(settings)


def test_settings_are_those_that_a_source_takes(experiments, own):
    settings = resolve_file(experiments, own(CHECKPOINTS))
    assert settings["checkpoints"]["path"] == "runs/{seed}/{step}.pt"
    assert settings["training"] == {"unit": "epoch"}
    assert settings["seeds"] == "all"
    assert not {"hub", "tables", "state_paths"} & set(settings)
    assert settings["hmm"]["n_states"] == list(range(1, 9))
    settings = resolve_file(
        experiments, own(CHECKPOINTS + "seeds: 3-5\ntraining: {unit: step}\n"), hmm={"restarts": 2}
    )
    assert settings["seeds"] == [3, 4, 5]
    assert settings["training"] == {"unit": "step"}

    settings = resolve_file(experiments, own("source: state_paths\nstate_paths: {path: a.csv}\n"))
    assert not {"hmm", "observations", "metrics", "checkpoints", "training_map"} & set(settings)
    assert settings["semantics"]["threshold"] is None


def test_what_is_extended_may_be_of_another_source(experiments, own):
    settings = resolve_file(experiments, own("extends: tiny\n" + CHECKPOINTS))
    assert settings["training"] == {"unit": "epoch"}
    assert settings["hmm"]["restarts"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "checkpoints: {path: 'x{seed}/{step}'}\n",
            "checkpoints and source: training contradict each other; say source: checkpoints, or "
            "leave checkpoints out",
        ),
        (
            CHECKPOINTS + "training: {task: mnist, unit: step}\n",
            "training.task and source: checkpoints contradict each other: nothing is trained",
        ),
        (
            CHECKPOINTS + "state_paths: {path: a.csv}\n",
            "state_paths and source: checkpoints contradict each other; say source: state_paths",
        ),
        (
            "source: state_paths\nstate_paths: {path: a.csv}\nhmm: {restarts: 3}\n",
            "hmm and source: state_paths contradict each other: no model is fitted",
        ),
        ("training_log: {path: a.csv}\n", "training writes its own log"),
        ("source: checkpoints\n", "source: checkpoints needs checkpoints.path, such as runs/seed{"),
        ("source: state_paths\n", "source: state_paths needs state_paths.path"),
        (
            "source: checkpoints\ncheckpoints: {path: 'runs/{step}.pt'}\n",
            "checkpoints.path: runs/{step}.pt: has no {seed}",
        ),
        ("source: checkpoint\n", "source: expected one of training, checkpoints, hub, metrics"),
        ("seeds: all\n", "experiment mine: seeds: 'all' is neither a whole number"),
    ],
)
def test_settings_that_contradict_the_source_are_named(experiments, own, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        resolve_file(experiments, own(text))


def test_settings_for_all_are_for_those_that_take_them(experiments, own):
    path = own(CHECKPOINTS)
    config = {"experiments": ["tiny", path], "training": {"length": 60}}
    found = resolve(config, experiments, SCHEMA).experiments
    assert found["tiny"]["training"]["length"] == 60
    assert "length" not in found["mine"]["training"]
    with pytest.raises(InputError, match=r"config: training\.length and source: checkpoints"):
        resolve({"experiments": [path], "training": {"length": 60}}, experiments, SCHEMA)


def test_metrics_that_do_not_exist_are_refused_before_training(experiments, own):
    text = "extends: tiny\ntraining: {metrics_during_training: true}\n"
    assert resolve_file(experiments, own(text))["metrics"]["columns"] == []
    chosen = resolve_file(experiments, own(text + "metrics: {columns: [paper]}\n"))
    assert chosen["metrics"]["columns"] == ["paper"]
    with pytest.raises(InputError, match=r"mine: metrics\.columns: .*did you mean lambda_max"):
        resolve_file(experiments, own(text + "metrics: {columns: [lamda_max]}\n"))


def test_metrics_of_the_loss_need_runs_that_are_trained_here(experiments, own):
    schema = load_schema()
    columns = {"columns": ["paper", "hessian_max"]}
    asked = {"experiments": ["sparse_parities"], "metrics": columns}
    for during in (True, False):  # of kept checkpoints as in training itself
        training = {"metrics_during_training": during}
        config = resolve({**asked, "training": training}, ROOT / "experiments", schema)
        assert config.experiments["sparse_parities"]["metrics"]["columns"] == columns["columns"]
    elsewhere = "source: checkpoints\ncheckpoints: {path: 'runs/{seed}/{step}.safetensors'}\n"
    with pytest.raises(InputError, match=r"hessian_max takes .* runs that are trained here"):
        resolve_file(experiments, own(elsewhere + "metrics: {columns: [hessian_max]}\n"))
    asked["experiments"] = ["reference_sparse_parities"]
    with pytest.raises(InputError):
        resolve(asked, ROOT / "experiments", schema)
