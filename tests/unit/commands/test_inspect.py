"""`training-maps inspect`: the table of tensors, for every form of a checkpoint."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.support.small_models import save, small_model
from training_maps.cli import main

SHAPES = {
    "embed.weight": (30, 8),
    "fc.weight": (12, 8),
    "fc.bias": (12,),
    "heads": (4, 2, 8),
    "norm.weight": (8,),
    "temperature": (),
}


@pytest.fixture
def checkpoint(tmp_path):
    tensors = {name: np.ones(shape, "f4") for name, shape in SHAPES.items()}
    save_file({**tensors, "ids": np.arange(5)}, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def inspected(capsys, *arguments):
    """The exit status, the table's rows by name, the lines below, and the errors."""
    status = main(["inspect", *map(str, arguments)])
    printed = capsys.readouterr()
    _, table, totals = printed.out.split("\n\n")[:3]
    header, *rows = table.splitlines()
    starts = [header.index(word) for word in ("tensor", "type", "shape", "counts", "matr", "why")]
    cells = [
        [row[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for row in rows
    ]
    return status, {name: rest for name, *rest in cells}, totals.splitlines(), printed.err


def test_the_table(checkpoint, capsys):
    status, rows, totals, errors = inspected(capsys, checkpoint)
    assert (status, errors) == (0, "")
    assert rows == {
        "embed.weight": ["F32", "30 x 8", "left out", "", "embedding or unembedding"],
        "fc.bias": ["F32", "12", "bias", "", "named a bias"],
        "fc.weight": ["F32", "12 x 8", "weight", "1 of 12 x 8", "one matrix"],
        "heads": ["F32", "4 x 2 x 8", "weight", "4 of 2 x 8", "one matrix a head"],
        "ids": ["I64", "5", "left out", "", "integers"],
        "norm.weight": ["F32", "8", "left out", "", "normalisation layer"],
        "temperature": ["F32", "a number", "left out", "", "neither a matrix nor named a bias"],
    }
    assert totals == [
        "weights:  5 matrices in 2 tensors, 160 parameters",
        "biases:   1 tensor, 12 parameters",
        "left out: 4 tensors, 254 numbers",
    ]


def test_patterns(checkpoint, capsys):
    options = ["--weights", "embed.*", "--left-out", "heads", "--blocks", "fc.weight=3"]
    status, rows, totals, _ = inspected(capsys, checkpoint, *options)
    assert status == 0
    assert rows["embed.weight"][2:] == [
        "weight",
        "1 of 30 x 8",
        "parameters.weights 'embed.*': one matrix",
    ]
    assert rows["fc.weight"][3] == "3 of 4 x 8"
    assert rows["heads"][2:] == ["left out", "", "parameters.left_out 'heads'"]
    assert totals[0] == "weights:  4 matrices in 2 tensors, 336 parameters"


def test_an_empty_selection_is_an_error_after_the_table(checkpoint, capsys):
    status, rows, totals, errors = inspected(capsys, checkpoint, "--left-out", "*e*s", "fc.*")
    assert status == 1
    assert rows.keys() == {*SHAPES, "ids"}
    assert totals[0] == "weights:  0 matrices in 0 tensors, 0 parameters"
    assert f"{checkpoint}: no weight matrix among its 7 tensors" in errors


def test_a_pattern_that_matches_nothing(checkpoint, capsys):
    assert main(["inspect", str(checkpoint), "--biases", "fc.biass"]) == 1
    told = capsys.readouterr()
    assert "parameters.biases: the pattern 'fc.biass' matches none of its 7 tensors" in told.err
    assert "fc.bias" in told.err


def test_what_is_no_checkpoint(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "nothing.safetensors")]) == 1
    assert "nothing.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["bert", "gpt_neox"])
def test_a_model_in_every_layout(tmp_path, capsys, kind):
    """What counts does not depend on the form; what is left out may be there twice or once."""
    found = []
    for layout in ("safetensors", "sharded safetensors", "bin", "sharded bin"):
        folder = save(small_model(kind), tmp_path / layout, layout)
        status, rows, totals, _ = inspected(capsys, folder)
        assert status == 0
        counted = {name: row for name, row in rows.items() if row[2] != "left out"}
        found.append((counted, totals[:2]))
    assert found[0][0]
    assert all(one == found[0] for one in found)


def test_several_checkpoints(checkpoint, tmp_path, capsys):
    other = save(small_model("gpt2"), tmp_path / "gpt2")
    assert main(["inspect", str(checkpoint), str(other)]) == 0
    printed = capsys.readouterr().out
    assert printed.index(str(checkpoint)) < printed.index(str(other))
    assert "transformer.h.0.attn.c_attn.weight" in printed


def test_where_a_torch_file_has_its_state_dict(tmp_path, capsys):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    weights = {"fc.weight": torch.ones(3, 2)}
    torch.save({"slow": weights, "fast": {"fc.weight": torch.ones(5, 2)}}, tmp_path / "both.pt")
    _, rows, _, _ = inspected(capsys, tmp_path / "both.pt", "--state-dict-key", "slow")
    assert rows["fc.weight"][1] == "3 x 2"
