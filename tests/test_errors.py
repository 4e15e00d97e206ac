"""Wrong input to operations and Tensors: each kind gets one sentence that names what it got and what it needs."""

import re

import numpy as np
import pytest

import zerohero as zh
from zerohero.ops import arithmetic


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


IMAGES, WEIGHT = ones(8, 1, 28, 28), ones(16, 3, 5, 5)
X, W = ones(2, 3, 6, 6), ones(4, 3, 3, 3)

# what is wrong: (the call, the kind of error, what the sentence says)
WRONG = {
    # convolution
    "channels that do not match": (
        lambda: zh.conv2d(IMAGES, WEIGHT),
        ValueError,
        r"^conv2d: weight expects 3 input channels \(weight\.shape\[1\] × groups\), but x has 1: x \(8, 1, 28, 28\), "
        r"weight \(16, 3, 5, 5\)$",
    ),
    "channels that do not match the groups": (
        lambda: zh.conv2d(ones(1, 4, 5, 5), ones(4, 4, 3, 3), groups=2),
        ValueError,
        "conv2d: weight expects 8 input channels .* but x has 4",
    ),
    "an image of five axes": (
        lambda: zh.conv2d(ones(1, 1, 1, 5, 5), ones(1, 1, 3, 3)),
        ValueError,
        r"conv2d: x needs shape \(H, W\), \(C, H, W\) or \(N, C, H, W\), but has shape \(1, 1, 1, 5, 5\)",
    ),
    "an image of one axis": (lambda: zh.conv2d(ones(5), ones(3, 3)), ValueError, r"conv2d: x needs shape .* \(5,\)"),
    "a kernel of two axes for several channels": (
        lambda: zh.conv2d(ones(3, 5, 5), ones(3, 3)),
        ValueError,
        r"conv2d: weight needs shape \(out, in / groups, kh, kw\), nothing empty, but has shape \(3, 3\)",
    ),
    "a kernel of four axes for a plain image": (
        lambda: zh.conv2d(ones(5, 5), ones(1, 1, 3, 3)),
        ValueError,
        r"conv2d: an x of shape \(H, W\) needs a weight \(kh, kw\), but weight has shape \(1, 1, 3, 3\)",
    ),
    "an empty kernel": (
        lambda: zh.conv2d(X, ones(4, 3, 0, 3)),
        ValueError,
        "conv2d: weight needs shape .* nothing empty",
    ),
    "a bias of the wrong length": (
        lambda: zh.conv2d(X, W, ones(3)),
        ValueError,
        r"conv2d: bias needs shape \(4,\), one per filter, but has shape \(3,\)",
    ),
    "a stride of 0": (
        lambda: zh.conv2d(X, W, stride=0),
        ValueError,
        "conv2d: stride needs to be at least 1, but got 0",
    ),
    "a negative stride": (
        lambda: zh.conv2d(X, W, stride=(1, -2)),
        ValueError,
        "conv2d: stride needs to be at least 1, but got -2",
    ),
    "a stride that is no integer": (
        lambda: zh.conv2d(X, W, stride=1.5),
        TypeError,
        "conv2d: stride needs an integer, but got 1.5",
    ),
    "a truth as stride": (
        lambda: zh.conv2d(X, W, stride=True),
        TypeError,
        "conv2d: stride needs an integer, but got True",
    ),
    "three strides": (
        lambda: zh.conv2d(X, W, stride=(1, 2, 3)),
        ValueError,
        r"conv2d: stride needs one integer or two \(vertical, horizontal\), but got \(1, 2, 3\)",
    ),
    "a negative padding": (
        lambda: zh.conv2d(X, W, padding=-1),
        ValueError,
        "conv2d: padding needs to be at least 0, but got -1",
    ),
    "a negative padding on one side": (
        lambda: zh.conv2d(X, W, padding=((0, 1), (0, -1))),
        ValueError,
        r"conv2d: padding \(left, right\) needs to be at least 0, but got -1",
    ),
    "a padding of unknown name": (
        lambda: zh.conv2d(X, W, padding="valid"),
        ValueError,
        "conv2d: padding needs integers or 'same', but got 'valid'",
    ),
    "a dilation of 0": (
        lambda: zh.conv2d(X, W, dilation=0),
        ValueError,
        "conv2d: dilation needs to be at least 1, but got 0",
    ),
    "groups that do not divide the filters": (
        lambda: zh.conv2d(ones(1, 4, 5, 5), ones(3, 2, 3, 3), groups=2),
        ValueError,
        r"conv2d: groups needs to divide the 3 filters of weight \(3, 2, 3, 3\), got 2",
    ),
    "groups of 0": (lambda: zh.conv2d(X, W, groups=0), ValueError, "conv2d: groups needs to be at least 1, but got 0"),
    "a kernel larger than the image": (
        lambda: zh.conv2d(ones(4, 6), ones(5, 3)),
        ValueError,
        r"conv2d: the kernel spans 5 in height, but the padded x has only 4: x \(4, 6\), weight \(5, 3\), padding",
    ),
    "a kernel larger than the image by its dilation": (
        lambda: zh.conv2d(ones(9, 4), ones(3, 3), dilation=2),
        ValueError,
        "conv2d: the kernel spans 5 in width, but the padded x has only 4: .* dilation",
    ),
    "loops: channels that do not match": (
        lambda: zh.conv2d_loops(IMAGES, WEIGHT),
        ValueError,
        "conv2d_loops: weight expects 3 input channels",
    ),
    "loops: a stride of 0": (
        lambda: zh.conv2d_loops(X, W, stride=0),
        ValueError,
        "conv2d_loops: stride needs to be at least",
    ),
    # transposed convolution
    "transposed: channels that do not match": (
        lambda: zh.conv_transpose2d(X, ones(2, 3, 3, 3)),
        ValueError,
        r"conv_transpose2d: weight expects 2 input channels \(weight\.shape\[0\]\), but x has 3: x .*, weight",
    ),
    "transposed: groups that do not divide": (
        lambda: zh.conv_transpose2d(X, ones(3, 2, 3, 3), groups=2),
        ValueError,
        "conv_transpose2d: groups needs to divide the 3 input channels, but got 2",
    ),
    "transposed: a bias of the wrong length": (
        lambda: zh.conv_transpose2d(X, ones(3, 2, 3, 3), ones(3)),
        ValueError,
        r"conv_transpose2d: bias needs shape \(2,\), one per output channel, but has shape \(3,\)",
    ),
    "transposed: output padding as large as the stride": (
        lambda: zh.conv_transpose2d(X, ones(3, 2, 3, 3), stride=2, output_padding=2),
        ValueError,
        r"conv_transpose2d: output_padding needs to be smaller than stride or dilation, but got \(2, 2\)",
    ),
    "transposed: padding that leaves nothing": (
        lambda: zh.conv_transpose2d(ones(1, 1), ones(3, 3), padding=2),
        ValueError,
        r"conv_transpose2d: padding .* leaves no output: it would have -1 × -1 values",
    ),
    "transposed: padding by name": (
        lambda: zh.conv_transpose2d(X, ones(3, 2, 3, 3), padding="same"),
        ValueError,
        "conv_transpose2d: padding needs integers, but got 'same'",
    ),
    # pooling
    "a window larger than the image": (
        lambda: zh.max_pool2d(ones(3, 3), 4),
        ValueError,
        r"max_pool2d: the window spans 4 in height, but the padded x has only 3: x \(3, 3\)",
    ),
    "a window of 0": (
        lambda: zh.avg_pool2d(ones(3, 3), 0),
        ValueError,
        "avg_pool2d: kernel_size needs to be at least 1, but got 0",
    ),
    "a pool's stride of 0": (
        lambda: zh.max_pool2d(ones(3, 3), 2, stride=0),
        ValueError,
        "max_pool2d: stride needs to be at least 1, but got 0",
    ),
    "padding as large as the window": (
        lambda: zh.max_pool2d(ones(3, 3), 2, padding=2),
        ValueError,
        r"max_pool2d: padding needs to be smaller than the window \(2 in height\), got \(\(2, 2\), \(2, 2\)\)",
    ),
    "a pool of a vector": (lambda: zh.avg_pool2d(ones(3), 1), ValueError, r"avg_pool2d: x needs shape .* \(3,\)"),
    "a pool of an image without rows": (
        lambda: zh.max_pool2d(ones(2, 0, 4), 1, padding=0),
        ValueError,
        "max_pool2d: the window spans 1 in height, but the padded x has only 0",
    ),
    "an adaptive pool to 0": (
        lambda: zh.adaptive_avg_pool2d(ones(3, 3), 0),
        ValueError,
        "adaptive_avg_pool2d: output_size needs to be at least 1, but got 0",
    ),
    "an adaptive pool of nothing": (
        lambda: zh.global_avg_pool2d(ones(3, 0, 3)),
        ValueError,
        r"adaptive_avg_pool2d: x needs at least one row and column, but has shape",
    ),
    # linear and shapes
    "inputs that do not match": (
        lambda: zh.linear(ones(2, 3), ones(4, 5)),
        ValueError,
        r"linear: weight expects 5 inputs \(weight\.shape\[1\]\), but x has 3: x \(2, 3\), weight \(4, 5\)",
    ),
    "a weight of three axes": (
        lambda: zh.linear(ones(3), ones(1, 2, 3)),
        ValueError,
        r"linear: weight needs shape \(out, in\), but has shape \(1, 2, 3\)",
    ),
    "linear: a bias of the wrong length": (
        lambda: zh.linear(ones(3), ones(2, 3), ones(3)),
        ValueError,
        r"linear: bias needs shape \(2,\), one per output, but has shape \(3,\)",
    ),
    "a number where a vector is needed": (
        lambda: zh.linear(1.0, ones(2, 3)),
        ValueError,
        "linear: weight expects 3 inputs .* but x has no axis",
    ),
    "flatten beyond the last axis": (
        lambda: zh.flatten(ones(3)),
        ValueError,
        "flatten: start_axis needs to be below x's 1 axes, but got 1",
    ),
    "concat of nothing": (
        lambda: zh.concat([]),
        ValueError,
        "concat: arrays needs at least one array, but got an empty list",
    ),
    "concat of one array instead of a list": (
        lambda: zh.concat(ones(2, 3)),
        TypeError,
        "concat: arrays needs a list of arrays, but got ndarray",
    ),
    "concat of different shapes": (
        lambda: zh.concat([ones(2, 3), ones(2, 4)]),
        ValueError,
        r"concat: arrays need equal shapes except along axis 0, but got \(2, 3\), \(2, 4\)",
    ),
    "concat along an axis that is not there": (
        lambda: zh.concat([ones(2, 3)], axis=2),
        ValueError,
        r"concat: axis needs to lie in \[-2, 1\] for 2 axes, but got 2",
    ),
    "concat along no axis": (
        lambda: zh.concat([ones(2, 3)], axis=None),
        TypeError,
        "concat: axis needs an integer, but got None",
    ),
    "more paddings than axes": (
        lambda: zh.pad(ones(3), [(1, 1), (1, 1)]),
        ValueError,
        "pad: width holds 2 pairs, but x has only 1 axes",
    ),
    "a width that is no list": (
        lambda: zh.pad(ones(3), 1),
        TypeError,
        r"pad: width needs a list of \(before, after\), one for each of the last axes, but got 1",
    ),
    "a negative width": (
        lambda: zh.pad(ones(3), [(1, -1)]),
        ValueError,
        r"pad: width \(before, after\) needs to be at least 0, but got -1",
    ),
    "a pad value that is no number": (
        lambda: zh.pad(ones(3), [1], "zero"),
        TypeError,
        "pad: value needs a number, but got 'zero'",
    ),
    # activation
    "softmax along an axis that is not there": (
        lambda: zh.softmax(ones(2, 3), axis=2),
        ValueError,
        r"softmax: axis needs to lie in \[-2, 1\] for 2 axes, but got 2",
    ),
    "softmax of nothing": (
        lambda: zh.softmax(ones(2, 0)),
        ValueError,
        r"softmax: axis needs to be an axis of x that is not empty, but got -1: x \(2, 0\)",
    ),
    "log_softmax along two axes": (
        lambda: zh.log_softmax(ones(2, 3), axis=(0, 1)),
        TypeError,
        r"log_softmax: axis needs an integer, but got \(0, 1\)",
    ),
    "a slope that is no number": (
        lambda: zh.leaky_relu(ones(3), "steep"),
        TypeError,
        "leaky_relu: slope needs a number, but got 'steep'",
    ),
    "a slope that is NaN": (
        lambda: zh.leaky_relu(ones(3), float("nan")),
        ValueError,
        "leaky_relu: slope needs to lie in .* but got nan",
    ),
    # normalization
    "batch norm of a vector": (
        lambda: zh.batch_norm(ones(3), training=True),
        ValueError,
        r"batch_norm: x needs shape \(N, C\) or \(N, C, H, W\), but has shape \(3,\)",
    ),
    "batch norm with a weight of the wrong length": (
        lambda: zh.batch_norm(ones(4, 3), ones(4), training=True),
        ValueError,
        r"batch_norm: weight needs shape \(3,\), one per channel of x \(4, 3\), but has \(4,\)",
    ),
    "batch norm trained on one value per channel": (
        lambda: zh.batch_norm(ones(1, 3, 1, 1), training=True),
        ValueError,
        r"batch_norm: training needs more than one value per channel to have a variance, but x has shape \(1, 3, 1,",
    ),
    "batch norm trained on an empty batch": (
        lambda: zh.batch_norm(ones(0, 3), training=True),
        ValueError,
        "batch_norm: training needs more than one value per channel",
    ),
    "batch norm evaluated without statistics": (
        lambda: zh.batch_norm(ones(4, 3)),
        ValueError,
        "batch_norm: running_mean and running_var are needed when training is False, but got None",
    ),
    "running statistics that cannot change in place": (
        lambda: zh.batch_norm(ones(4, 2), running_mean=[0.0, 0.0], running_var=ones(2), training=True),
        TypeError,
        r"batch_norm: running_mean needs a float array, which training changes in place, but got \[0\.0, 0\.0\]",
    ),
    "a momentum above 1": (
        lambda: zh.batch_norm(ones(4, 2), training=True, momentum=1.5),
        ValueError,
        r"batch_norm: momentum needs to lie in \[0, 1\], but got 1\.5",
    ),
    "a negative eps": (
        lambda: zh.batch_norm(ones(4, 2), training=True, eps=-1),
        ValueError,
        r"batch_norm: eps needs to lie in \[0, inf\], but got -1",
    ),
    "a neighbourhood of 0 channels": (
        lambda: zh.local_response_norm(ones(1, 3), 0),
        ValueError,
        "local_response_norm: size needs to be at least 1, but got 0",
    ),
    "local response norm of a vector": (
        lambda: zh.local_response_norm(ones(3)),
        ValueError,
        r"local_response_norm: x needs shape \(N, C, \.\.\.\), but has shape \(3,\)",
    ),
    "a probability above 1": (
        lambda: zh.dropout(ones(3), 1.5),
        ValueError,
        r"dropout: p needs to lie in \[0, 1\], but got 1\.5",
    ),
    "a seed instead of a generator": (
        lambda: zh.dropout(ones(3), rng=7),
        TypeError,
        r"dropout: rng needs a numpy\.random\.Generator, as default_rng\(0\) makes it, but got 7",
    ),
    "a negative seed": (lambda: zh.seed(-1), ValueError, "seed: n needs to be at least 0, but got -1"),
    # losses
    "a label too large": (
        lambda: zh.cross_entropy(ones(2, 3), [0, 3]),
        ValueError,
        "cross_entropy: labels needs values from 0 to 2 for 3 classes, but holds 3",
    ),
    "a negative label": (
        lambda: zh.cross_entropy(ones(2, 3), [0, -1]),
        ValueError,
        "cross_entropy: labels needs values from 0 to 2 for 3 classes, but holds -1",
    ),
    "labels that are no integers": (
        lambda: zh.cross_entropy(ones(2, 3), [0.0, 1.0]),
        TypeError,
        "cross_entropy: labels needs integers, but its dtype is float64",
    ),
    "too few labels": (
        lambda: zh.cross_entropy(ones(2, 3), [0]),
        ValueError,
        r"cross_entropy: labels needs shape \(2,\), one per row of the batch, but has \(1,\)",
    ),
    "labels one-hot": (
        lambda: zh.cross_entropy(ones(2, 3), np.eye(3, dtype=int)[:2]),
        ValueError,
        r"cross_entropy: labels needs shape \(2,\), one per row of the batch, but has \(2, 3\)",
    ),
    "ragged labels": (
        lambda: zh.cross_entropy(ones(2, 3), [[0], [1, 2]]),
        ValueError,
        "cross_entropy: labels needs rows of equal length",
    ),
    "logits of one axis": (
        lambda: zh.cross_entropy(ones(3), [0]),
        ValueError,
        r"cross_entropy: logits needs shape \(N, classes\), but has shape \(3,\)",
    ),
    "the mean loss of an empty batch": (
        lambda: zh.cross_entropy(ones(0, 3), np.zeros(0, int)),
        ValueError,
        "cross_entropy: logits holds no example, and the mean of none is undefined",
    ),
    "an unknown reduction": (
        lambda: zh.cross_entropy(ones(1, 3), [0], reduction="avg"),
        ValueError,
        "cross_entropy: reduction needs one of 'mean', 'sum', 'none', but got 'avg'",
    ),
    "a label smoothing above 1": (
        lambda: zh.cross_entropy(ones(1, 3), [0], label_smoothing=2),
        ValueError,
        r"cross_entropy: label_smoothing needs to lie in \[0, 1\], but got 2",
    ),
    "a target of another shape": (
        lambda: zh.mse_loss(ones(3, 1), ones(3)),
        ValueError,
        r"mse_loss: target needs x's shape \(3, 1\), but has shape \(3,\)",
    ),
    "the mean square of nothing": (
        lambda: zh.mse_loss(ones(0), ones(0)),
        ValueError,
        "mse_loss: x holds no value, and the mean of none is undefined",
    ),
    # what is no array of numbers
    "a word": (lambda: zh.relu("dog"), TypeError, "relu: x needs numbers, but got str with dtype <U3"),
    "complex numbers": (
        lambda: zh.conv2d(ones(3, 3, dtype=complex), ones(2, 2)),
        TypeError,
        "conv2d: x needs numbers, but got ndarray with dtype complex128",
    ),
    "a ragged list": (
        lambda: zh.conv2d([[1, 2], [3]], [[1]]),
        ValueError,
        "conv2d: x needs rows of equal length, but the list given is ragged",
    ),
    "None": (lambda: zh.conv2d(None, ones(2, 2)), TypeError, "conv2d: x needs numbers, but got None"),
    "a list of Tensors": (
        lambda: zh.relu([zh.Tensor([1.0])]),
        TypeError,
        "relu: x is a list that holds a Tensor; it needs one array or Tensor, so join them with concat first",
    ),
    "an argument that is missing": (
        lambda: zh.conv2d(X),
        TypeError,
        r"conv2d: missing a required argument: 'weight'; it takes conv2d\(x, weight, bias=None, \*, stride=1",
    ),
    "an argument by a wrong name": (
        lambda: zh.max_pool2d(X, 2, strides=2),
        TypeError,
        "max_pool2d: got an unexpected keyword argument 'strides'; it takes max_pool2d",
    ),
    # Tensors
    "shapes that do not broadcast": (
        lambda: zh.Tensor(ones(2, 3)) + ones(2),
        ValueError,
        r"add: shapes \(2, 3\) and \(2,\) do not broadcast",
    ),
    "matrices that do not fit": (
        lambda: zh.Tensor(ones(2, 3)) @ ones(2, 3),
        ValueError,
        r"matmul: needs \(\.\.\., m, k\) @ \(\.\.\., k, n\), but got \(2, 3\) @ \(2, 3\)",
    ),
    "batches of matrices that do not broadcast": (
        lambda: zh.Tensor(ones(2, 3, 4)) @ ones(5, 4, 3),
        ValueError,
        r"matmul: .*\(2, 3, 4\).*\(5, 4, 3\)",
    ),
    "a Tensor plus None": (lambda: zh.Tensor([1.0]) + None, TypeError, "add: b needs numbers, but got None"),
    "an exponent that is an array": (
        lambda: zh.Tensor([1.0, 2.0]) ** np.array([1, 2]),
        TypeError,
        "power: exponent needs a number, but got array",
    ),
    "a reshape that does not fit": (
        lambda: zh.Tensor(ones(2, 3)).reshape(4, -1),
        ValueError,
        r"reshape: 6 values of shape \(2, 3\) do not fit into shape \(4, -1\)",
    ),
    "a transpose that leaves an axis out": (
        lambda: zh.Tensor(ones(2, 3, 4)).transpose(0, 1),
        ValueError,
        r"transpose: axes needs each of the 3 axes of x once, but got \(0, 1\)",
    ),
    "an axis named twice": (
        lambda: zh.Tensor(ones(2, 3)).sum((0, -2)),
        ValueError,
        r"sum: axis names one axis twice: \(0, -2\)",
    ),
    "an axis out of range": (
        lambda: zh.Tensor(ones(2, 3)).mean(5),
        ValueError,
        r"mean: axis needs to lie in \[-2, 1\] for 2 axes, but got 5",
    ),
    "the mean of nothing": (
        lambda: zh.Tensor(ones(0, 3)).mean(0),
        ValueError,
        r"mean: x has nothing to reduce along axis 0: its shape is \(0, 3\)",
    ),
    "the maximum of nothing": (lambda: zh.Tensor(ones(0)).max(), ValueError, "max: x has nothing to reduce"),
    "an index out of range": (
        lambda: zh.Tensor(ones(2, 3))[2],
        IndexError,
        r"index: index 2 is out of bounds for axis 0 with size 2; x has shape \(2, 3\)",
    ),
    "an index of floats": (lambda: zh.Tensor(ones(3))[1.0], IndexError, r"index: .*; x has shape \(3,\)"),
    "several numbers as one": (
        lambda: float(zh.Tensor([1.0, 2.0])),
        ValueError,
        r"item: needs a tensor with one value, but this one has shape \(2,\)",
    ),
    "a Tensor of words": (
        lambda: zh.Tensor(["a"]),
        TypeError,
        "Tensor: data needs numbers, but got list with dtype <U1",
    ),
    "backward of several numbers": (
        lambda: zh.Tensor([1.0, 2.0], requires_grad=True).backward(),
        RuntimeError,
        r"backward: grad is needed for a result of shape \(2,\); or reduce it to one number",
    ),
    "an unknown device": (
        lambda: zh.Tensor([1.0]).to("gpu"),
        ValueError,
        "to: device needs to be 'numpy' or 'cupy', but got 'gpu'",
    ),
    # backends
    "an unknown backend": (
        lambda: zh.use_backend("tensorflow"),
        ValueError,
        "use_backend: got 'tensorflow', but here only numpy.* can be used",
    ),
    "a backend that is no name": (
        lambda: zh.use_backend(None),
        ValueError,
        "use_backend: got None, but here only numpy",
    ),
    "an unknown name in the library": (
        lambda: zh.conv3d,
        AttributeError,
        "module 'zerohero' has no attribute 'conv3d'",
    ),
    "arithmetic that does not broadcast": (
        lambda: arithmetic.multiply(ones(2), ones(3)),
        ValueError,
        r"multiply: shapes \(2,\) and \(3,\) do not broadcast",
    ),
}


@pytest.mark.parametrize("call, kind, sentence", WRONG.values(), ids=WRONG.keys())
def test_wrong_input_gets_one_sentence_that_names_it(call, kind, sentence):
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert re.search(sentence, message), message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize(
    "call",
    [
        lambda: zh.max_pool2d(ones(9, 9), np.arange(200)),
        lambda: zh.leaky_relu(ones(3), np.arange(2000.0)),
        lambda: zh.pad(ones(3), "x" * 500),
        lambda: zh.conv2d(X, W, padding="x" * 500),
        lambda: zh.Tensor(ones(2, 3)).sum(tuple(range(2)) * 200),
        lambda: zh.cross_entropy(ones(1, 3), [0], reduction="x" * 500),
        lambda: zh.dropout(ones(3), rng=np.arange(500)),
    ],
)
def test_a_long_wrong_value_is_cut_short(call):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_wrong_call_changes_nothing():
    mean, variance = ones(3), ones(3)
    with pytest.raises(ValueError, match="momentum"):
        zh.batch_norm(ones(4, 3) * 9, running_mean=mean, running_var=variance, training=True, momentum=-1)
    np.testing.assert_array_equal(mean, ones(3))
    np.testing.assert_array_equal(variance, ones(3))
