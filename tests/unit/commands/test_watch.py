"""`training-maps watch`: by the command line, until the runs end, and interrupted."""

import numpy as np
import pytest

from tests.support.placed_runs import metrics_of, write_calibrated
from training_maps import cli
from training_maps.utils.files import read_json

pytestmark = pytest.mark.usefixtures("restore_logging")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_calibrated(tmp_path_factory.mktemp("maps") / "small")


def test_it_follows_a_run_to_its_end(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    metrics_of(150, np.random.default_rng(7)).to_csv("new.csv", index=False)
    assert cli.main(["watch", "--map", str(folder), "--run", "new.csv"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("new: step 0 ")
    assert told[-1] == "all runs are at the map's last step"
    assert read_json(tmp_path / "watched" / "small" / "placed.json")[0]["run"] == "new"


def test_it_ends_where_nothing_comes(folder, tmp_path, capsys):
    options = ["--every", "0.01", "--patience", "0.0005", "--output", str(tmp_path / "out")]
    assert cli.main(["watch", "--map", str(folder), "--run", str(tmp_path / "x"), *options]) == 0
    assert "does not exist" in capsys.readouterr().out


def test_times_must_be_positive(folder, capsys):
    assert cli.main(["watch", "--map", str(folder), "--run", "x", "--every", "0"]) == 1
    assert "expected more than 0" in capsys.readouterr().err
