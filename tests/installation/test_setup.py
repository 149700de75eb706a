"""Set-up decides how packages are installed, here by programs that only note what is asked."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tools.pip_settings import variables

ROOT = Path(__file__).parents[2]
TOOLS = (
    "bash", "cat", "cut", "env", "grep", "head", "mktemp", "rm", "sed", "sh", "sleep", "sort",
    "tee", "timeout",
)  # fmt: skip

# The environment's Python. Its torch is in the file `torch`; its pip fails if there is `no-pip`.
PYTHON = """
asked="$*"
case "$asked" in
*"-check install"*) echo "pip ${asked##*-check }" >>asked; ! [ -e no-pip ] ;;
*importlib.metadata*) cat torch ;;
esac
"""
# A uv to which the source of the CPU builds answers after the seconds in the file `source`. It
# fails if there is a file `no-uv`.
UV = """
case "$*" in
--version) echo "uv $(cat uv) (a stand-in)"; exit ;;
*--dry-run*) sleep "$(cat source)"; exit ;;
esac
echo "uv $*" >>asked
printf 'Resolved 3 packages\\nDownloading torch\\nInstalled 3 packages\\n + torch==2\\n' >&2
if [ -e no-uv ]; then echo "the network is away" >&2; exit 2; fi
"""


class Place:
    """A project of which only the set-up is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tools").mkdir()
        for name in ("setup.sh", "pip_settings.py"):
            shutil.copy(ROOT / "tools" / name, folder / "tools")
        self.program("tools/system-packages.sh", "")
        for name in TOOLS:
            self.link(name)
        self.program("path/uname", "echo Linux")
        self.program("environment/bin/python", PYTHON)
        self.program("environment/bin/uv", UV)
        self.write(
            {
                "requirements.lock": "numpy==2\ntorch==2.15.0\n",
                "requirements-slurm.lock": "plugin==1\n",
            }
        )
        self.write({"requirements-uv.lock": "uv==1.2.3\n", "uv": "1.2.3", "source": "0"})

    def link(self, name: str) -> None:
        (self.folder / "path").mkdir(exist_ok=True)
        (self.folder / "path" / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")

    def program(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/usr/bin/env bash\n{text}")
        file.chmod(0o755)

    def write(self, texts: dict[str, str]) -> None:
        for name, text in texts.items():
            (self.folder / name).write_text(text)

    def set_up(self, step: str = "packages", **variables: str) -> tuple[str, list[str]]:
        """Set it up; what was said, and what was installed."""
        done = subprocess.run(
            ["bash", "tools/setup.sh", step], cwd=self.folder, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={"PATH": str(self.folder / "path"), "VIRTUAL_ENV": "environment", **variables},
        )  # fmt: skip
        self.ended = done.returncode
        asked = self.folder / "asked"
        return done.stdout, asked.read_text().splitlines() if asked.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_without_a_gpu_torch_comes_without_cuda(place):
    said, asked = place.set_up()
    assert place.ended == 0
    assert len(asked) == 1
    assert asked[0].startswith("uv pip install --python environment/bin/python ")
    assert asked[0].endswith("-r requirements.lock --torch-backend cpu")
    assert "2 pinned packages: torch without CUDA, 0.7 GB" in said


def test_a_log_has_a_line_for_what_is_resolved_and_installed_and_none_for_each_package(place):
    said, _ = place.set_up()
    assert "Set-up:   Resolved 3 packages\nSet-up:   Installed 3 packages\n" in said
    assert "Downloading" not in said
    assert "torch==2" not in said


@pytest.mark.parametrize("source", ["nowhere", "60"])  # refuses at once, or hangs
def test_where_the_source_does_not_answer_pypi_s_build_is_taken(place, source):
    script = place.folder / "tools" / "setup.sh"
    script.write_text(script.read_text().replace("patience=5", "patience=0.3"))
    place.write({"source": source})
    said, asked = place.set_up()
    assert place.ended == 0
    assert len(asked) == 1
    assert "--torch-backend" not in asked[0]
    assert "5.2 GB" in said
    assert "did not answer within 0.3 s" in said


def test_with_a_gpu_pypi_s_build_is_taken(place):
    place.program("path/nvidia-smi", "echo 'GPU 0: a stand-in'")
    said, asked = place.set_up()
    assert "--torch-backend" not in asked[0]
    assert "there is an NVIDIA GPU" in said


def test_a_driver_without_a_gpu_is_none(place):
    place.program("path/nvidia-smi", "echo 'No devices found'; exit 6")
    assert place.set_up()[1][0].endswith("--torch-backend cpu")


def test_the_login_node_of_a_cluster_says_nothing_of_its_nodes_gpus(place):
    place.program("path/sbatch", "")
    said, asked = place.set_up()
    assert "--torch-backend" not in asked[0]
    assert "SLURM is here" in said


@pytest.mark.parametrize(
    ("here", "variable", "options"),
    [
        ("2.15.0", "auto", ""),
        ("2.15.0+cpu", "auto", ""),
        ("2.15.0+cpu", "cpu", ""),
        ("2.14.0", "auto", " --torch-backend cpu"),
        ("2.15.0", "cpu", " --reinstall-package torch --torch-backend cpu"),
        ("2.15.0+cpu", "cuda", " --reinstall-package torch"),
    ],
)
def test_a_torch_of_the_pinned_version_stays_unless_another_build_is_asked_for(
    place, here, variable, options
):
    place.write({"torch": here})
    said, asked = place.set_up(TORCH=variable)
    assert asked[0].partition("-r requirements.lock")[2] == options
    assert (f"torch {here} is here and stays" in said) == (options == "")


def test_a_torch_that_is_there_stays_if_the_build_that_is_asked_for_cannot_be_had(place):
    place.write({"torch": "2.15.0", "source": "nowhere"})
    said, asked = place.set_up(TORCH="cpu")
    assert asked[0].endswith("-r requirements.lock")
    assert "did not answer within 5 s" in said
    assert "5.2 GB" not in said


def test_if_torch_without_cuda_cannot_be_installed_pypi_s_is_and_the_reason_is_shown(place):
    fails_once = 'case "$*" in *torch-backend*) echo "no such build" >&2; exit 1 ;; esac\n'
    place.program("environment/bin/uv", UV.replace("printf", f"{fails_once}printf"))
    said, asked = place.set_up()
    assert place.ended == 0
    assert [line.endswith("--torch-backend cpu") for line in asked] == [True, False]
    assert said.index("no such build") < said.index("could not be had") < said.index("5.2 GB")


def test_uv_is_brought_where_it_is_not_or_is_another(place):
    place.write({"uv": "1.2.2"})
    _, asked = place.set_up()
    assert asked[0] == "pip install --quiet -r requirements-uv.lock"


def test_where_uv_cannot_be_had_pip_is_asked_for_it_once_and_does_the_rest(place):
    place.write({"uv": "1.2.2"})
    python = place.folder / "environment/bin/python"
    python.write_text(python.read_text().replace("! [ -e no-pip ]", "[[ $asked != *-uv.lock ]]"))
    said, asked = place.set_up()
    assert place.ended == 0
    assert asked == [
        "pip install --quiet -r requirements-uv.lock",
        "pip install --progress-bar off --quiet -r requirements.lock",
    ]
    assert "only uv knows" in said


def test_pip_takes_over_from_a_uv_that_fails_whose_reason_is_shown(place):
    place.write({"no-uv": ""})
    said, asked = place.set_up(TORCH="cuda")
    assert place.ended == 0
    assert asked[-1] == "pip install --progress-bar off --quiet -r requirements.lock"
    assert said.index("the network is away") < said.index("pip does")


def test_what_cannot_be_installed_at_all_ends_the_set_up(place):
    place.write({"no-uv": "", "no-pip": ""})
    place.set_up(TORCH="cuda")
    assert place.ended != 0


def test_what_a_cluster_needs_is_installed_by_uv_too(place):
    _, asked = place.set_up("slurm")
    assert asked[0].endswith("-r requirements-slurm.lock")


def test_a_build_of_torch_that_is_none_is_refused(place):
    said, asked = place.set_up(TORCH="rocm")
    assert place.ended == 2
    assert asked == []
    assert "TORCH=rocm" in said


def test_pip_s_settings_are_handed_to_uv(tmp_path):
    listed = (
        f":env:.find-links='{tmp_path} {tmp_path}/none'\n:env:.index-url='https://one'\n"
        "global.cert='/a.pem'\nglobal.index-url='https://two'\n"
        "install.extra-index-url='\\nhttps://three\\nhttps://four'\nglobal.timeout='60'\n"
        "freeze.timeout='10'\nglobal.no-compile='true'\n"
    )
    assert variables(listed, {"UV_HTTP_TIMEOUT": "9"}) == {
        "UV_FIND_LINKS": str(tmp_path), "UV_DEFAULT_INDEX": "https://one",
        "SSL_CERT_FILE": "/a.pem", "UV_INDEX": "https://three https://four",
    }  # fmt: skip


def rust(tmp_path: Path, **programs: str) -> str:
    """What is said where these programs are all that there are."""
    place = Place(tmp_path)
    shutil.copy(ROOT / "tools" / "system-packages.sh", tmp_path / "tools")
    (tmp_path / "rust_metrics").mkdir()
    place.write({"rust_metrics/Cargo.toml": 'rust-version = "1.88"\n'})
    programs = {"id": "echo 1000", "sudo": "", **programs}
    for name, text in programs.items():
        place.program(f"path/{name.replace('_', '-')}", text)
    done = subprocess.run(
        ["bash", "tools/system-packages.sh", "rust"], cwd=tmp_path, capture_output=True, text=True,
        env={"PATH": str(tmp_path / "path")}, check=False,
    )  # fmt: skip
    assert done.returncode == bool(done.stderr)
    return done.stderr


def offers(**versions: str) -> str:
    """An apt-cache that has packages of these versions."""
    lines = [
        f"{name.replace('_', '-')}) echo '  Candidate: {version}' ;;\n"
        for name, version in versions.items()
    ]
    return f'case "$2" in\n{"".join(lines)}esac\n'


DEBIAN_12 = offers(rustup="(none)", cargo="0.66.0+ds1-1", cargo_web="1.96.0+dfsg1-1~deb12u2")


def test_a_rust_that_is_new_enough_is_not_spoken_of(tmp_path):
    assert rust(tmp_path, cargo="echo 'cargo 1.100.0 (abc)'") == ""


@pytest.mark.parametrize(
    ("offered", "advice"),
    [
        (offers(rustup="1.27.1"), "type  sudo apt-get install -y rustup && rustup default stable"),
        (offers(rustup="(none)", cargo="1.90.0"), "type  sudo apt-get install -y cargo"),
        (DEBIAN_12, "type  sudo apt-get install -y cargo-web"),
        (offers(cargo="0.66.0"), "install it as https://rustup.rs says"),
        ("exit 1", "install it as https://rustup.rs says"),
    ],
)
def test_where_rust_is_missing_one_sentence_says_what_to_type(tmp_path, offered, advice):
    told = rust(tmp_path, apt_cache=offered)
    assert told == f"Rust (cargo, 1.88 or later) is missing: {advice}, then run make again.\n"


def test_where_rust_is_too_old_one_sentence_says_what_to_type(tmp_path):
    told = rust(tmp_path, cargo="echo 'cargo 1.63.0'", apt_cache=DEBIAN_12, id="echo 0")
    assert told.startswith("Rust 1.63.0 is too old, 1.88 or later is needed: type  apt-get")
    assert told.count("\n") == 1


def test_the_documentation_says_why_uv_is_there_and_what_is_pinned():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    lock = (ROOT / "requirements-uv.lock").read_text()
    assert re.fullmatch(r"uv==\d+\.\d+\.\d+\n", lock)
    assert re.search(r"^\| uv \| MIT or Apache-2.0 \|", page, re.MULTILINE)
    assert "requirements-uv.lock" in page


@pytest.mark.parametrize(("home", "given", "used"), [
    ("/proc/none", None, "/environment/.cache"),
    ("/proc/none", "{tmp}/mine", "{tmp}/mine"),
    ("{tmp}", None, ""),
])  # fmt: skip
def test_where_the_home_cannot_be_written_caches_have_another_place(tmp_path, home, given, used):
    environment = {"PATH": os.environ["PATH"], "VIRTUAL_ENV": "/environment"}
    environment["HOME"] = home.format(tmp=tmp_path)
    if given is not None:
        environment["XDG_CACHE_HOME"] = given.format(tmp=tmp_path)
    show = 'show: ; @echo "$$XDG_CACHE_HOME"; echo "$$HOME"'
    told = subprocess.run(
        ["make", "-s", f"--eval={show}", "show"], cwd=ROOT, env=environment, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    caches, found = told.stdout.split("\n")[:2]
    assert (caches, found) == (used.format(tmp=tmp_path), environment["HOME"])


@pytest.mark.parametrize(
    ("entry", "used"), [("exit 2", "{tmp}/.home"), ("echo a:b:c:d:e:/h", "/h")]
)
@pytest.mark.parametrize("home", [{}, {"HOME": ""}])
def test_where_no_home_is_set_it_is_the_user_s_or_one_is_made(tmp_path, home, entry, used):
    getent = tmp_path / "getent"
    getent.write_text(f"#!/bin/sh\n{entry}\n")
    getent.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = {"PATH": path, "VIRTUAL_ENV": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    environment |= home
    show = 'show: ; @echo "$$HOME"'
    told = subprocess.run(
        ["make", "-s", f"--eval={show}", "show"], cwd=ROOT, env=environment, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == used.format(tmp=tmp_path)
