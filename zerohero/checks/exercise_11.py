"""The tasks of exercise 11, CapsNet. How answers are run and compared is not known here."""

from __future__ import annotations

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.nn.capsule import mask_capsules
from zerohero.ops.activation import relu, softmax
from zerohero.ops.capsule import margin_loss as library_margin_loss
from zerohero.ops.capsule import reconstruction_loss, squash
from zerohero.ops.convolution import conv2d


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


def _length(v, axis=-1):
    return np.sqrt((v * v).sum(axis))


# --- shapes and parameters ----------------------------------------------------------------------------------

PAPER = (28, 1, 256, 32, 8, 10, 16)


def _networks(rng: np.random.Generator) -> list[Case]:
    return [
        Case(18, 1, 2, 3, 4, 5, 6),
        Case(20, 3, 4, 3, 2, 5, 7),
        Case(*PAPER),
        Case(36, 1, 256, 32, 8, 10, 16),
        Case(33, 2, 7, 5, 6, 4, 3),
    ]


def _traced(
    image_size, in_channels, channels, types, dim, classes, out_dim, *,
    conv1=lambda size: size - 8,  # side of conv1's output
    primary=lambda side: (side - 9) // 2 + 1,  # side of the primary capsules' map
    capsules=lambda types, dim, side: types * side * side,
    kernels=lambda filters, depth: filters * (81 * depth + 1),  # the numbers of a convolution
    filters=lambda types, dim: types * dim,
    depth=lambda in_channels, channels: channels,  # of the second convolution
    matrices=lambda u, side, types, dim, classes, out_dim: u * dim * classes * out_dim,
    bias=lambda u, classes, out_dim: classes * out_dim,
    also=0,  # what else is counted
):  # fmt: skip
    """The right trace with one of its parts replaced."""
    first = conv1(image_size)
    second = primary(first)
    u = capsules(types, dim, second)
    convolutions = kernels(channels, in_channels) + kernels(filters(types, dim), depth(in_channels, channels))
    routed = matrices(u, second, types, dim, classes, out_dim) + bias(u, classes, out_dim)
    return first, second, u, convolutions + routed + also


def _right_trace(image_size, in_channels, channels, types, dim, classes, out_dim):
    return _traced(image_size, in_channels, channels, types, dim, classes, out_dim)


shapes_and_parameters = Task(
    name="11.shapes_and_parameters",
    title="Trace shapes, count parameters",
    difficulty=2,
    minutes=20,
    practises="what every layer hands on, and where 6,804,384 numbers sit",
    reference=_right_trace,
    inputs=_networks,
    returns=("conv1_side", "primary_side", "capsule_count", "parameter_count"),
    hints=[
        "A kernel of 9 fits at size - 9 + 1 positions. With stride 2 every second of them counts, and a last step that "
        "doesn't fit is left out: 20 gives 6. Every position of that map holds one capsule of each type.",
        "A filter has 9 · 9 · depth weights and one bias; its depth is the number of channels that come in. Conv1 has "
        "`channels` filters, the second convolution `types * dim`. From each capsule to each class leads a matrix of "
        "its own, dim × out_dim; and each class capsule has out_dim biases.",
        "`conv1_side = image_size - 8`, `primary_side = (conv1_side - 9) // 2 + 1`, "
        "`capsule_count = types * primary_side**2`; then add `channels * (81 * in_channels + 1)`, "
        "`types * dim * (81 * channels + 1)`, `capsule_count * dim * classes * out_dim` and `classes * out_dim`.",
    ],
)


@shapes_and_parameters.misconception(
    "7×7",
    "Your second map has 7×7 places where the paper's has 6×6: you round up. A kernel of 9 in 20 with stride 2 starts "
    "at 0, 2, 4, 6, 8, 10; from 12 it would reach over the edge. Round down, `//`.",
)
def rounded_up(*sizes):
    return _traced(*sizes, primary=lambda side: -(-(side - 9) // 2) + 1)


@shapes_and_parameters.misconception(
    "rounded to the nearest",
    "You round half positions with `round`, which goes to the nearest even number: sometimes up, sometimes down. A "
    "place where the kernel would reach over the edge never counts: always down, `//`.",
)
def rounded(*sizes):
    return _traced(*sizes, primary=lambda side: round((side - 9) / 2 + 1))


@shapes_and_parameters.misconception(
    "rounded to the nearest",
    "You round half steps with `round`, which goes to the nearest even number: 5.5 becomes 6, and so the paper's map "
    "7×7 instead of 6×6. A place where the kernel would reach over the edge never counts: always down, `//`.",
)
def steps_rounded(*sizes):
    return _traced(*sizes, primary=lambda side: round((side - 9) / 2) + 1)


@shapes_and_parameters.misconception(
    "half a position",
    "Your second map has 6.5 places along a side. A kernel fits or it doesn't: whole positions only, rounded down "
    "with `//`.",
)
def not_rounded(*sizes):
    return _traced(*sizes, primary=lambda side: (side - 9) / 2 + 1)


@shapes_and_parameters.misconception(
    "first position forgotten",
    "Both your maps are one too small on a side, 19 and 5 for the paper. After the first position there are "
    "(size - 9) / stride more: the + 1 is missing.",
)
def no_first_position(*sizes):
    return _traced(*sizes, conv1=lambda size: size - 9, primary=lambda side: (side - 9) // 2)


@shapes_and_parameters.misconception(
    "first position forgotten",
    "Your first map is one too small on a side, 19 for the paper: from 28 there are 28 - 9 steps after the first "
    "position, so 28 - 9 + 1 = 20 positions.",
)
def no_first_position_in_conv1(*sizes):
    return _traced(*sizes, conv1=lambda size: size - 9)


@shapes_and_parameters.misconception(
    "first position forgotten",
    "Your second map is one too small on a side, 5 for the paper. There are (20 - 9) // 2 = 5 steps after the first "
    "position, so 6 positions: the + 1 is missing.",
)
def no_first_position_in_primary(*sizes):
    return _traced(*sizes, primary=lambda side: (side - 9) // 2)


@shapes_and_parameters.misconception(
    "stride forgotten",
    "Your second convolution has stride 1. It has stride 2, so that 20 gives 6 places on a side, not 12.",
)
def no_stride(*sizes):
    return _traced(*sizes, primary=lambda side: side - 8)


@shapes_and_parameters.misconception(
    "stride in the first convolution",
    "Both your convolutions have stride 2. Only the second has; conv1 goes pixel by pixel: 28 gives 20.",
)
def stride_twice(*sizes):
    return _traced(*sizes, conv1=lambda size: (size - 9) // 2 + 1)


@shapes_and_parameters.misconception(
    "padding",
    "Your conv1 keeps the image's size, as if there were zeros around it. CapsNet pads nothing: a kernel of 9 makes "
    "an image 8 smaller.",
)
def padded(*sizes):
    return _traced(*sizes, conv1=lambda size: size)


@shapes_and_parameters.misconception(
    "256 capsules",
    "You count types · dim capsules, 256 for the paper: those are the channels. The dim channels of one type together "
    "make one capsule, and there is one at each of the 6 · 6 places: 32 · 6 · 6 = 1,152.",
)
def channels_as_capsules(*sizes):
    return _traced(*sizes, capsules=lambda types, dim, side: types * dim)


@shapes_and_parameters.misconception(
    "numbers counted as capsules",
    "You count every number of the second map as a capsule, 9,216 for the paper. A capsule is a vector: dim numbers "
    "make one, so there are 32 · 6 · 6 = 1,152.",
)
def numbers_as_capsules(*sizes):
    return _traced(*sizes, capsules=lambda types, dim, side: types * dim * side * side)


@shapes_and_parameters.misconception(
    "numbers counted as capsules",
    "Your parameters are right, but you count every number of the second map as a capsule, 9,216 for the paper. A "
    "capsule is a vector: dim numbers make one, so there are 32 · 6 · 6 = 1,152.",
)
def numbers_as_capsules_of_one(*sizes):
    return _traced(
        *sizes,
        capsules=lambda types, dim, side: types * dim * side * side,
        matrices=lambda u, side, types, dim, classes, out_dim: u * classes * out_dim,
    )


@shapes_and_parameters.misconception(
    "positions forgotten",
    "You count one capsule for each type, 32 for the paper. Each type has a capsule at every place of the map: "
    "32 · 6 · 6 = 1,152.",
)
def types_as_capsules(*sizes):
    return _traced(*sizes, capsules=lambda types, dim, side: types)


@shapes_and_parameters.misconception(
    "positions forgotten",
    "You count the places of one side only, types · side. The map is side × side: 32 · 6 · 6 capsules in the paper.",
)
def one_side_only(*sizes):
    return _traced(*sizes, capsules=lambda types, dim, side: types * side)


@shapes_and_parameters.misconception(
    "digit bias forgotten",
    "All is right but for the biases of the class capsules: a vector of out_dim numbers for each class, added in every "
    "iteration before squash; 160 in the paper's size.",
)
def no_digit_bias(*sizes):
    return _traced(*sizes, bias=lambda u, classes, out_dim: 0)


@shapes_and_parameters.misconception(
    "digit bias forgotten",
    "You give each class capsule one bias. It is added to the capsule's vector, so it has out_dim numbers for each "
    "class; 160 in the paper's size, not 10.",
)
def one_bias_for_each_class(*sizes):
    return _traced(*sizes, bias=lambda u, classes, out_dim: classes)


@shapes_and_parameters.misconception(
    "a bias for each matrix",
    "You give every matrix a bias of its own. A class capsule has one bias vector, added to the sum of all votes: "
    "classes · out_dim numbers in all.",
)
def bias_for_each_matrix(*sizes):
    return _traced(*sizes, bias=lambda u, classes, out_dim: u * classes * out_dim)


@shapes_and_parameters.misconception(
    "biases of the filters forgotten",
    "The biases of both convolutions are missing: each filter has one, 256 + 256 in the paper.",
)
def no_filter_biases(*sizes):
    return _traced(*sizes, kernels=lambda filters, depth: filters * 81 * depth)


@shapes_and_parameters.misconception(
    "one bias for each layer",
    "You give each convolution a single bias. Every filter has its own: 256 and 256 in the paper.",
)
def one_bias_for_each_layer(*sizes):
    return _traced(*sizes, kernels=lambda filters, depth: filters * 81 * depth + 1)


@shapes_and_parameters.misconception(
    "all biases forgotten",
    "All biases are missing: one for each filter of the two convolutions, and out_dim for each class capsule.",
)
def no_biases(*sizes):
    return _traced(
        *sizes,
        kernels=lambda filters, depth: filters * 81 * depth,
        bias=lambda u, classes, out_dim: 0,
    )


@shapes_and_parameters.misconception(
    "depth of the filters forgotten",
    "Your filters are 9×9 and flat. A filter reaches through all channels that come in: 9 · 9 · depth weights.",
)
def flat_filters(*sizes):
    return _traced(*sizes, kernels=lambda filters, depth: filters * 82)


@shapes_and_parameters.misconception(
    "depth of the filters forgotten",
    "The filters of your second convolution are as deep as the image. What they see is conv1's output: their depth is "
    "`channels`.",
)
def filters_see_the_image(*sizes):
    return _traced(*sizes, depth=lambda in_channels, channels: in_channels)


@shapes_and_parameters.misconception(
    "9 weights in a filter",
    "Your filters have 9 weights for each channel. A 9×9 filter has 81.",
)
def nine_weights(*sizes):
    return _traced(*sizes, kernels=lambda filters, depth: filters * (9 * depth + 1))


@shapes_and_parameters.misconception(
    "one filter for each type",
    "Your second convolution has one filter for each type. A filter makes one number at each place, and a capsule has "
    "dim of them: types · dim filters.",
)
def filter_for_each_type(*sizes):
    return _traced(*sizes, filters=lambda types, dim: types)


@shapes_and_parameters.misconception(
    "matrices shared over the places",
    "Your matrices are shared by all places of a type, as a convolution would do. In CapsNet every one of the capsules "
    "has its own: capsules · dim · classes · out_dim numbers.",
)
def shared_matrices(*sizes):
    return _traced(*sizes, matrices=lambda u, side, types, dim, classes, out_dim: types * dim * classes * out_dim)


@shapes_and_parameters.misconception(
    "one matrix for all classes",
    "Each of your capsules has one matrix. It votes for each class by another one: dim · out_dim numbers for every "
    "pair of a capsule and a class.",
)
def one_matrix_for_all_classes(*sizes):
    return _traced(*sizes, matrices=lambda u, side, types, dim, classes, out_dim: u * dim * out_dim)


@shapes_and_parameters.misconception(
    "votes instead of matrices",
    "You count the numbers of the votes, capsules · classes · out_dim. A vote is made by a matrix from the capsule's "
    "dim numbers: dim times as many.",
)
def votes_as_parameters(*sizes):
    return _traced(*sizes, matrices=lambda u, side, types, dim, classes, out_dim: u * classes * out_dim)


@shapes_and_parameters.misconception(
    "matrices of one number",
    "You count one number for each pair of a capsule and a class. It is a matrix, dim × out_dim.",
)
def single_weights(*sizes):
    return _traced(*sizes, matrices=lambda u, side, types, dim, classes, out_dim: u * classes)


@shapes_and_parameters.misconception(
    "matrices forgotten",
    "You count the convolutions and the class capsules' biases, but not the matrices that make the votes: dim · "
    "out_dim numbers for every pair of a capsule and a class.",
)
def no_matrices(*sizes):
    return _traced(*sizes, matrices=lambda u, side, types, dim, classes, out_dim: 0)


@shapes_and_parameters.misconception(
    "convolutions forgotten",
    "You count the class capsules' matrices and biases only. The filters of both convolutions are learned, too.",
)
def no_convolutions(*sizes):
    return _traced(*sizes, kernels=lambda filters, depth: 0)


@shapes_and_parameters.misconception(
    "logits counted",
    "You count the logits of routing as parameters, one for each pair of a capsule and a class. They are not learned: "
    "they start at 0 for every image and are thrown away after it.",
)
def logits_counted(*sizes):
    u = _traced(*sizes)[2]
    return _traced(*sizes, also=u * sizes[5])


@shapes_and_parameters.misconception(
    "decoder counted",
    "You count the paper's decoder, too (fully connected, 512, 1,024 and the pixels). The task asks for the way from "
    "the image to the class capsules.",
)
def decoder_counted(*sizes):
    pixels, v = sizes[1] * sizes[0] ** 2, sizes[5] * sizes[6]
    return _traced(*sizes, also=(v + 1) * 512 + 513 * 1024 + 1025 * pixels)


# --- primary capsules ---------------------------------------------------------------------------------------


def _features(rng: np.random.Generator) -> list[Case]:
    def case(n, channels, height, width, types, dim, size):
        features = np.maximum(0, rng.normal(size=(n, channels, height, width)))
        weight = rng.normal(size=(types * dim, channels, size, size)) / size
        return Case(real(features), real(weight), real(rng.normal(size=types * dim)), types)

    return [
        Case(real([[[[2]]]]), real([1, -2, 0, 1]).reshape(4, 1, 1, 1), real([1, 0, 1, 2]), 2),
        Case(real([[[[1, 5, 0], [5, 5, 5]]]]), real([1, 2, -2, 3]).reshape(4, 1, 1, 1), real([1, -1, 0, 2]), 2),
        case(2, 3, 7, 9, 2, 3, 3),
        case(3, 2, 11, 9, 3, 4, 4),
    ]


def _by_type_and_place(maps, types):
    """(N, types · dim, h, w) → (N, types, h, w, dim)."""
    n, channels, height, width = maps.shape
    return maps.reshape(n, types, channels // types, height, width).transpose(0, 1, 3, 4, 2)


def _listed(capsules):
    """All places and types in one axis: (N, ..., dim) → (N, I, dim)."""
    return capsules.reshape(len(capsules), -1, capsules.shape[-1])


def _primary(features, weight, bias, types):
    return squash(_listed(_by_type_and_place(conv2d(features, weight, bias, stride=2), types)))


primary_capsules = Task(
    name="11.primary_capsules",
    title="Primary capsules",
    difficulty=3,
    minutes=25,
    practises="which numbers of a map make one vector: reshape and transpose",
    reference=_primary,
    inputs=_features,
    returns=("capsules",),
    hints=[
        "Channels k · dim to k · dim + dim - 1 belong to type k. Reshape so that the axis of channels becomes two: "
        "(N, types, dim, h, w). Nothing is moved by that.",
        "Now the dim numbers of a capsule lie far apart, with all places between them. Bring their axis to the end, "
        "`.transpose(0, 1, 3, 4, 2)`, and only then make one axis of types, rows and columns.",
        "`maps = zh.conv2d(features, weight, bias, stride=2)`, `n, channels, h, w = maps.shape`, "
        "`vectors = maps.reshape(n, types, -1, h, w).transpose(0, 1, 3, 4, 2)`, then "
        "`zh.squash(vectors.reshape(n, types * h * w, -1))`.",
    ],
)


@primary_capsules.misconception(
    "no transpose",
    "You reshape without a transpose: a vector is made of neighbouring places of one channel. A capsule's numbers come "
    "from dim channels at one place: bring the axis of these channels to the end before you flatten.",
)
def no_transpose(features, weight, bias, types):
    maps = conv2d(features, weight, bias, stride=2)
    return squash(maps.reshape(len(maps), -1, maps.shape[1] // types))


@primary_capsules.misconception(
    "no transpose",
    "Two things: there is a ReLU before squash, which takes away all negative numbers; and you reshape without a "
    "transpose, so that a vector is made of neighbouring places of one channel instead of dim channels at one place.",
)
def relu_and_no_transpose(features, weight, bias, types):
    maps = relu(conv2d(features, weight, bias, stride=2))
    return squash(maps.reshape(len(maps), -1, maps.shape[1] // types))


@primary_capsules.misconception(
    "channels dealt out in turn",
    "You read the channels as (dim, types): type 0 gets channel 0, type 1 channel 1, and so on in turn. Here the dim "
    "channels of a type lie next to each other: (types, dim).",
)
def dealt_out(features, weight, bias, types):
    maps = conv2d(features, weight, bias, stride=2)
    n, channels, height, width = maps.shape
    maps = maps.reshape(n, channels // types, types, height, width)
    return squash(_listed(maps.transpose(0, 2, 3, 4, 1)))


@primary_capsules.misconception(
    "types and dim exchanged",
    "Your capsules have `types` numbers each. There are `types` kinds of capsules, and each has "
    "dim = channels // types numbers.",
)
def types_as_dim(features, weight, bias, types):
    maps = conv2d(features, weight, bias, stride=2)
    return squash(_listed(_by_type_and_place(maps, maps.shape[1] // types)))


@primary_capsules.misconception(
    "capsules in another order",
    "Your capsules are the right ones in the order (row, column, type). The order asked for is (type, row, column): "
    "first all places of type 0.",
)
def place_first(features, weight, bias, types):
    capsules = _by_type_and_place(conv2d(features, weight, bias, stride=2), types)
    return squash(_listed(capsules.transpose(0, 2, 3, 1, 4)))


@primary_capsules.misconception(
    "capsules in another order",
    "Your capsules are the right ones with rows and columns exchanged: they run down the columns. The order asked for "
    "is (type, row, column).",
)
def columns_first(features, weight, bias, types):
    capsules = _by_type_and_place(conv2d(features, weight, bias, stride=2), types)
    return squash(_listed(capsules.swapaxes(2, 3)))


@primary_capsules.misconception(
    "ReLU kept",
    "You put a ReLU before squash, so no capsule has a negative number. Here the direction says in which pose a part "
    "is, and it may point anywhere: no ReLU.",
)
def relu_before(features, weight, bias, types):
    return squash(_listed(_by_type_and_place(relu(conv2d(features, weight, bias, stride=2)), types)))


@primary_capsules.misconception(
    "ReLU kept",
    "You put a ReLU after squash, so no capsule has a negative number. The direction of a capsule may point anywhere: "
    "no ReLU.",
)
def relu_after(features, weight, bias, types):
    return relu(_primary(features, weight, bias, types))


@primary_capsules.misconception(
    "ReLU kept",
    "You have a ReLU where squash should be. Squash is the non-linearity of capsules: it changes the length of the "
    "whole vector and leaves its direction.",
)
def relu_instead(features, weight, bias, types):
    return relu(_listed(_by_type_and_place(conv2d(features, weight, bias, stride=2), types)))


@primary_capsules.misconception(
    "squash over the types",
    "Your lengths are summed over the types. One vector is one type's dim numbers at one place: squash them along the "
    "last axis, dim.",
)
def squashed_over_types(features, weight, bias, types):
    return _listed(squash(_by_type_and_place(conv2d(features, weight, bias, stride=2), types), axis=1))


@primary_capsules.misconception(
    "squash over the wrong axis",
    "Your lengths are summed over the capsules of an image (axis 1). A vector lies along the last axis, dim.",
)
def squashed_over_capsules(features, weight, bias, types):
    return squash(_listed(_by_type_and_place(conv2d(features, weight, bias, stride=2), types)), axis=1)


@primary_capsules.misconception(
    "squash before the grouping",
    "You squash all channels of a place as one vector. Each type has a vector of its own there: group the channels by "
    "type first, then squash dim numbers at a time.",
)
def squashed_over_channels(features, weight, bias, types):
    return _listed(_by_type_and_place(squash(conv2d(features, weight, bias, stride=2), axis=1), types))


@primary_capsules.misconception(
    "squash before the grouping",
    "You squash the map along its last axis, which is the columns. Group the channels by type first, and bring their "
    "axis to the end; then squash.",
)
def squashed_over_columns(features, weight, bias, types):
    return _listed(_by_type_and_place(squash(conv2d(features, weight, bias, stride=2)), types))


@primary_capsules.misconception(
    "no squash",
    "Your vectors are the right ones before squash. A capsule's length is meant as a probability, so it "
    "has to stay below 1: `zh.squash`.",
)
def not_squashed(features, weight, bias, types):
    return _listed(_by_type_and_place(conv2d(features, weight, bias, stride=2), types))


@primary_capsules.misconception(
    "stride forgotten",
    "Your convolution has stride 1, so there are about four times as many capsules. It goes two pixels at a time: "
    "`stride=2`.",
)
def no_stride_in_primary(features, weight, bias, types):
    return squash(_listed(_by_type_and_place(conv2d(features, weight, bias), types)))


@primary_capsules.misconception(
    "bias forgotten",
    "Your convolution has no bias: give it as the third argument, `zh.conv2d(features, weight, bias, stride=2)`.",
)
def no_bias(features, weight, bias, types):
    return squash(_listed(_by_type_and_place(conv2d(features, weight, stride=2), types)))


@primary_capsules.misconception(
    "bias after squash",
    "You add the bias after squash. It belongs to the convolution, before squash; afterwards a vector could be longer "
    "than 1.",
)
def bias_at_the_end(features, weight, bias, types):
    vectors = _by_type_and_place(conv2d(features, weight, stride=2), types)
    return _listed(squash(vectors) + bias.reshape(types, 1, 1, -1))


@primary_capsules.misconception(
    "images in one list",
    "You put the capsules of all images into one list. Keep the first axis: (N, capsules, dim).",
)
def one_list(features, weight, bias, types):
    return _primary(features, weight, bias, types).reshape(-1, len(weight) // types)


@primary_capsules.misconception(
    "types in an axis of their own",
    "Your capsules are right, but in shape (N, types, h · w, dim). Routing doesn't ask for their type: one axis for "
    "all, (N, types · h · w, dim).",
)
def types_apart(features, weight, bias, types):
    capsules = _primary(features, weight, bias, types)
    return capsules.reshape(len(capsules), types, -1, capsules.shape[2])


@primary_capsules.misconception(
    "types in an axis of their own",
    "Your capsules are right, but in shape (N, types, h, w, dim). Routing doesn't ask for their type and place: one "
    "axis for all, (N, types · h · w, dim).",
)
def types_and_places_apart(features, weight, bias, types):
    return squash(_by_type_and_place(conv2d(features, weight, bias, stride=2), types))


@primary_capsules.misconception(
    "lengths returned",
    "You return the capsules' lengths. The vectors are asked for: direction is half of what a capsule says.",
)
def primary_lengths(features, weight, bias, types):
    return _length(_primary(features, weight, bias, types))


# --- margin loss --------------------------------------------------------------------------------------------


def _of_length(lengths, directions):
    """Vectors of the given lengths: (...) and (..., Q) → (..., Q)."""
    return real(np.asarray(lengths)[..., None] * directions / _length(directions)[..., None])


def _scored(rng: np.random.Generator) -> list[Case]:
    ten = np.full((1, 10, 2), [0.18, -0.24])
    ten[0, 4] = [-0.4, 0.3]
    return [
        Case(real([[[0.3, -0.4], [0, 0.3]]]), np.array([0])),
        Case(real(ten), np.array([4])),
        Case(_of_length([[0.95, 0.05, 0.4], [0.6, 0.2, 0.97]], rng.normal(size=(2, 3, 2))), np.array([0, 1])),
        Case(
            _of_length(rng.uniform(size=(4, 3, 5)), rng.normal(size=(4, 3, 5, 2)))[:, :, :, 0], np.array([2, 0, 1, 1])
        ),
        Case(_of_length(rng.uniform(size=(3, 5)), rng.normal(size=(3, 5, 4))), np.array([4, 0, 2])),
    ]


margin_loss = Task(
    name="11.margin_loss",
    title="Margin loss",
    difficulty=3,
    minutes=20,
    practises="a loss on lengths, in which several classes may be there",
    reference=lambda v, labels: library_margin_loss(v, labels),
    inputs=_scored,
    returns=("loss",),
    hints=[
        "The lengths first: (N, J, Q) → (N, J). Then a table T of the same shape: 1 where the class is the label, "
        "else 0.",
        "`T = np.arange(J) == labels[:, None]` compares every class with every label. What is missing is "
        "`np.maximum(0, 0.9 - length)`, what is too much `np.maximum(0, length - 0.1)`; both are squared.",
        "`losses = T * missing**2 + 0.5 * (1 - T) * excess**2` is (N, J); add up over the classes, then take the mean "
        "over the images: `losses.sum(axis=1).mean()`.",
    ],
)


def _margin(
    v, labels, *,
    length=_length,
    target=lambda labels, v: np.arange(v.shape[1]) == labels[:, None],
    high=0.9, low=0.1, present=1.0, absent=0.5, power=2,
    clip=lambda x: np.maximum(0, x),
    add=lambda losses: losses.sum(axis=1).mean(),
):  # fmt: skip
    """The right loss with one of its parts replaced."""
    lengths, t = length(v), target(labels, v) * 1.0
    missing, excess = clip(high - lengths), clip(lengths - low)
    return add(present * t * missing**power + absent * (1 - t) * excess**power)


@margin_loss.misconception(
    "not squared",
    "Your missing and excess lengths are not squared. Squared, a small miss counts little and a large one much: for "
    "lengths 0.5 (the label's) and 0.3 (nine others) the loss is 0.34, yours is 1.3.",
)
def not_squared(v, labels):
    return _margin(v, labels, power=1)


@margin_loss.misconception(
    "λ on the present class",
    "Your 0.5 stands before the label's class. It belongs to the absent classes: they are many, and without it they "
    "would shrink all capsules in the first steps of the training.",
)
def lambda_on_the_present(v, labels):
    return _margin(v, labels, present=0.5, absent=1.0)


@margin_loss.misconception(
    "λ forgotten",
    "Your absent classes count as much as the present one. Multiply their part by λ = 0.5.",
)
def no_lambda(v, labels):
    return _margin(v, labels, absent=1.0)


@margin_loss.misconception(
    "λ on both",
    "Your loss is half of the right one: 0.5 stands before both parts. Only the absent classes count half.",
)
def lambda_on_both(v, labels):
    return _margin(v, labels, present=0.5)


@margin_loss.misconception(
    "softmax first",
    "You take a softmax of the lengths. Then they would always add up to 1, and one class could be long only if the "
    "others are short. The margin loss takes the lengths as they are: two digits may be there at once, or none.",
)
def softmax_first(v, labels):
    return _margin(v, labels, length=lambda v: softmax(_length(v), axis=1))


@margin_loss.misconception(
    "margins exchanged",
    "Your 0.9 and 0.1 are exchanged. The present class should be at least 0.9 long, so 0.9 - length is missing; an "
    "absent one at most 0.1, so length - 0.1 is too much.",
)
def margins_exchanged(v, labels):
    return _margin(v, labels, high=0.1, low=0.9)


@margin_loss.misconception(
    "1 and 0 for 0.9 and 0.1",
    "Your loss wants lengths of exactly 1 and 0. Squash never reaches 1; from 0.9 on a present class is long enough, "
    "and up to 0.1 an absent one is short enough.",
)
def one_and_zero(v, labels):
    return _margin(v, labels, high=1, low=0)


@margin_loss.misconception(
    "max(0, …) forgotten",
    "You have no max(0, …): a present class longer than 0.9 and an absent one shorter than 0.1 are punished, though "
    "they are as they should be.",
)
def not_clipped(v, labels):
    return _margin(v, labels, clip=lambda x: x)


@margin_loss.misconception(
    "max(0, …) forgotten",
    "You take the size of each difference, |0.9 - length|. A present class that is longer than 0.9 is right: "
    "max(0, …) makes its part 0.",
)
def absolute_not_squared(v, labels):
    return _margin(v, labels, clip=np.abs, power=1)


@margin_loss.misconception(
    "no square root",
    "Your lengths are the sums of the squares: the square root is missing. The length of (0.3, 0.4) is 0.5, not 0.25.",
)
def no_root(v, labels):
    return _margin(v, labels, length=lambda v: (v * v).sum(axis=2))


@margin_loss.misconception(
    "sum instead of length",
    "You add up a capsule's numbers. Its length is the root of the sum of their squares: (0.3, -0.4) is 0.5 long.",
)
def sum_as_length(v, labels):
    return _margin(v, labels, length=lambda v: v.sum(axis=2))


@margin_loss.misconception(
    "sum instead of length",
    "You add up the sizes of a capsule's numbers. Its length is the root of the sum of their squares: (0.3, -0.4) is "
    "0.5 long, not 0.7.",
)
def sum_of_sizes_as_length(v, labels):
    return _margin(v, labels, length=lambda v: np.abs(v).sum(axis=2))


@margin_loss.misconception(
    "prediction as target",
    "Your T is 1 for the longest capsule. It is 1 for the true class, which is what `labels` says; else a network "
    "would learn that it is right.",
)
def prediction_as_target(v, labels):
    return _margin(v, labels, target=lambda labels, v: np.arange(v.shape[1]) == _length(v).argmax(1)[:, None])


@margin_loss.misconception(
    "labels without a second axis",
    "You compare J classes with N labels, and NumPy can't line them up. Every class meets every label in a table (N, "
    "J): give the labels a second axis, `np.arange(J) == labels[:, None]`.",
)
def labels_without_axis(v, labels):
    return _margin(v, labels, target=lambda labels, v: np.arange(v.shape[1]) == labels)


@margin_loss.misconception(
    "labels without a second axis",
    "You compare J classes with N labels, and NumPy can't line them up. Every class meets every label in a table (N, "
    "J): give the labels a second axis, `np.arange(J) == labels[:, None]`.",
)
def labels_without_axis_first(v, labels):
    return _margin(v, labels, target=lambda labels, v: labels == np.arange(v.shape[1]))


@margin_loss.misconception(
    "label as a factor",
    "You multiply by the label itself, 4 for a four. T is 1 or 0 for each class: `np.arange(J) == labels[:, None]`, "
    "with shape (N, J).",
)
def label_as_factor(v, labels):
    return _margin(v, labels, target=lambda labels, v: labels[:, None])


@margin_loss.misconception(
    "absent classes forgotten",
    "Your loss looks at the present class alone. Then all capsules may be long: the absent classes add "
    "0.5 · max(0, length - 0.1)² each.",
)
def present_only(v, labels):
    return _margin(v, labels, absent=0)


@margin_loss.misconception(
    "present class forgotten",
    "Your loss looks at the absent classes alone. Then all capsules may be 0: the present class adds "
    "max(0, 0.9 - length)².",
)
def absent_only(v, labels):
    return _margin(v, labels, present=0)


@margin_loss.misconception(
    "excess of all classes",
    "Your second part counts the present class, too: it is pulled up and pushed down at once. (1 - T) leaves it out.",
)
def excess_of_all(v, labels):
    lengths = _length(v)
    missing = np.maximum(0, 0.9 - lengths[np.arange(len(v)), labels]) ** 2
    return (missing + 0.5 * (np.maximum(0, lengths - 0.1) ** 2).sum(axis=1)).mean()


@margin_loss.misconception(
    "only the worst rival",
    "Of the absent classes you count only the longest. All of them count: the sum runs over the classes.",
)
def worst_rival(v, labels):
    lengths, t = _length(v), np.arange(v.shape[1]) == labels[:, None]
    excess = np.maximum(0, lengths - 0.1) ** 2 * ~t
    return ((np.maximum(0, 0.9 - lengths) ** 2 * t).sum(axis=1) + 0.5 * excess.max(axis=1)).mean()


@margin_loss.misconception(
    "summed over the batch",
    "Your loss is the sum over the images. Take the mean, so that it doesn't grow with the batch.",
)
def summed_over_the_batch(v, labels):
    return _margin(v, labels, add=np.sum)


@margin_loss.misconception(
    "averaged over the classes",
    "You average over the classes, too. The loss of an image is the sum over its classes; only over the images is the "
    "mean taken.",
)
def averaged_over_the_classes(v, labels):
    return _margin(v, labels, add=np.mean)


@margin_loss.misconception(
    "one loss for each image",
    "You return one loss for each image. One number for the batch is asked for: their mean.",
)
def a_loss_for_each(v, labels):
    return _margin(v, labels, add=lambda losses: losses.sum(axis=1))


@margin_loss.misconception(
    "lengths along the classes",
    "Your lengths run over the classes (axis 1), so there are Q of them and not J. A capsule's numbers lie "
    "along the last axis: `(v * v).sum(axis=2)`.",
)
def lengths_along_the_classes(v, labels):
    return _margin(v, labels, length=lambda v: _length(v, axis=1))


@margin_loss.misconception(
    "lengths along the classes",
    "Your lengths run over the classes (axis 1), so there are Q of them and not J. A capsule's numbers lie "
    "along the last axis: `(v * v).sum(axis=2)`.",
)
def lengths_along_the_classes_first(v, labels):
    missing = np.maximum(0, 0.9 - _length(v, axis=1))
    return (missing**2 * (np.arange(v.shape[1]) == labels[:, None])).sum()


@margin_loss.misconception(
    "cross-entropy",
    "Your output is the cross-entropy of a softmax of the lengths. Lengths are no scores that compete; the margin loss "
    "asks each class by itself whether it is long enough, or short enough.",
)
def cross_entropy(v, labels):
    return -np.log(softmax(_length(v), axis=1))[np.arange(len(v)), labels].mean()


# --- mask ---------------------------------------------------------------------------------------------------


def _capsules_and_labels(rng: np.random.Generator) -> list[Case]:
    small = real([[[0.3, -0.4, 0], [0, 0, -0.8]]])
    several = real([[[0.6, 0.1], [0.5, 0.4], [-0.7, -0.2]], [[0.2, 0.3], [0, 0], [0.1, -0.2]]])
    four, three = rng.uniform(-0.5, 0.5, size=(4, 3, 5)), rng.uniform(-0.5, 0.5, size=(3, 5, 2))
    return [
        Case(small, np.array([0])),
        Case(small),
        Case(several, np.array([1, 2])),
        Case(several),
        Case(real(four), np.array([2, 0, 0, 1])),
        Case(real(four)),
        Case(real(three), np.array([4, 3, 0])),
        Case(real(three)),
    ]


mask = Task(
    name="11.mask",
    title="Mask for the decoder",
    difficulty=2,
    minutes=15,
    practises="the label in training, the prediction afterwards",
    reference=lambda v, labels=None: mask_capsules(v, labels) + 0,  # 0 · -0.4 is -0, which is shown so; + 0 makes it 0
    inputs=_capsules_and_labels,
    returns=("masked",),
    hints=[
        "Two questions: which class is kept, and how are the others set to 0? With `labels` the class is given; "
        "`if labels is None` it is the longest capsule's.",
        "The longest: `(v * v).sum(axis=2).argmax(axis=1)`, one class for each image. The mask: "
        "`np.arange(J) == kept[:, None]` is (N, J), true once in each row.",
        "The mask gets an axis for the numbers of a capsule, `v * mask[..., None]`; then flatten all but the images, "
        "`zh.flatten(...)` or `.reshape(len(v), -1)`.",
    ],
)


def _longest(v):
    return (v * v).sum(axis=2).argmax(axis=1)


def _masked(v, labels, *, predict=_longest, keep=lambda kept, j: np.arange(j) == kept[:, None]):
    """The right mask with one of its parts replaced."""
    kept = predict(v) if labels is None else labels
    return (v * keep(kept, v.shape[1])[..., None]).reshape(len(v), -1)


@mask.misconception(
    "prediction in training",
    "You keep the longest capsule even where labels are given. In training the true class is kept, so that the decoder "
    "learns to draw it from its own capsule; else a wrong prediction trains the wrong capsule.",
)
def always_the_prediction(v, labels=None):
    return _masked(v, None)


@mask.misconception(
    "argmax over the dimensions",
    "Your lengths run over the classes (axis 1), so the largest is a dimension's number, not a class. Sum the squares "
    "over axis 2, the numbers of one capsule; then take the argmax over the classes.",
)
def argmax_over_the_dimensions(v, labels=None):
    return _masked(v, labels, predict=lambda v: (v * v).sum(axis=1).argmax(axis=1))


@mask.misconception(
    "largest number instead of longest capsule",
    "Without labels you keep the capsule with the largest single number. The prediction is the longest capsule: "
    "compare the sums of the squares.",
)
def largest_number(v, labels=None):
    return _masked(v, labels, predict=lambda v: v.max(axis=2).argmax(axis=1))


@mask.misconception(
    "largest number instead of longest capsule",
    "Without labels you keep the capsule with the largest single number, whatever its sign. The prediction is the "
    "longest capsule: compare the sums of the squares.",
)
def largest_size(v, labels=None):
    return _masked(v, labels, predict=lambda v: np.abs(v).max(axis=2).argmax(axis=1))


@mask.misconception(
    "sum instead of length",
    "Without labels you keep the capsule whose numbers have the largest sum. Negative numbers make a capsule longer, "
    "too: compare the sums of the squares.",
)
def largest_sum(v, labels=None):
    return _masked(v, labels, predict=lambda v: v.sum(axis=2).argmax(axis=1))


@mask.misconception(
    "shortest capsule",
    "Without labels you keep the shortest capsule. Length says how surely a class is there: keep the longest.",
)
def shortest(v, labels=None):
    return _masked(v, labels, predict=lambda v: (v * v).sum(axis=2).argmin(axis=1))


@mask.misconception(
    "one prediction for the whole batch",
    "Without labels you keep the same class in every image. Each image has its own longest capsule: `argmax(axis=1)` "
    "gives one class for each.",
)
def one_for_all(v, labels=None):
    return _masked(v, labels, predict=lambda v: np.full(len(v), _length(v).sum(axis=0).argmax()))


@mask.misconception(
    "one prediction for the whole batch",
    "Your argmax has no axis: it is the place of the one longest capsule, counted through the whole batch. "
    "`argmax(axis=1)` gives one class for each image.",
)
def argmax_without_axis(v, labels=None):
    return _masked(v, labels, predict=lambda v: np.full(len(v), _length(v).argmax()))


@mask.misconception(
    "all labels in every image",
    "You keep in every image the capsules of all labels of the batch: `[:, labels]` takes them all, for each image. "
    "One is kept in each: pair the images with their labels, `[np.arange(len(v)), labels]`.",
)
def all_labels(v, labels=None):
    return _masked(v, labels, keep=lambda kept, j: np.tile(np.isin(np.arange(j), kept), (len(kept), 1)))


@mask.misconception(
    "classes without a second axis",
    "You compare J classes with the N that are kept, and NumPy can't line them up. Every class meets every kept one in "
    "a table (N, J): `np.arange(J) == kept[:, None]`.",
)
def kept_without_axis(v, labels=None):
    return _masked(v, labels, keep=lambda kept, j: np.tile(np.arange(j) == kept, (len(kept), 1)))


@mask.misconception(
    "classes without a second axis",
    "You compare the N classes that are kept with all J, and NumPy can't line them up. Every class meets every kept "
    "one in a table (N, J): `np.arange(J) == kept[:, None]`.",
)
def kept_without_axis_first(v, labels=None):
    return _masked(v, labels, keep=lambda kept, j: np.tile(kept == np.arange(j), (len(kept), 1)))


@mask.misconception(
    "slices instead of zeroing",
    "You return only the capsule that is kept, (N, Q). The decoder takes all J · Q numbers, with zeros for the others: "
    "where the numbers stand tells it which digit to draw.",
)
def sliced(v, labels=None):
    return v[np.arange(len(v)), _longest(v) if labels is None else labels]


@mask.misconception(
    "not flattened",
    "Your mask is right, but the shape is (N, J, Q). The decoder's first layer takes one row for each image: "
    "`.reshape(len(v), -1)`.",
)
def not_flattened(v, labels=None):
    return _masked(v, labels).reshape(v.shape)


@mask.misconception(
    "batch flattened",
    "You flatten the images into one long row. Keep the first axis: (N, J · Q).",
)
def batch_flattened(v, labels=None):
    return _masked(v, labels).ravel()


@mask.misconception(
    "dimensions first",
    "Your rows run through the dimensions first, (Q, J). The numbers of one capsule stay next to each other: flatten "
    "(J, Q) as it is.",
)
def dimensions_first(v, labels=None):
    return _masked(v, labels).reshape(v.shape).swapaxes(1, 2).reshape(len(v), -1)


@mask.misconception(
    "mask turned round",
    "You set the chosen capsule to 0 and keep the others. The chosen one is kept.",
)
def turned_round(v, labels=None):
    return _masked(v, labels, keep=lambda kept, j: np.arange(j) != kept[:, None])


@mask.misconception(
    "nothing masked",
    "You hand on all capsules. Then the decoder could draw from any of them, and the label's capsule would learn "
    "nothing about the drawing: set the others to 0.",
)
def nothing_masked(v, labels=None):
    return v.reshape(len(v), -1)


@mask.misconception(
    "nothing masked",
    "With labels your output is right; without them nothing is masked. Then the prediction decides: keep the longest "
    "capsule.",
)
def nothing_masked_without_labels(v, labels=None):
    return v.reshape(len(v), -1) if labels is None else _masked(v, labels)


@mask.misconception(
    "lengths instead of vectors",
    "You hand on the length of the kept capsule. The decoder draws from the pose, which is in the vector's direction: "
    "keep all its numbers.",
)
def masked_lengths(v, labels=None):
    return _length(_masked(v, labels).reshape(v.shape))


@mask.misconception(
    "mask without the vectors",
    "Your output is the mask itself, ones where the capsule is kept. Multiply it by v.",
)
def mask_itself(v, labels=None):
    return _masked(np.ones_like(v), labels)


@mask.misconception(
    "`if labels`",
    "You ask `if labels:`. An array is no true or false: one label 0 counts as none, and several labels are an error. "
    "Ask `if labels is None:`.",
)
def truth_of_labels(v, labels=None):
    return _masked(v, labels if labels else None)


# --- total loss ---------------------------------------------------------------------------------------------


def _images_and_drawings(rng: np.random.Generator) -> list[Case]:
    def case(n, classes, dim, channels, height, width, labels):
        v = _of_length(rng.uniform(size=(n, classes)), rng.normal(size=(n, classes, dim)))
        images = rng.uniform(size=(n, channels, height, width))
        drawn = rng.uniform(0.01, 0.99, size=(n, channels * height * width))
        return Case(v, np.array(labels), real(drawn), real(images))

    sure = real([[[0, -0.95], [0.03, 0.04]]])
    return [
        Case(sure, np.array([0]), real([[0.5, 0.9, 0.2, 0.1]]), real([[[[0, 1], [0, 0.5]]]])),
        Case(sure, np.array([1]), real([[0.5, 0.9, 0.2, 0.1]]), real([[[[0, 1], [0, 0.5]]]])),
        case(2, 3, 4, 1, 5, 9, [2, 0]),
        case(3, 5, 2, 2, 11, 13, [0, 4, 1]),
    ]


def _total(v, labels, drawn, images):
    return library_margin_loss(v, labels) + 0.0005 * reconstruction_loss(drawn, images)


total_loss = Task(
    name="11.total_loss",
    title="Total loss",
    difficulty=3,
    minutes=15,
    practises="what is added up, what is averaged, and what the weight 0.0005 belongs to",
    reference=_total,
    inputs=_images_and_drawings,
    returns=("loss",),
    atol=1e-6,
    hints=[
        "Two numbers are added: the margin loss, as it is, and 0.0005 times the reconstruction loss. That is the sum "
        "of the squared differences over the pixels of an image, then the mean over the images.",
        "The images are (N, C, H, W), the drawings one row for each image: bring both to one shape, "
        "`images.reshape(drawn.shape)`.",
        "`squares = (drawn - images.reshape(drawn.shape)) ** 2`, then "
        "`zh.margin_loss(v, labels) + 0.0005 * squares.sum() / len(images)`.",
    ],
)


def _with_reconstruction(v, labels, drawn, images, measure, *, weight=0.0005, margin_weight=1.0):
    """The right sum with another measure of the difference d (N, pixels), or with other weights."""
    d = drawn - images.reshape(drawn.shape)
    return margin_weight * library_margin_loss(v, labels) + weight * measure(d)


def _squares(d):
    return (d * d).sum() / len(d)


@total_loss.misconception(
    "mean for sum",
    "You take the mean over the pixels. The paper's 0.0005 belongs to the sum; with the mean the drawing counts 784 "
    "times too little for a digit of 28 by 28.",
)
def mean_for_sum(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, lambda d: (d * d).mean())


@total_loss.misconception(
    "summed over the batch",
    "You add up the squares of all images. Take the mean over the images, as the margin loss does; else the drawing "
    "counts more in a larger batch.",
)
def batch_summed(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, lambda d: (d * d).sum())


@total_loss.misconception(
    "normalised target",
    "You compare with images of mean 0 and deviation 1. The decoder ends in a sigmoid and draws numbers from 0 to 1: "
    "compare with the images as they are, or it can never reach them.",
)
def normalised_target(v, labels, drawn, images):
    return _total(v, labels, drawn, (images - images.mean()) / images.std())


@total_loss.misconception(
    "normalised target",
    "You compare with images normalised by MNIST's mean and deviation, 0.1307 and 0.3081. The decoder ends in a "
    "sigmoid and draws numbers from 0 to 1: compare with the images as they are.",
)
def normalised_as_mnist(v, labels, drawn, images):
    return _total(v, labels, drawn, (images - 0.1307) / 0.3081)


@total_loss.misconception(
    "normalised target",
    "You divide the images by 255. Their numbers lie between 0 and 1 already, as those of the drawings do.",
)
def divided_by_255(v, labels, drawn, images):
    return _total(v, labels, drawn, images / 255)


@total_loss.misconception(
    "weight on the margin loss",
    "Your 0.0005 stands before the margin loss, so the drawing counts nearly everything. It belongs to the drawing, a "
    "sum over 784 pixels that would drown the margin loss.",
)
def weight_on_the_margin(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, _squares, weight=1, margin_weight=0.0005)


@total_loss.misconception(
    "weight on both",
    "You multiply the whole sum by 0.0005. Only the drawing's part is weighted; the margin loss counts in full.",
)
def weight_on_both(v, labels, drawn, images):
    return 0.0005 * (library_margin_loss(v, labels) + reconstruction_loss(drawn, images))


@total_loss.misconception(
    "weight forgotten",
    "Your drawing counts in full. Its part is a sum over all pixels and would drown the margin loss: multiply it by "
    "0.0005.",
)
def no_weight(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, _squares, weight=1)


@total_loss.misconception(
    "the weight for the mean",
    "You multiply the sum by 0.392, which is 784 · 0.0005: the weight for the mean over 784 pixels. The sum's weight "
    "is 0.0005.",
)
def weight_for_the_mean(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, _squares, weight=0.392)


@total_loss.misconception(
    "the weight of the authors' code",
    "Your drawing counts 0.01, or 20 times as much as asked for. That is what the authors' code comes to; the text, "
    "and this task, say 0.0005.",
)
def weight_of_the_code(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, _squares, weight=0.01)


@total_loss.misconception(
    "a zero too few",
    "Your drawing counts 0.005, ten times too much. The weight is 0.0005.",
)
def a_zero_too_few(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, _squares, weight=0.005)


@total_loss.misconception(
    "a zero too many",
    "Your drawing counts 0.00005, ten times too little. The weight is 0.0005.",
)
def a_zero_too_many(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, _squares, weight=0.00005)


@total_loss.misconception(
    "half of the squares",
    "Your drawing counts half: there is a factor 1/2 that the paper doesn't have.",
)
def half(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, _squares, weight=0.00025)


@total_loss.misconception(
    "not squared",
    "You add up the sizes of the differences. Their squares are asked for: a pixel that is far off counts much more "
    "than two that are half as far.",
)
def sizes_of_differences(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, lambda d: np.abs(d).sum() / len(d))


@total_loss.misconception(
    "not squared",
    "You add up the differences with their signs, so that too dark and too bright cancel out. Square each one first.",
)
def signed_differences(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, lambda d: d.sum() / len(d))


@total_loss.misconception(
    "square root taken",
    "You take the root of each image's sum of squares, its distance. The paper weights the sum of the squares itself.",
)
def distances(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, lambda d: _length(d).mean())


@total_loss.misconception(
    "cross-entropy for the pixels",
    "Your drawing's part is the cross-entropy of the pixels. The paper takes the sum of the squared differences.",
)
def pixel_cross_entropy(v, labels, drawn, images):
    x = images.reshape(drawn.shape)
    bits = -(x * np.log(drawn) + (1 - x) * np.log(1 - drawn))
    return library_margin_loss(v, labels) + 0.0005 * bits.sum() / len(x)


@total_loss.misconception(
    "subtracted",
    "You subtract the drawing's part, so that a worse drawing would lower the loss. Both parts should become small: "
    "add them.",
)
def part_subtracted(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, _squares, weight=-0.0005)


@total_loss.misconception(
    "drawing forgotten", "Your output is the margin loss alone. Add 0.0005 times the reconstruction loss."
)
def margin_alone(v, labels, drawn, images):
    return library_margin_loss(v, labels)


@total_loss.misconception(
    "margin loss forgotten",
    "Your output is the drawing's part alone. Nothing in it says which class it is: add the margin loss.",
)
def drawing_alone(v, labels, drawn, images):
    return 0.0005 * reconstruction_loss(drawn, images)


@total_loss.misconception(
    "one loss for each image",
    "You return one number for each image, with the margin loss of the batch in each. One number is asked for: take "
    "the mean over the images in both parts.",
)
def a_total_for_each(v, labels, drawn, images):
    return _with_reconstruction(v, labels, drawn, images, lambda d: (d * d).sum(axis=1))


@total_loss.misconception(
    "shapes that don't fit",
    "You subtract images (N, C, H, W) from rows (N, pixels), which NumPy can't line up. Bring both to one shape first: "
    "`images.reshape(drawn.shape)`.",
)
def not_reshaped(v, labels, drawn, images):
    return ((drawn - images) ** 2).sum()


@total_loss.misconception(
    "shapes that don't fit",
    "You subtract rows (N, pixels) from images (N, C, H, W), which NumPy can't line up. Bring both to one shape first: "
    "`images.reshape(drawn.shape)`.",
)
def not_reshaped_either(v, labels, drawn, images):
    return ((images - drawn) ** 2).sum()


# --- perturb a dimension ------------------------------------------------------------------------------------


def _changes(rng: np.random.Generator) -> list[Case]:
    def case(classes, dim, label, dimension, steps):
        v = _of_length(rng.uniform(0.3, 0.95, size=classes), rng.normal(size=(classes, dim)))
        return Case(v, label, dimension, real(steps))

    return [
        Case(real([[0.3, -0.4], [0, 0.9]]), 0, 1, real([-0.2, 0.1, 0.25])),
        case(3, 4, 2, 1, [-0.25, 0, 0.25, 0.1, -0.15]),
        case(4, 3, 1, 2, [0.1, 0.2]),
        case(10, 16, 5, 12, np.arange(-5, 6) * 0.05),
    ]


def _perturbed(v, label, dimension, steps):
    changed = np.stack([v] * len(steps))  # (S, J, Q)
    changed[:, label, dimension] += steps
    return changed


perturb = Task(
    name="11.perturb",
    title="Perturb a dimension",
    difficulty=2,
    minutes=15,
    practises="changing one number of one capsule, after squash",
    reference=_perturbed,
    inputs=_changes,
    returns=("changed",),
    hints=[
        "One step first: a copy of v in which one single number is different. Which index is its class, which its "
        "dimension?",
        "Make as many copies as there are steps, `np.stack([v] * len(steps))`, of shape (S, J, Q). `np.stack` copies: "
        "v itself stays as it was.",
        "`changed[:, label, dimension]` is one number in each copy, (S,): `changed[:, label, dimension] += steps`, and "
        "`return changed`.",
    ],
)


@perturb.misconception(
    "before squash",
    "You squash after the change. v has been squashed already: the paper changes the squashed numbers, and the decoder "
    "gets them as they are.",
)
def squashed_again(v, label, dimension, steps):
    return squash(_perturbed(v, label, dimension, steps))


@perturb.misconception(
    "before squash",
    "You squash the changed capsule again. v has been squashed already: the paper changes the squashed numbers, and "
    "the decoder gets them as they are.",
)
def changed_one_squashed_again(v, label, dimension, steps):
    changed = _perturbed(v, label, dimension, steps)
    changed[:, label] = squash(changed[:, label])
    return changed


@perturb.misconception(
    "before squash",
    "You go back to s, change that, and squash. The paper changes the number after squash: add the steps to v itself.",
)
def changed_before_squash(v, label, dimension, steps):
    n = _length(v)[:, None]  # of v: n = m² / (1 + m²) where m is the length of s
    s = v / n * np.sqrt(n / (1 - n))
    return squash(_perturbed(s, label, dimension, steps))


@perturb.misconception(
    "sets instead of adds",
    "You set the number to the step. The step is added to what is there, so that a step of 0 changes nothing.",
)
def set_to_the_step(v, label, dimension, steps):
    changed = _perturbed(v, label, dimension, steps)
    changed[:, label, dimension] = steps
    return changed


@perturb.misconception(
    "scales instead of adds",
    "You multiply the number by 1 + step. A number near 0 would hardly move; the step is added.",
)
def scaled(v, label, dimension, steps):
    return _perturbed(v, label, dimension, v[label, dimension] * steps)


@perturb.misconception(
    "subtracts",
    "You subtract the steps: the row of pictures would run from right to left. They are added.",
)
def subtracted(v, label, dimension, steps):
    return _perturbed(v, label, dimension, -steps)


@perturb.misconception(
    "wrong capsule",
    "You change the longest capsule. The one to change is given: capsule `label`.",
)
def longest_changed(v, label, dimension, steps):
    return _perturbed(v, _length(v).argmax(), dimension, steps)


@perturb.misconception(
    "wrong capsule",
    "You change the first capsule. The one to change is capsule `label`.",
)
def first_changed(v, label, dimension, steps):
    return _perturbed(v, 0, dimension, steps)


@perturb.misconception(
    "wrong capsule",
    "Your indices are exchanged: capsule `dimension`, number `label`. The first axis of v is the class: "
    "`v[label, dimension]`.",
)
def indices_exchanged(v, label, dimension, steps):
    return _perturbed(v, dimension, label, steps)


@perturb.misconception(
    "wrong capsule",
    "Your indices are exchanged: capsule `dimension`, number `label`. The first axis of v is the class: "
    "`v[label, dimension]`.",
)
def indices_exchanged_in_one_copy(v, label, dimension, steps):
    changed = []
    for step in steps:
        copy = v.copy()
        copy[dimension, label] += step
        changed.append(copy)
    return np.stack(changed)


@perturb.misconception(
    "all capsules changed",
    "You change the number in every capsule. Only the capsule of `label` changes; the others stay as they are.",
)
def all_capsules(v, label, dimension, steps):
    return _perturbed(v, slice(None), dimension, steps[:, None])


@perturb.misconception(
    "whole capsule changed",
    "You add the step to all numbers of the capsule. One changes at a time: only `dimension`, so that one sees what "
    "this number alone stands for.",
)
def whole_capsule(v, label, dimension, steps):
    return _perturbed(v, label, slice(None), steps[:, None])


@perturb.misconception(
    "whole capsule changed",
    "You add the steps to the whole capsule, and NumPy can't line up S steps with its Q numbers. One number changes in "
    "each copy: `changed[:, label, dimension]`.",
)
def whole_capsule_by_steps(v, label, dimension, steps):
    changed = np.stack([v] * len(steps))
    changed[:, label] += steps
    return changed


@perturb.misconception(
    "everything changed",
    "You add the step to all numbers of all capsules. One single number changes in each copy: `[label, dimension]`.",
)
def everything(v, label, dimension, steps):
    return v + steps[:, None, None]


@perturb.misconception(
    "steps pile up",
    "Each of your copies starts from the one before, so the steps pile up. Each starts from v: copy v anew for each "
    "step, `v.copy()`.",
)
def piled_up(v, label, dimension, steps):
    return _perturbed(v, label, dimension, np.cumsum(steps))


@perturb.misconception(
    "one array many times",
    "Your copies are all one and the same array, so each shows all steps added up. `copy = v` makes no copy, only a "
    "second name: `v.copy()` does.",
)
def one_array(v, label, dimension, steps):
    return _perturbed(v, label, dimension, np.full(len(steps), steps.sum()))


@perturb.misconception(
    "one array many times",
    "Your copies are all one and the same array, so each shows the last step. `copy = v` makes no copy, only a second "
    "name: `v.copy()` does.",
)
def last_step_everywhere(v, label, dimension, steps):
    return _perturbed(v, label, dimension, np.full(len(steps), steps[-1]))


@perturb.misconception(
    "length kept",
    "You bring the changed capsule back to its old length. The paper lets the length change: all other numbers stay "
    "exactly as they were.",
)
def length_kept(v, label, dimension, steps):
    changed = _perturbed(v, label, dimension, steps)
    changed[:, label] *= _length(v[label]) / _length(changed[:, label])[:, None]
    return changed


@perturb.misconception(
    "only the capsule returned",
    "You return the changed capsule alone, (S, Q). All capsules are asked for, (S, J, Q): the decoder masks by itself.",
)
def capsule_alone(v, label, dimension, steps):
    return _perturbed(v, label, dimension, steps)[:, label]


@perturb.misconception(
    "only the numbers returned",
    "You return the changed numbers alone. The capsules that they belong to are asked for, (S, J, Q).",
)
def numbers_alone(v, label, dimension, steps):
    return v[label, dimension] + steps


@perturb.misconception(
    "masked, too",
    "Your change is right, but you set the other capsules to 0. Masking is the decoder's work, and it comes later.",
)
def others_masked(v, label, dimension, steps):
    return _perturbed(v, label, dimension, steps) * (np.arange(len(v)) == label)[:, None]


@perturb.misconception(
    "masked, too",
    "Your change is right, but you mask and flatten. That is the decoder's work, and it comes later: (S, J, Q) is "
    "asked for.",
)
def masked_and_flattened(v, label, dimension, steps):
    return others_masked(v, label, dimension, steps).reshape(len(steps), -1)


@perturb.misconception(
    "steps in the last axis",
    "Your steps run along the last axis. They come first: (S, J, Q), as many sets of capsules as steps.",
)
def steps_last(v, label, dimension, steps):
    return np.moveaxis(_perturbed(v, label, dimension, steps), 0, -1)


TASKS = (shapes_and_parameters, primary_capsules, margin_loss, mask, total_loss, perturb)
