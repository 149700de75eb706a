"""`training-maps convert`: a map's file in another format."""

from __future__ import annotations

import pytest

from tests.support.known_chains import model_of, run_of
from training_maps import cli
from training_maps.training_map.map import TrainingMap

pytestmark = pytest.mark.usefixtures("restore_logging")


class TestCommand:
    @pytest.mark.parametrize("suffix", ["graphml", "dot"])
    def test_converts(self, tmp_path, suffix):
        tmap = TrainingMap.from_model(model_of([run_of(0, 1, 2), run_of(0, 2)]))
        tmap.to_json(tmp_path / "map.json")
        assert cli.main(["convert", str(tmp_path / "map.json"), f"{tmp_path}/out.{suffix}"]) == 0
        tmap_writes = tmap.to_graphml if suffix == "graphml" else tmap.to_dot
        tmap_writes(tmp_path / "expected")
        assert (tmp_path / f"out.{suffix}").read_bytes() == (tmp_path / "expected").read_bytes()

    @pytest.mark.parametrize(
        ("text", "output", "words"),
        [
            ("{}", "out.png", "must end in .graphml or .dot"),
            ("{}", "out.dot", "map.json: this is not a training map"),
            ("[]", "out.graphml", "map.json: this is not a training map"),
            ("{", "out.dot", "map.json: is not valid JSON"),
        ],
    )
    def test_bad_input(self, tmp_path, capsys, text, output, words):
        (tmp_path / "map.json").write_text(text)
        assert cli.main(["convert", str(tmp_path / "map.json"), str(tmp_path / output)]) == 1
        assert words in capsys.readouterr().err
        assert not (tmp_path / output).exists()
