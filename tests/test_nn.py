"""Modules: their names, states, modes and repr, held to PyTorch's where PyTorch has the same layer."""

import numpy as np
import pytest
import torch

import zerohero as zh
from zerohero import nn
from zerohero.nn.module import first_not_finite
from zerohero.tensor import Parameter, Tensor

# ours, theirs, shape of the input
LAYERS = {
    "conv": (lambda: nn.Conv2d(4, 6, 3), lambda: torch.nn.Conv2d(4, 6, 3), (2, 4, 9, 8)),
    "conv, every setting": (
        lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False),
        lambda: torch.nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False),
        (2, 4, 9, 8),
    ),
    "transposed conv": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        lambda: torch.nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        (2, 4, 5, 4),
    ),
    "linear": (lambda: nn.Linear(5, 3), lambda: torch.nn.Linear(5, 3), (4, 5)),
    "linear without bias": (lambda: nn.Linear(5, 3, bias=False), lambda: torch.nn.Linear(5, 3, bias=False), (4, 5)),
    "batch norm": (lambda: nn.BatchNorm2d(3), lambda: torch.nn.BatchNorm2d(3), (4, 3, 5, 2)),
    "batch norm, every setting": (
        lambda: nn.BatchNorm2d(3, momentum=0.3, eps=0.1),
        lambda: torch.nn.BatchNorm2d(3, momentum=0.3, eps=0.1),
        (4, 3, 5, 2),
    ),
    "batch norm of features": (lambda: nn.BatchNorm1d(3), lambda: torch.nn.BatchNorm1d(3), (4, 3)),
    "local response norm": (
        lambda: nn.LocalResponseNorm(3, alpha=0.1, beta=0.5, k=1.5),
        lambda: torch.nn.LocalResponseNorm(3, alpha=0.1, beta=0.5, k=1.5),
        (2, 7, 4, 3),
    ),
    "max pool": (
        lambda: nn.MaxPool2d(3, stride=2, padding=1, dilation=1, ceil_mode=True),
        lambda: torch.nn.MaxPool2d(3, stride=2, padding=1, dilation=1, ceil_mode=True),
        (2, 3, 8, 7),
    ),
    "average pool": (
        lambda: nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        lambda: torch.nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        (2, 3, 8, 7),
    ),
    "adaptive pool": (lambda: nn.AdaptiveAvgPool2d((3, 2)), lambda: torch.nn.AdaptiveAvgPool2d((3, 2)), (2, 3, 8, 7)),
    "global pool": (
        nn.GlobalAvgPool2d,
        lambda: torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(1)),
        (2, 3, 8, 7),
    ),
    "relu": (nn.ReLU, torch.nn.ReLU, (3, 4)),
    "leaky relu": (lambda: nn.LeakyReLU(0.3), lambda: torch.nn.LeakyReLU(0.3), (3, 4)),
    "sigmoid": (nn.Sigmoid, torch.nn.Sigmoid, (3, 4)),
    "tanh": (nn.Tanh, torch.nn.Tanh, (3, 4)),
    "softmax": (lambda: nn.Softmax(1), lambda: torch.nn.Softmax(1), (3, 4, 2)),
    "flatten": (nn.Flatten, torch.nn.Flatten, (3, 4, 2)),
    "identity": (nn.Identity, torch.nn.Identity, (3, 4)),
}


def names_of(theirs):
    return {name: tuple(value.shape) for name, value in theirs.state_dict().items() if "num_batches" not in name}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_pytorchs_names_and_computes_what_pytorch_computes(name, rng):
    ours, theirs, shape = LAYERS[name]
    ours, theirs = ours(), theirs()
    assert {n: v.shape for n, v in ours.state_dict().items()} == names_of(theirs)
    ours.load_state_dict(theirs.state_dict())
    for _ in range(2):  # twice in training: batch norm's running values move
        x = rng.standard_normal(shape).astype(np.float32)
        out, expected = ours(Tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(out.data.reshape(expected.shape), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    ours.eval(), theirs.eval()
    out, expected = ours(Tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(out.data.reshape(expected.shape), expected.detach().numpy(), rtol=1e-4, atol=1e-5)


def small():
    """A net with everything a state can hold: parameters, buffers, and layers without either."""
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 4 * 4, 5)
    )


def small_in_torch():
    t = torch.nn
    return t.Sequential(t.Conv2d(1, 3, 3), t.BatchNorm2d(3), t.ReLU(), t.Flatten(), t.Dropout(0.5), t.Linear(48, 5))


def test_a_pytorch_state_dict_loads_as_it_is(rng):
    theirs = small_in_torch()
    theirs(torch.randn(8, 1, 6, 6))  # moves the running mean and variance
    ours = small()
    ours.load_state_dict(theirs.state_dict())
    x = rng.standard_normal((4, 1, 6, 6)).astype(np.float32)
    expected = theirs.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(Tensor(x)).data, expected, rtol=1e-4, atol=1e-5)


def test_our_state_dict_loads_into_pytorch():
    state = {name: torch.tensor(value) for name, value in small().state_dict().items()}
    theirs = small_in_torch()
    theirs.load_state_dict(state)  # strict: complains of any name that is missing or unexpected
    assert (theirs[0].weight.detach().numpy() == state["0.weight"].numpy()).all()


def test_parameters_are_named_by_attribute_index_and_key():
    class Net(nn.Module):
        def __init__(self):
            self.stem = nn.Sequential({"conv": nn.Conv2d(1, 2, 3, bias=False)})
            self.blocks = [nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2, bias=False)]
            self.scale = Parameter(np.ones(2, np.float32))

    names = ["scale", "stem.conv.weight", "blocks.0.weight", "blocks.0.bias", "blocks.2.weight"]
    assert [name for name, _ in Net().named_parameters()] == names
    assert Net().num_parameters() == 2 + 18 + 6 + 4


def test_a_shared_parameter_counts_once():
    layer = nn.Linear(3, 3)
    assert nn.Sequential(layer, nn.ReLU(), layer).num_parameters() == 12


# ---- states ---------------------------------------------------------------------------------------------


def test_a_state_that_does_not_fit_changes_nothing_and_lists_all_that_is_wrong():
    model = small()
    before = {name: value.copy() for name, value in model.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    del state["0.bias"]
    state["9.weight"] = np.zeros(3)
    state["5.weight"] = np.zeros((5, 47))
    with pytest.raises(ValueError) as error:
        model.load_state_dict(state)
    text = str(error.value)
    assert "missing: 0.bias" in text
    assert "unexpected: 9.weight" in text
    assert "misshapen: 5.weight (5, 47) instead of (5, 48)" in text
    assert all((value == before[name]).all() for name, value in model.state_dict().items())


def test_a_value_that_is_no_number_changes_nothing_either():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = model[0].weight.data.copy()
    state = {name: value + 1 for name, value in model.state_dict().items()} | {"1.bias": np.array(["a", "b"])}
    with pytest.raises(ValueError):
        model.load_state_dict(state)
    assert (model[0].weight.data == before).all()


def test_not_strict_lets_names_differ_but_not_shapes():
    model = nn.Sequential(nn.Linear(2, 2))
    model.load_state_dict({"0.bias": np.array([5.0, 6.0]), "other": np.zeros(1)}, strict=False)
    assert model[0].bias.data.tolist() == [5.0, 6.0]
    with pytest.raises(ValueError, match="misshapen"):
        model.load_state_dict({"0.bias": np.zeros(3)}, strict=False)


def test_loading_copies_values_and_keeps_the_dtype():
    model, source = nn.Linear(2, 2), np.ones((2, 2), np.float16)
    model.load_state_dict({"weight": source, "bias": np.zeros(2)})
    source[...] = 9
    assert model.weight.dtype == np.float32 and (model.weight.data == 1).all()


def test_a_long_list_of_names_is_cut_short():
    model = nn.Sequential(*[nn.Linear(1, 1) for _ in range(6)])
    with pytest.raises(ValueError, match="and 4 more"):
        model.load_state_dict({})


def test_buffers_are_saved_but_not_learned():
    layer = nn.BatchNorm2d(2)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert [name for name, _ in nn.Sequential(layer).named_buffers()] == ["0.running_mean", "0.running_var"]
    layer(Tensor(np.full((2, 2, 1, 1), 3.0, np.float32)))
    assert layer.state_dict()["running_mean"].tolist() == pytest.approx([0.3, 0.3])


# ---- modes ----------------------------------------------------------------------------------------------


def test_train_and_eval_reach_every_module():
    inner = nn.Dropout()

    class Net(nn.Module):
        def __init__(self):
            self.deep = nn.Sequential(nn.Sequential(inner))
            self.listed = [nn.BatchNorm1d(2)]

    model = Net()
    assert model.training and inner.training
    model.eval()
    assert [m.training for _, m in model.named_modules()] == [False] * 5
    model.train()
    assert all(m.training for _, m in model.named_modules())


def test_scores_evaluates_and_leaves_modes_as_they_were(rng):
    model = small()
    model[1].eval()  # frozen batch norm inside a training net
    modes = [m.training for _, m in model.named_modules()]
    images = rng.standard_normal((5, 1, 6, 6)).astype(np.float32)
    first = model.scores(images)
    assert (first == model.scores(images)).all(), "dropout was active"
    assert [m.training for _, m in model.named_modules()] == modes
    model.eval()
    np.testing.assert_allclose(first, model(Tensor(images)).data, rtol=1e-6)


def test_scores_restores_modes_when_the_model_fails():
    model = small()
    with pytest.raises(ValueError):
        model.scores(np.zeros((2, 3, 6, 6)))
    assert all(m.training for _, m in model.named_modules())


def test_scores_do_not_depend_on_the_batch_size(rng):
    model, images = small(), rng.standard_normal((7, 1, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(model.scores(images, batch_size=3), model.scores(images), rtol=1e-5, atol=1e-6)


def test_predict_gives_an_int_for_one_image_and_an_array_for_several(rng):
    model, images = small(), rng.standard_normal((4, 1, 6, 6)).astype(np.float32)
    several = model.predict(images)
    assert several.shape == (4,) and several.tolist() == model.scores(images).argmax(1).tolist()
    for one in (images[2], images[2, 0]):
        assert type(model.predict(one)) is int and model.predict(one) == several[2]


def test_scores_leave_no_tape(rng):
    model = small()
    model.scores(rng.standard_normal((2, 1, 6, 6)))
    assert all(p.grad is None for p in model.parameters())


# ---- looking at it --------------------------------------------------------------------------------------


def test_a_repr_shows_the_tree_with_its_settings():
    model = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Sequential(nn.BatchNorm2d(6), nn.Dropout(0.25)))
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Conv2d(1 → 6, 5×5, padding=2)\n"
        "  (1): Sequential(\n"
        "    (0): BatchNorm2d(6)\n"
        "    (1): Dropout(p=0.25)\n"
        "  )\n"
        ")"
    )


def test_observe_sees_each_module_after_it_ran_and_stops_after_the_block():
    seen = []
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with nn.observe(lambda module, inputs, output: seen.append((type(module).__name__, output.shape))):
        model(Tensor(np.zeros((3, 2, 2), np.float32)))
    model(Tensor(np.zeros((3, 2, 2), np.float32)))
    assert seen == [("Flatten", (3, 4)), ("Linear", (3, 2)), ("Sequential", (3, 2))]


def test_the_first_layer_with_nan_is_named_not_those_after_it():
    model = small()
    x = Tensor(np.ones((2, 1, 6, 6), np.float32))
    assert first_not_finite(model, lambda: model(x)) is None
    model[1].weight.data[0] = np.nan
    assert first_not_finite(model, lambda: model(x)) == "1"


# ---- initial values -------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_layer():
    zh.seed(3)
    first = nn.Conv2d(2, 3, 3)
    again = nn.Conv2d(2, 3, 3)
    zh.seed(3)
    same = nn.Conv2d(2, 3, 3)
    assert (first.weight.data == same.weight.data).all() and (first.bias.data == same.bias.data).all()
    assert (first.weight.data != again.weight.data).any()


def test_layers_start_within_pytorchs_bounds_and_fill_them():
    bound = 1 / np.sqrt(4 * 5 * 5)
    layer = nn.Conv2d(4, 500, 5)
    for values in (layer.weight.data, layer.bias.data):
        assert np.abs(values).max() <= bound
        assert values.max() > 0.95 * bound and values.min() < -0.95 * bound


@pytest.mark.parametrize(
    "fill,variance",
    [
        (lambda p: nn.init.he_normal(p), 2 / (30 * 9)),
        (lambda p: nn.init.xavier_uniform(p), 2 / (30 * 9 + 40 * 9)),
        (lambda p: nn.init.normal(p, 0.5), 0.25),
        (lambda p: nn.init.uniform(p, 0.6), 0.36 / 3),
        (lambda p: nn.init.truncated_normal(p, 0.5), 0.25 * 0.7737413),  # variance of N(0, 1) within ± 2
    ],
    ids=["he", "xavier", "normal", "uniform", "truncated"],
)
def test_initialisers_have_the_variance_they_promise(fill, variance):
    zh.seed(0)
    parameter = Parameter(np.zeros((40, 30, 3, 3), np.float32))
    assert fill(parameter) is parameter
    assert parameter.data.var() == pytest.approx(variance, rel=0.04)
    assert abs(parameter.data.mean()) < 0.02


def test_a_truncated_normal_has_no_tails():
    parameter = nn.init.truncated_normal(Parameter(np.zeros((100, 100), np.float32)), 0.5)
    assert np.abs(parameter.data).max() <= 1.0


# ---- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make,error,words",
    [
        (lambda: nn.Conv2d(0, 3, 3), ValueError, "in_channels needs to be at least 1"),
        (lambda: nn.Conv2d(1, 2.5, 3), TypeError, "out_channels needs an integer"),
        (lambda: nn.Conv2d(1, 3, 0), ValueError, "kernel_size needs to be at least 1"),
        (lambda: nn.Conv2d(1, 3, (3, 3, 3)), ValueError, "kernel_size needs one integer or two"),
        (lambda: nn.Conv2d(4, 6, 3, groups=4), ValueError, "groups needs to divide in_channels 4 and out_channels 6"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, groups=5), ValueError, "ConvTranspose2d: groups needs to divide"),
        (lambda: nn.Linear(-1, 3), ValueError, "in_features needs to be at least 1"),
        (lambda: nn.Linear(True, 3), TypeError, "in_features needs an integer"),
        (lambda: nn.Dropout(1.5), ValueError, "p needs to lie in"),
        (lambda: nn.BatchNorm2d(3, momentum=-0.1), ValueError, "BatchNorm2d: momentum"),
        (lambda: nn.BatchNorm1d(0), ValueError, "BatchNorm1d: num_features"),
        (lambda: nn.BatchNorm2d(3)(Tensor(np.zeros((2, 3)))), ValueError, r"needs shape \(N, C, H, W\)"),
        (lambda: nn.BatchNorm1d(3)(Tensor(np.zeros((2, 3, 4, 4)))), ValueError, r"needs shape \(N, C\)"),
        (lambda: nn.Sequential(nn.ReLU(), zh.relu), TypeError, "layer 1 needs to be a Module"),
        (lambda: nn.Module()(1), TypeError, "needs a method forward"),
        (lambda: nn.Linear(2, 2).to("tpu"), ValueError, "'numpy' or 'cupy', but got 'tpu'"),
        (lambda: nn.init.he_normal(Parameter(np.zeros(3))), ValueError, "at least the axes"),
        (lambda: small().scores(np.zeros((1, 1, 1, 6, 6))), ValueError, "scores: images needs shape"),
        (lambda: small().scores(np.zeros((0, 1, 6, 6))), ValueError, "images holds none"),
        (lambda: small().scores(np.zeros((2, 1, 6, 6)), batch_size=0), ValueError, "batch_size needs to be at least 1"),
    ],
)
def test_a_wrong_argument_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()
