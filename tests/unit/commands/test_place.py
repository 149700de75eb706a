"""`training-maps calibrate` and `place`: files, lines, and a map that stays as it is."""

import numpy as np
import pandas as pd
import pytest

from tests.support.placed_runs import log_of, metrics_of, write_calibrated, write_map
from training_maps import cli
from training_maps.placing.reference import FILE, Reference
from training_maps.result_tables import PLACED_COLUMNS
from training_maps.utils.files import read_json

pytestmark = pytest.mark.usefixtures("restore_logging")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_calibrated(tmp_path_factory.mktemp("maps") / "small")


@pytest.fixture
def run(tmp_path):
    table = metrics_of(150, np.random.default_rng([9, 7]))
    table["acc"] = log_of(150)["eval_accuracy"]
    table.to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_run_is_placed_and_the_map_stays(folder, run, tmp_path, capsys):
    before = contents(folder)
    output = tmp_path / "out"
    options = ["--columns", "eval_accuracy=acc", "--output", str(output)]
    assert cli.main(["place", "--map", str(folder), str(run), *options]) == 0
    assert capsys.readouterr().out.startswith("new: step 290 (100% of the map's), state 2")
    assert contents(folder) == before
    table = pd.read_csv(output / "placed.csv")
    assert list(table.columns) == list(PLACED_COLUMNS)
    assert table["converged"].any()
    (told,) = read_json(output / "placed.json")
    assert told["map"] == "small"
    assert "<h2>new</h2>" in (output / "placed.html").read_text()


def test_by_default_it_is_written_beside_where_one_works(folder, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["place", "--map", str(folder), str(run), str(run)]) == 0
    assert len(read_json(tmp_path / "placed" / "small" / "placed.json")) == 2


def test_the_one_file_is_enough(folder, run, tmp_path):
    alone = tmp_path / "elsewhere" / "my.npz"
    alone.parent.mkdir()
    alone.write_bytes((folder / FILE).read_bytes())
    output = alone.parent / "out"  # beside it: it is no map's folder
    assert cli.main(["place", "--map", str(alone), str(run), "--output", str(output)]) == 0
    assert (output / "placed.csv").exists()


def test_nothing_is_written_into_the_map(folder, run, capsys):
    for inside in (folder, folder / "placed"):
        assert cli.main(["place", "--map", str(folder), str(run), "--output", str(inside)]) == 1
        assert "stays as it is" in capsys.readouterr().err


def test_a_map_made_before_says_what_to_do_and_then_places(run, tmp_path, capsys):
    folder = write_map(tmp_path / "old")
    assert cli.main(["place", "--map", str(folder), str(run)]) == 1
    told = capsys.readouterr().err
    assert f"training-maps calibrate --map {folder}" in told
    assert cli.main(["calibrate", "--map", str(folder)]) == 0
    output = tmp_path / "out"
    assert cli.main(["place", "--map", str(folder), str(run), "--output", str(output)]) == 0
    # The map is drawn once, so that a page takes no drawing library later.
    assert "<svg" in Reference.load(folder).training_map["svg"]
    assert 'data-state="0"' in (output / "placed.html").read_text()


def test_a_wrong_name_of_a_column(folder, run, capsys):
    assert cli.main(["place", "--map", str(folder), str(run), "--columns", "acc"]) == 1
    assert "expected NAME=COLUMN" in capsys.readouterr().err


def test_placing_draws_on_no_library_that_trains_or_draws(folder, run, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from training_maps.cli import main; "
        f"main(['place', '--map', {str(folder)!r}, {str(run)!r}, '--output', {str(tmp_path)!r}]); "
        "print(sorted({'torch', 'matplotlib', 'snakemake', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
