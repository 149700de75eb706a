"""The transformer: an independent forward pass, its gradient side by side, what its tensors are."""

import numpy as np
import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from tests.support.twin import begin, plain_loop, train_epochs
from training_maps.metrics.parameters import MatrixSpec, select_parameters
from training_maps.training.models.transformer import TabulatedTransformer, Transformer
from training_maps.training.networks import measured
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.training.tasks.modular_addition import ModularAddition

SMALL = {"modulus": 7, "d_model": 12, "n_heads": 2, "d_head": 5, "d_mlp": 9}
both = pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "layer_norm"])


def random_transformer(layer_norm, seed=0):
    """A small transformer all of whose parameters, biases and norms too, are random."""
    torch.manual_seed(seed)
    network = Transformer(8, 3, d_model=12, n_heads=2, d_head=5, d_mlp=9, layer_norm=layer_norm)
    for value in network.parameters():
        torch.nn.init.normal_(value)
    return network


def random_tokens(n_examples=50):
    return np.random.default_rng(0).integers(0, 8, size=(n_examples, 3))


def tabulated_and_plain(layer_norm, seed=0):
    """Two networks of the same random parameters, and examples that end in token 7."""
    plain = random_transformer(layer_norm, seed)
    sizes = {"d_model": 12, "n_heads": 2, "d_head": 5, "d_mlp": 9, "layer_norm": layer_norm}
    tabulated = TabulatedTransformer(8, 3, last_token=7, **sizes)
    tabulated.load_state_dict(plain.state_dict())
    tokens = torch.from_numpy(random_tokens())
    tokens[:, -1] = 7
    return tabulated, plain, tokens


def twin(p, tokens, layer_norm):
    """The forward pass of Nanda et al. 2023 at all three positions, by einsum; the last is taken.

    b: example, p and q: position of key and query, i: head, h: within a head, d: model, m: MLP.
    """

    def normalised(x, name):
        if not layer_norm:
            return x
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * p[f"{name}.weight"] + p[f"{name}.bias"]

    x = p["embed"][tokens] + p["embed_position"]
    q, k, v = (
        np.einsum("ihd,bpd->biph", p[f"attention.{name}"], x) for name in ("query", "key", "value")
    )
    scores = np.einsum("biph,biqh->biqp", k, q) / np.sqrt(q.shape[-1])
    scores[..., ~np.tri(3, dtype=bool)] = -np.inf
    pattern = np.exp(scores - scores.max(-1, keepdims=True))
    pattern /= pattern.sum(-1, keepdims=True)
    read = np.einsum("biph,biqp->bqih", v, pattern)
    output = p["attention.output"].reshape(12, 2, 5)
    x = normalised(x + np.einsum("dih,bqih->bqd", output, read), "norm_attention")
    hidden = np.einsum("md,bqd->bqm", p["mlp.hidden.weight"], x) + p["mlp.hidden.bias"]
    added = np.einsum("dm,bqm->bqd", p["mlp.output.weight"], np.maximum(hidden, 0))
    x = normalised(x + added + p["mlp.output.bias"], "norm_mlp")
    return np.einsum("vd,bqd->bqv", p["unembed"], x)[:, -1]


@both
@pytest.mark.usefixtures("double")
def test_the_forward_pass_is_that_of_the_whole_decoder(layer_norm):
    network, tokens = random_transformer(layer_norm), random_tokens()
    parameters = {name: value.detach().numpy() for name, value in network.named_parameters()}
    outputs = network(torch.from_numpy(tokens)).detach().numpy()
    assert outputs.shape == (50, 8)
    np.testing.assert_allclose(
        outputs, twin(parameters, tokens, layer_norm), rtol=1e-10, atol=1e-10
    )


@both
@pytest.mark.usefixtures("double")
def test_tables_change_neither_outputs_nor_gradients(layer_norm):
    tabulated, plain, tokens = tabulated_and_plain(layer_norm)
    targets = tokens.sum(1) % 8
    outputs = {}
    for network in (tabulated, plain):
        outputs[network] = network(tokens)
        torch.nn.functional.cross_entropy(outputs[network], targets).backward()
    torch.testing.assert_close(outputs[tabulated], outputs[plain], rtol=1e-12, atol=1e-12)
    expected = dict(plain.named_parameters())
    assert [name for name, _ in tabulated.named_parameters()] == list(expected)
    for name, parameter in tabulated.named_parameters():
        assert expected[name].grad.any(), name
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("double")
def test_scores_that_are_far_apart_are_no_trouble():
    tabulated, plain, tokens = tabulated_and_plain(False)
    with torch.no_grad():
        for network in (tabulated, plain):
            network.attention.query.mul_(1000)  # a softmax of differences in the thousands
        assert plain(tokens).isfinite().all()
        torch.testing.assert_close(tabulated(tokens), plain(tokens), rtol=1e-9, atol=1e-9)


@both
def test_the_tables_network_starts_as_the_plain_one(layer_norm):
    torch.manual_seed(3)
    plain = Transformer(8, 3, d_model=12, layer_norm=layer_norm).state_dict()
    torch.manual_seed(3)
    tabulated = TabulatedTransformer(8, 3, last_token=7, d_model=12, layer_norm=layer_norm)
    state = tabulated.state_dict()
    assert list(state) == list(plain)
    assert all(torch.equal(state[name], plain[name]) for name in plain)


@both
@pytest.mark.usefixtures("double")
def test_three_networks_stacked_are_the_three(layer_norm):
    tabulated, networks, tokens = zip(
        *[tabulated_and_plain(layer_norm, seed) for seed in range(3)], strict=True
    )
    for kind in (tabulated, networks):
        stacked, _ = stack_module_state(list(kind))
        structure = kind[0].to("meta") if kind is tabulated else random_transformer(layer_norm)
        outputs = vmap(lambda v, some, s=structure: functional_call(s, v, (some,)))(
            stacked, torch.stack(tokens)
        )
        for output, network, some in zip(outputs, networks, tokens, strict=True):
            torch.testing.assert_close(output, network(some), rtol=1e-12, atol=1e-12)


@both
@pytest.mark.usefixtures("double")
def test_training_side_by_side_is_a_plain_loop(layer_norm):
    task = make_task("modular_addition", {**SMALL, "train_share": 0.5, "layer_norm": layer_norm})
    recipe = Recipe("adamw", learning_rate=0.01, weight_decay=1.0, batch_size=10)
    assert begin(task, recipe, [3])[0].steps_per_epoch == 3  # two batches of 10 and one of 4
    for seed, tensors in train_epochs(task, recipe, [3, 5, 8], 3).items():
        trained = plain_loop(task, seed, recipe, 3, torch.nn.CrossEntropyLoss())
        assert trained.keys() == tensors.keys()
        for name, value in trained.items():
            np.testing.assert_allclose(tensors[name], value, rtol=1e-7, atol=1e-9, err_msg=name)


class Plain(ModularAddition):
    """Modular addition by the plain network."""

    def network(self):
        sizes = {key: SMALL[key] for key in ("d_model", "n_heads", "d_head", "d_mlp")}
        return Transformer(self.modulus + 1, 3, **sizes, layer_norm=self.layer_norm)


class PlainAlone(Plain):
    """The same, one network after another."""

    side_by_side = False


class Alone(ModularAddition):
    """Modular addition as it is, one network after another."""

    side_by_side = False


@both
@pytest.mark.parametrize("kinds", [(ModularAddition, Plain), (Alone, PlainAlone)])
@pytest.mark.usefixtures("double")
def test_tables_train_and_evaluate_the_plain_network(kinds, layer_norm):
    settings = {**SMALL, "train_share": 0.5, "layer_norm": layer_norm}
    recipe = Recipe("adamw", learning_rate=0.01, weight_decay=1.0, batch_size=10)
    trained = {}
    for one in kinds:
        examples, networks = begin(one(**settings), recipe, [4])
        batches = examples.batches()
        for _ in range(9):
            networks.step(*next(batches))
        measures = measured(networks, examples.part("eval", 7))
        trained[one] = (*measures, networks.gradient_norms(), networks.tensors())
    (*found, tensors), (*expected, of_plain) = (trained[one] for one in kinds)
    # One on its own takes its losses in float32, and their gradients.
    exact = kinds[0].side_by_side
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9 if exact else 1e-5)
    assert tensors.keys() == of_plain.keys()
    for name, value in tensors.items():
        tolerances = {"rtol": 1e-7, "atol": 1e-9} if exact else {"rtol": 1e-4, "atol": 1e-6}
        np.testing.assert_allclose(value, of_plain[name], **tolerances, err_msg=name)


@both
def test_which_tensors_count(layer_norm):
    network = make_task("modular_addition", {"layer_norm": layer_norm}).network()
    state = network.state_dict()
    selection = select_parameters((name, "F32", value.shape) for name, value in state.items())
    assert selection.matrices == [
        MatrixSpec("attention.key", 4, 32, 128),
        MatrixSpec("attention.output", 1, 128, 128),
        MatrixSpec("attention.query", 4, 32, 128),
        MatrixSpec("attention.value", 4, 32, 128),
        MatrixSpec("mlp.hidden.weight", 1, 512, 128),
        MatrixSpec("mlp.output.weight", 1, 128, 512),
    ]
    assert sum(matrix.n_blocks for matrix in selection.matrices) == 15
    assert selection.biases == ["mlp.hidden.bias", "mlp.output.bias"]
    norms = {f"norm_{x}.{y}" for x in ("attention", "mlp") for y in ("weight", "bias")}
    assert set(selection.left_out) == {"embed", "embed_position", "unembed"} | (
        norms if layer_norm else set()
    )
    assert state["embed"].shape == state["unembed"].shape == (114, 128)
    assert state["embed_position"].shape == (3, 128)


def test_the_initial_values():
    torch.manual_seed(0)
    state = Transformer(400, 30, d_model=100, d_mlp=300, layer_norm=True).state_dict()
    for name, value in state.items():
        if name.endswith("bias"):
            assert not value.any(), name
        elif name.startswith("norm"):
            assert (value == 1).all(), name
        else:
            deviation = 1 / np.sqrt(400 if name == "unembed" else 100)
            # At least 3000 values each: five standard errors of their standard deviation.
            error = 5 * deviation / np.sqrt(2 * value.numel())
            assert abs(value.std().item() - deviation) < error, name
            assert abs(value.mean().item()) < 5 * deviation / np.sqrt(value.numel()), name
