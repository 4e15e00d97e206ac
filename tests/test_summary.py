"""The table of a model: held to real runs, to windows measured with NaN, and to published counts."""

import re
import tracemalloc

import numpy as np
import pytest

import zerohero as zh
from zerohero import models, nn
from zerohero.nn.summary import _SHAPES
from zerohero.ops.em_routing import em_routing
from zerohero.ops.em_windows import em_routing_windows
from zerohero.ops.linear import concat, pad
from zerohero.tensor import Tensor

# billions of multiply-adds for one image, as torchvision's documentation of its weights gives them ("GFLOPS")
PUBLISHED = {
    "alexnet_torchvision": 0.71,
    "vgg11": 7.61,
    "vgg13": 11.31,
    "vgg16": 15.47,
    "vgg19": 19.63,
    "googlenet_bn": 1.5,
    "resnet18": 1.81,
    "resnet34": 3.66,
    "resnet50": 4.09,
    "resnet101": 7.8,
    "resnet152": 11.51,
    "densenet121": 2.83,
    "densenet169": 3.36,
    "densenet201": 4.29,
    "squeezenet1_1": 0.35,
}
SMALL = {
    "lenet5": ({}, (2, 1, 28, 28)),
    "alexnet": (dict(image_size=67, channels=(4, 4, 6, 6, 4), hidden=8, num_classes=5), (2, 3, 67, 70)),
    "alexnet_torchvision": (dict(channels=(4, 4, 6, 6, 4), hidden=8, num_classes=5), (1, 3, 70, 63)),
    "vgg11_lrn": (dict(width=4, hidden=8, image_size=32), (2, 3, 64, 32)),
    "vgg16_c": (dict(width=4, hidden=8, image_size=32), (1, 3, 33, 65)),
    "googlenet": ({}, (1, 3, 47, 50)),
    "googlenet_bn": ({}, (1, 3, 31, 40)),
    "resnet18": (dict(width=4), (1, 3, 33, 20)),
    "resnet50": (dict(width=4), (1, 3, 20, 33)),
    "resnet20": (dict(width=4), (2, 3, 9, 12)),
    "densenet121": (dict(growth=4), (1, 3, 29, 36)),
    "squeezenet1_1": ({}, (1, 3, 25, 30)),
    "capsnet": (dict(preset="fast"), (2, 1, 28, 28)),
    "capsnet_baseline": (dict(channels=(4, 4, 4), hidden=(8, 8)), (1, 1, 28, 28)),
}


@pytest.mark.parametrize("name", SMALL)
def test_shapes_are_those_of_a_real_run_and_every_parameter_is_counted_once(name):
    options, shape = SMALL[name]
    model = models.create(name, **options).eval()
    names, seen = {id(module): name for name, module in model.named_modules()}, []
    layers = {id(m) for _, m in model.named_modules() if not list(m.children())}
    with zh.no_grad(), nn.observe(lambda m, i, output: seen.append((m, output.shape))):
        model(Tensor(np.zeros(shape, np.float32)))
    summary = model.summary(shape)
    own = [(row.name, row.output_shape) for row in summary if row.layer[0].isupper()]
    assert own == [(names[id(module)], output) for module, output in seen if id(module) in layers]
    assert summary.rows[-1].output_shape == seen[-1][1]
    assert sum(row.parameters for row in summary) + sum(summary.unused.values()) == model.num_parameters()
    assert summary.parameters == model.num_parameters()


@pytest.mark.parametrize("name", PUBLISHED)
def test_multiply_adds_are_those_that_torchvision_publishes(name):
    assert round(models.create(name).summary((1, 3, 224, 224)).multiply_adds / 1e9, 2) == PUBLISHED[name]


# Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks" (Distill), table of networks
@pytest.mark.parametrize("name,layer,size", [("alexnet", "pool5", 195), ("vgg16", "features.30", 212)])
def test_receptive_fields_are_those_that_are_published(name, layer, size):
    side = 227 if name == "alexnet" else 224
    rows = {row.name: row for row in models.create(name).summary((1, 3, side, side))}
    assert rows[layer].receptive_field == (size, size)


class Branches(nn.Module):
    """Two paths of different reach, added and concatenated, with half the rows left out."""

    def __init__(self):
        self.short, self.long = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, (5, 3), padding=(2, 1))
        self.after = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x):
        both = concat([self.short(x) + self.long(x), x], axis=1)
        return self.after(both[:, :, ::2, ::2])


class Function(nn.Module):
    """What a model does without layers."""

    def __init__(self, function):
        self.function = function

    def forward(self, x):
        return self.function(x)


MEASURED = {
    "kernel, stride and dilation": lambda: nn.Sequential(
        nn.Conv2d(1, 1, 5, stride=2, padding=2), nn.Conv2d(1, 1, 3, dilation=2, padding=2), nn.Conv2d(1, 1, (3, 1))
    ),
    "pooling": lambda: nn.Sequential(
        nn.MaxPool2d(3, stride=2), nn.Conv2d(1, 1, 3), nn.AvgPool2d(2), nn.Conv2d(1, 1, 3, padding=1)
    ),
    "branches": Branches,
    "inception": lambda: nn.Sequential(nn.Inception(1, 1, 1, 1, 1, 1, 1), nn.Inception(4, 1, 1, 1, 1, 1, 1)),
    "dense block": lambda: nn.Sequential(nn.DenseBlock(3, 1, 1), nn.Transition(4, 2), nn.Conv2d(2, 1, 3)),
    "residual blocks": lambda: nn.Sequential(
        nn.BasicBlock(1, 2, stride=2, shortcut="pad"), nn.BasicBlock(2, 2), nn.Bottleneck(2, 1, stride=2)
    ),
    "differences of neighbours": lambda: Function(lambda x: x[:, :, 1:] - x[:, :, :-1]),
    "windows side by side": lambda: nn.Sequential(
        nn.Conv2d(1, 1, (2, 3), padding=1), Function(lambda x: concat([x[:, :, :-4], x[:, :, 4:]], axis=1)), nn.ReLU()
    ),
    "a flip": lambda: nn.Sequential(Function(lambda x: x[..., ::-1]), nn.Conv2d(1, 1, (3, 5), padding=(1, 2))),
    "a flip amid strides": lambda: nn.Sequential(
        nn.Conv2d(1, 1, 3, stride=2, padding=1), Function(lambda x: x[:, :, ::-1, ::-2]), nn.Conv2d(1, 1, (4, 2))
    ),
}


@pytest.mark.parametrize("name", MEASURED)
def test_the_receptive_field_is_what_a_value_really_depends_on(name):
    """NaN in one row of the image reaches exactly the values that depend on this row; likewise columns."""
    model, side = MEASURED[name]().eval(), 48
    row = model.summary((1, 1, side, side)).rows[-1]
    for axis in (0, 1):
        images = np.zeros((side, 1, side, side), np.float32)
        for i in range(side):
            images[(i, 0, i) if axis == 0 else (i, 0, slice(None), i)] = np.nan
        with np.errstate(all="ignore"), zh.no_grad():
            maps = model(Tensor(images)).data
        middle = maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].sum(
            1
        )  # of all channels: branches reach differently
        reached = np.flatnonzero(np.isnan(middle))
        assert reached[-1] - reached[0] + 1 == row.receptive_field[axis]


@pytest.mark.parametrize("name", MEASURED)
def test_a_window_begins_and_ends_where_the_dependence_of_a_value_does(name):
    """The same NaN, for the values in two corners and in the middle of the last map: windows say which rows reach.

    In the last corner a window may end later: with padding inside, or rows that a pooling leaves over, less is there.
    """
    model, side = MEASURED[name]().eval(), 40
    summary = model.summary((1, 1, side, side))
    window = summary.windows[""]  # of the model's own output
    for axis in (0, 1):
        images = np.zeros((side, 1, side, side), np.float32)
        for i in range(side):
            images[(i, 0, i) if axis == 0 else (i, 0, slice(None), i)] = np.nan
        with np.errstate(all="ignore"), zh.no_grad():
            maps = model(Tensor(images)).data.sum(1)
        for row, column in ((0, 0), (maps.shape[1] // 2, maps.shape[2] // 2), (maps.shape[1] - 1, maps.shape[2] - 1)):
            begin, length = window.at(row, column)[axis], window.at(row, column)[2 + axis]
            reached = np.flatnonzero(np.isnan(maps[:, row, column]))
            assert reached[0] == max(begin, 0) and reached[-1] < begin + length
            assert reached[-1] + 1 == min(begin + length, side) or row == maps.shape[1] - 1


def test_layers_whose_values_have_no_place_have_no_window():
    windows = models.create("lenet5").summary((1, 1, 28, 28)).windows
    assert windows["conv1"].at(3, 4) == (1, 2, 5, 5)
    assert windows["fc1"] is None


def test_a_receptive_field_ends_where_values_lose_their_place():
    rows = {row.name: row for row in models.create("lenet5").summary((1, 1, 28, 28))}
    assert rows["conv2"].receptive_field == (14, 14)
    assert rows["flatten"].receptive_field is rows["fc3"].receptive_field is None
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(4), nn.Conv2d(1, 1, 3))
    assert [row.receptive_field for row in model.summary((1, 1, 10, 10))] == [(3, 3), (4, 4), (8, 8)]
    assert [row.receptive_field for row in model.summary((1, 1, 11, 11))] == [(3, 3), None, None]  # 9 rows in 4 cells


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + x[..., ::-1],  # each value depends on two places, nearer to each other in the middle
        lambda x: x + x[:, :, :1],  # every row on the first
        lambda x: x * x.mean((2, 3), keepdims=True),
        lambda x: x[:, :, :1] * np.ones((12, 1), np.float32),
    ],
)
def test_paths_that_give_a_value_several_places_leave_no_receptive_field(function):
    assert Function(function).summary((1, 1, 12, 12)).rows[-1].receptive_field is None


def test_costs_are_counted_by_hand():
    rows = {row.name: row for row in models.create("lenet5").summary((3, 1, 28, 28))}
    assert rows["conv1"].multiply_adds == 3 * 28 * 28 * 6 * 25
    assert rows["conv2"].multiply_adds == 3 * 10 * 10 * 16 * 6 * 25
    assert rows["fc1"].multiply_adds == 3 * 400 * 120
    assert rows["relu"].multiply_adds == rows["max_pool2d"].multiply_adds == 0
    grouped = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(6, 5, 2, stride=2))
    assert [row.multiply_adds for row in grouped.summary((1, 4, 5, 5))] == [9 * 6 * 2 * 9, 9 * 6 * 5 * 4]
    assert [row.output_shape for row in grouped.summary((1, 4, 5, 5))] == [(1, 6, 3, 3), (1, 5, 6, 6)]
    capsules = models.create("capsnet").summary((1, 1, 28, 28)).rows[-1]
    votes = 1152 * 10 * 16
    assert capsules.multiply_adds == votes * 8 + 5 * votes  # three weighted sums, two agreements


def test_a_layer_used_twice_counts_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            self.layer, self.scale = nn.Linear(3, 3), nn.Parameter(np.ones(3))

        def forward(self, x):
            return self.scale * self.layer(self.layer(x))

    summary = Twice().summary((1, 3))
    assert [(row.name, row.parameters) for row in summary] == [("layer", 12), ("layer", 0), ("multiply", 3)]
    assert summary.parameters == 15 and not summary.unused


def test_what_did_not_run_is_named():
    summary = models.create("capsnet").summary((1, 1, 28, 28))
    assert summary.unused == {"decoder": 1_411_344}
    assert "not run: decoder (1,411,344 parameters)" in str(summary)
    assert models.create("googlenet", auxiliary=True).summary((1, 3, 224, 224)).unused.keys() == {"aux1", "aux2"}


def test_a_model_of_which_nothing_runs_counts_its_parameters_once():
    class Idle(nn.Module):
        def __init__(self):
            self.layer, self.own = nn.Linear(2, 2), nn.Parameter(np.ones(3))

        def forward(self, x):
            return x

    summary = Idle().summary((1, 2))
    assert summary.unused == {"": 9}
    assert str(summary).endswith("not run: Idle (9 parameters)")


def test_depth_folds_modules_into_one_row_and_keeps_the_sums():
    model = models.create("resnet20")
    full, folded = model.summary((1, 3, 32, 32)), model.summary((1, 3, 32, 32), depth=1)
    assert [row.name for row in folded] == [
        "conv1", "bn1", "relu", "layer1", "layer2", "layer3", "adaptive_avg_pool2d", "flatten", "linear",
    ]  # fmt: skip
    assert folded.multiply_adds == full.multiply_adds
    assert sum(row.parameters for row in folded) == sum(row.parameters for row in full) == 269_722
    assert folded.rows[5].output_shape == (1, 64, 8, 8) and folded.rows[5].receptive_field == (81, 81)
    assert folded.rows[5].layer == "Sequential"


def test_it_changes_nothing():
    model = models.create("vgg16", width=4, hidden=8)
    model.features.eval()
    before, modes = model.features[0].weight.data.copy(), [m.training for _, m in model.named_modules()]
    summary = model.summary((1, 3, 224, 224))
    assert summary.rows[1].output_shape == (1, 4, 224, 224)
    assert [m.training for _, m in model.named_modules()] == modes and (model.features[0].weight.data == before).all()
    assert isinstance(model(Tensor(np.zeros((1, 3, 32, 32), np.float32))).data.sum(), np.floating)  # back to numbers


@pytest.mark.parametrize(
    "model,shape",
    [
        (lambda: nn.Conv2d(1, 1, 3, padding=1), (1, 1, 1024, 1024)),
        (lambda: models.create("vgg16", width=16, hidden=8), (32, 3, 224, 224)),
        (lambda: models.create("resnet18", width=32), (32, 3, 224, 224)),
        (lambda: models.create("capsnet"), (32, 1, 28, 28)),
        (lambda: models.create("matrix_capsnet"), (32, 2, 32, 32)),
        (lambda: Function(lambda x: (x @ x * 2).sum(1)), (32, 3, 500, 500)),
    ],
    ids=["padded convolution", "vgg16", "resnet18", "capsnet", "matrix_capsnet", "matmul and sum"],
)
def test_maps_take_no_memory(model, shape):
    model = model()
    tracemalloc.start()
    model.summary(shape)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5e6


X = np.random.default_rng(0).standard_normal((2, 4, 7, 9), np.float32)
WEIGHT = np.ones((6, 2, 3, 2), np.float32)
GIVEN = {
    "add": lambda x: 2 + x,
    "subtract": lambda x: x[:, :1] - x[:, :, :1],
    "multiply": lambda x: x * np.ones((3, 1, 4, 1, 1)),
    "divide": lambda x: x[0, 0] / [[2.0]],
    "matmul": lambda x: x @ np.ones((3, 1, 1, 9, 5), np.float32),
    "index": lambda x: x[1, ..., None, [[0, 2, 1]], 3:0:-2],
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean((-1, 1)),
    "max": lambda x: x.max((0, 2), keepdims=True),
    "power": lambda x: (x * x) ** 1.5,
    "exp": lambda x: x.exp(),
    "log": lambda x: (x * x).log(),
    "absolute": lambda x: abs(x[0, 0, 0, 0]),
    "relu": lambda x: zh.relu(x[0]),
    "leaky_relu": lambda x: zh.leaky_relu(x),
    "sigmoid": lambda x: zh.sigmoid(x),
    "tanh": lambda x: zh.tanh(x),
    "softmax": lambda x: zh.softmax(x, axis=1),
    "log_softmax": lambda x: zh.log_softmax(x),
    "dropout": lambda x: zh.dropout(x),
    "batch_norm": lambda x: zh.batch_norm(x[:, :, 0, 0], running_mean=np.zeros(4), running_var=np.ones(4)),
    "local_response_norm": lambda x: zh.local_response_norm(x),
    "conv2d": lambda x: zh.conv2d(
        x[0], WEIGHT, stride=(2, 1), padding=((0, 1), (2, 0)), dilation=(1, 3), groups=2),
    "conv_transpose2d": lambda x: zh.conv_transpose2d(
        x, WEIGHT[:4], stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2),
    "max_pool2d": lambda x: zh.max_pool2d(x[0, 0], (2, 3), stride=(3, 4), dilation=2, ceil_mode=True),
    "avg_pool2d": lambda x: zh.avg_pool2d(x[1], (3, 2), padding=(1, 0), ceil_mode=True),
    "adaptive_avg_pool2d": lambda x: zh.adaptive_avg_pool2d(x[0], (3, 2)),
    "linear": lambda x: zh.linear(x, np.ones((5, 9), np.float32)),
    "concat": lambda x: concat([x, x[:, :, :3], x], axis=-2),
    "pad": lambda x: pad(x, [(0, 2), (1, 0)]),
    "squash": lambda x: zh.squash(x),
    "capsule_votes": lambda x: zh.capsule_votes(x[0], np.ones((7, 9, 3, 2), np.float32)),
    "dynamic_routing": lambda x: zh.dynamic_routing(x),
    "capsule_layer": lambda x: zh.capsule_layer(x[0], np.ones((7, 9, 3, 2), np.float32)),
    "em_routing": lambda x: em_routing(x, zh.sigmoid(x[:, :, 0, 0]), np.zeros(7), np.zeros(7)),
    "em_routing_windows": lambda x: em_routing_windows(
        x[:, [[0, 1], [1, 2], [2, 3]]], zh.sigmoid(x[:, :, 0, 0]), np.zeros(7), np.zeros(7), [[0, 1], [1, 2], [2, 3]]),
}  # fmt: skip


def test_every_rule_for_shapes_is_held_to_a_real_run():
    assert GIVEN.keys() == _SHAPES.keys()


@pytest.mark.parametrize("name", GIVEN)
def test_an_operation_gives_the_shapes_of_a_real_run(name):
    followed = []

    def follow(x):
        outputs = GIVEN[name](x)
        followed[:] = [each.shape for each in (outputs if isinstance(outputs, tuple) else (outputs,))]
        return outputs

    model = Function(follow).eval()
    with zh.no_grad():
        model(Tensor(X))
    real = list(followed)
    rows = model.summary(X.shape).rows
    assert followed == real and rows[-1].output_shape == real[0]


@pytest.mark.parametrize(
    "function,error,words",
    [
        (lambda x: x + x[:, :, :3], ValueError, r"add: shapes \(2, 4, 7, 9\) and \(2, 4, 3, 9\) do not broadcast"),
        (lambda x: x @ x, ValueError, "matmul: needs"),
        (lambda x: x[:, :, 7], IndexError, r"index: .*x has shape \(2, 4, 7, 9\)"),
        (lambda x: x * None, TypeError, "multiply: b needs numbers, but got None"),
        (lambda x: x.mean(4), ValueError, "mean: axis"),
    ],
)
def test_an_operation_that_does_not_fit_says_what_it_says_in_a_real_run(function, error, words):
    for run in (lambda: function(Tensor(X)), lambda: Function(function).summary(X.shape)):
        with pytest.raises(error, match=words):
            run()


def test_modules_announce_themselves_before_and_after_they_run():
    model, seen = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())), []
    name = lambda module: type(module).__name__
    with nn.observe(lambda m, i, o: seen.append(f"/{name(m)}"), before=lambda m, i: seen.append(name(m))):
        model(Tensor([1.0]))
    assert seen == [
        "Sequential", "ReLU", "/ReLU", "Sequential", "Tanh", "/Tanh", "/Sequential", "/Sequential",
    ]  # fmt: skip


def test_text_is_a_table_and_html_says_the_same():
    class Odd(nn.Module):
        def forward(self, x):
            return x

        def describe(self):
            return "<b>"

    summary = nn.Sequential(nn.Conv2d(1, 2, 3), Odd()).summary((1, 1, 5, 5))
    lines = str(summary).splitlines()
    assert lines[0] == "Sequential" and lines[2].split("  ")[0].strip() == "name"
    assert len({line.index("×") for line in lines[4:6] if "Conv" not in line}) == 1
    assert lines[-1] == "20 parameters, 162 multiply-adds for an input of 1 × 1 × 5 × 5"
    page = summary._repr_html_()
    assert "<b>" not in page and "&lt;b&gt;" in page
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)
    assert cells[:6] == ["0", "Conv2d 1 → 2, 3×3", "1 × 2 × 3 × 3", "20", "162", "3×3"]
    assert len(cells) == 6 * len(summary)


@pytest.mark.parametrize(
    "shape,options,error,words",
    [
        ((), {}, ValueError, "input_shape needs sizes such as"),
        (28, {}, ValueError, "input_shape needs sizes such as .* but got 28"),
        ((1, 1, 28, 0), {}, ValueError, "input_shape needs to be at least 1, but got 0"),
        ((1, 1, 28.0, 28), {}, TypeError, "input_shape needs an integer, but got 28.0"),
        ((1, 3, 28, 28), {}, ValueError, "weight expects 1 input channels .*but x has 3"),
        ((1, 1, 20, 20), {}, ValueError, "expects 400 inputs"),
        ((1, 1, 28, 28), dict(depth=0), ValueError, "depth needs to be at least 1"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_as_in_a_real_run(shape, options, error, words):
    model = models.create("lenet5")
    with pytest.raises(error, match=words):
        model.summary(shape, **options)
    assert model.training and model.predict(np.zeros((28, 28))) in range(10)
