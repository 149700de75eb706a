"""Nothing that somebody downloads can run code, or write outside of where it belongs."""

import ast
from pathlib import Path

import numpy as np
import pytest

import training_maps
from tests.support.project import ROOT
from training_maps.hub.download import choose_files
from training_maps.hub.plan import hub_run
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_table

PACKAGE = Path(training_maps.__file__).parent
SOURCES = [*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]

# Calls that make objects of what a file says, run text, or go through a shell.
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads",
    "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open", "dill.load", "joblib.load",
    "pd.read_pickle", "pandas.read_pickle", "pd.eval", "pd.read_hdf", "yaml.unsafe_load",
    "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all", "tempfile.mktemp", "torch.jit.load",
    "torch.hub.load", "np.fromregex", "runpy.run_path", "commands.getoutput",
    "subprocess.getoutput", "subprocess.getstatusoutput",
}  # fmt: skip
# What these calls must say, and must not.
REQUIRED = {
    "torch.load": {"weights_only": True},
    "np.load": {"allow_pickle": False},
    "numpy.load": {"allow_pickle": False},
    "Environment": {"autoescape": True},
    "jinja2.Environment": {"autoescape": True},
}
YAML_LOADERS = ("_Loader",)  # of strict_yaml, a safe one


def name_of(function):
    """`a.b` of a call's function; "" of anything else."""
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name | ast.Attribute):
        return f"{name_of(function.value)}.{function.attr}"
    return ""


def faults(source):
    """What of a module's calls is not allowed, with its line."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        said = {word.arg: getattr(word.value, "value", word.value) for word in node.keywords}
        if name in FORBIDDEN:
            yield f"line {node.lineno}: {name}"
        if said.get("shell"):
            yield f"line {node.lineno}: {name} with shell"
        for key, value in REQUIRED.get(name, {}).items():
            if said.get(key) is not value:
                yield f"line {node.lineno}: {name} without {key}={value}"
        if name in ("yaml.load", "yaml.compose", "yaml.parse"):
            loader = said.get("Loader")
            if not isinstance(loader, ast.Name) or loader.id not in YAML_LOADERS:
                yield f"line {node.lineno}: {name} without a safe loader"


# What users type is theirs to run. What files say reaches it in environment variables alone.
ALLOWED = {
    "python/training_maps/placing/watching.py": ["subprocess.run with shell"],  # --on-warning
}


@pytest.mark.parametrize("path", [path.relative_to(ROOT).as_posix() for path in SOURCES])
def test_no_call_runs_what_a_file_says(path):
    found = [fault.partition(": ")[2] for fault in faults((ROOT / path).read_text())]
    assert found == ALLOWED.get(path, [])


@pytest.mark.parametrize(
    "call",
    [
        "eval(text)", "os.system(f'rm {x}')", "subprocess.run(x, shell=True)", "torch.load(path)",
        "torch.load(path, weights_only=False)", "np.load(path)", "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)", "yaml.load(text)", "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text, yaml.UnsafeLoader)", "jinja2.Environment()", "tempfile.mktemp()",
        "jinja2.Environment(autoescape=False)", "pickle.loads(data)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(call):
    assert len(list(faults(call))) == 1


def test_the_yaml_loader_is_a_safe_one():
    import yaml

    from training_maps.config import strict_yaml

    assert strict_yaml._Loader in (yaml.SafeLoader, yaml.CSafeLoader)


def test_templates_escape_everything():
    """What is not to be escaped is drawn by the package and marked where that is done."""
    for path in PACKAGE.rglob("*.j2"):
        text = path.read_text()
        assert "safe" not in [word.strip(" %}-") for word in text.replace("|", "| ").split("|")]
        assert "autoescape" not in text


def test_arrays_of_objects_in_a_table_stay_shut(tmp_path):
    from training_maps.training.datasets.images import read_npz

    np.savez(tmp_path / "images.npz", train_images=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"images\.npz"):
        read_npz(str(tmp_path / "images.npz"))


def test_a_table_is_never_a_pickle(tmp_path):
    import pandas as pd

    pd.DataFrame({"step": [1]}).to_pickle(tmp_path / "table.parquet")
    with pytest.raises(InputError, match=r"table\.parquet: cannot be read as a table"):
        read_table(tmp_path / "table.parquet")


@pytest.mark.parametrize(
    "name", ["../../x.safetensors", "/etc/passwd", "a/../../x.safetensors", "..\\x.safetensors"]
)
def test_a_repository_cannot_name_a_file_outside(name):
    with pytest.raises(InputError, match="leads out of the folder for downloads"):
        choose_files({name: None}, ("*",), "seed 0")


@pytest.mark.parametrize("name", ["../../x", "/etc", "a/../../b/c", "org/na me", "org/x;y", "~/x"])
def test_a_repository_is_called_what_the_hub_can_call_one(name):
    """Before anything is asked of the hub or written."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    section = {"repository": name, "steps": 0}
    with pytest.raises((InputError, HFValidationError)):
        validate_repo_id(hub_run(section, [0], 0).locate(0)[0])
