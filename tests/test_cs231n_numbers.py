"""The numbers that CS231n prints beside its assignments, so that its students recognise ours.

Source: assignments/2018/spring1718_assignment2_v2.zip (ConvolutionalNetworks.ipynb, FullyConnectedNets.ipynb) of
https://github.com/cs231n/cs231n.github.io, MIT licence, (c) 2015 Andrej Karpathy. They are printed to 8 decimals.
"""

import numpy as np
import pytest

import zerohero as zh
from zerohero.tensor import Parameter

PRINTED = dict(rtol=0, atol=6e-9)  # half of the last decimal, and a little for its rounding


def line(start, stop, *shape):
    return np.linspace(start, stop, int(np.prod(shape))).reshape(shape)


def test_convolution_forward():
    x, w, b = line(-0.1, 0.5, 2, 3, 4, 4), line(-0.2, 0.3, 3, 3, 4, 4), line(-0.1, 0.2, 3)
    expected = [
        [
            [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]],
            [[0.21027089, 0.21661097], [0.22847626, 0.23004637]],
            [[0.50813986, 0.54309974], [0.64082444, 0.67101435]],
        ],
        [
            [[-0.98053589, -1.03143541], [-1.19128892, -1.24695841]],
            [[0.69108355, 0.66880383], [0.59480972, 0.56776003]],
            [[2.36270298, 2.36904306], [2.38090835, 2.38247847]],
        ],
    ]
    np.testing.assert_allclose(zh.conv2d(x, w, b, stride=2, padding=1), expected, **PRINTED)
    np.testing.assert_allclose(zh.conv2d_loops(x, w, b, stride=2, padding=1), expected, **PRINTED)


def test_max_pool_forward():
    expected = [
        [
            [[-0.26315789, -0.24842105], [-0.20421053, -0.18947368]],
            [[-0.14526316, -0.13052632], [-0.08631579, -0.07157895]],
            [[-0.02736842, -0.01263158], [0.03157895, 0.04631579]],
        ],
        [
            [[0.09052632, 0.10526316], [0.14947368, 0.16421053]],
            [[0.20842105, 0.22315789], [0.26736842, 0.28210526]],
            [[0.32631579, 0.34105263], [0.38526316, 0.4]],
        ],
    ]
    np.testing.assert_allclose(zh.max_pool2d(line(-0.3, 0.4, 2, 3, 4, 4), 2, stride=2), expected, **PRINTED)


def test_affine_forward():
    x, w, b = line(-0.1, 0.5, 2, 4, 5, 6), line(-0.2, 0.3, 120, 3), line(-0.3, 0.1, 3)
    expected = [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]]
    np.testing.assert_allclose(zh.linear(zh.flatten(x), w.T, b), expected, **PRINTED)  # theirs is (in, out)


def test_relu_forward():
    expected = [[0, 0, 0, 0], [0, 0, 0.04545455, 0.13636364], [0.22727273, 0.31818182, 0.40909091, 0.5]]
    np.testing.assert_allclose(zh.relu(line(-0.5, 0.5, 3, 4)), expected, **PRINTED)


@pytest.fixture
def two_layer_net():
    """Return the scores, labels and weights of their net of 5 inputs, 50 hidden units and 7 classes."""
    x = line(-5.5, 4.5, 5, 3).T
    first, second = line(-0.7, 0.3, 5, 50), line(-0.3, 0.4, 50, 7)
    hidden = zh.relu(zh.linear(x, first.T, line(-0.1, 0.9, 50)))
    return zh.linear(hidden, second.T, line(-0.9, 0.1, 7)), [0, 5, 1], (first, second)


def test_the_scores_of_a_two_layer_net(two_layer_net):
    scores, _, _ = two_layer_net
    expected = [
        [11.53165108, 12.2917344, 13.05181771, 13.81190102, 14.57198434, 15.33206765, 16.09215096],
        [12.05769098, 12.74614105, 13.43459113, 14.1230412, 14.81149128, 15.49994135, 16.18839143],
        [12.58373087, 13.20054771, 13.81736455, 14.43418138, 15.05099822, 15.66781506, 16.2846319],
    ]
    np.testing.assert_allclose(scores, expected, **PRINTED)


def test_the_loss_of_a_two_layer_net_with_and_without_regularization(two_layer_net):
    scores, labels, weights = two_layer_net
    loss = zh.cross_entropy(scores, labels)
    np.testing.assert_allclose(loss, 3.4702243556, rtol=0, atol=6e-11)
    regularized = loss + 0.5 * sum((w * w).sum() for w in weights)
    np.testing.assert_allclose(regularized, 26.5948426952, rtol=0, atol=6e-11)


def parameter_with_gradient():
    w = Parameter(line(-0.4, 0.6, 4, 5))
    w.grad = line(-0.6, 0.4, 4, 5)
    return w


def test_a_step_of_sgd_with_momentum():
    w = parameter_with_gradient()
    optimizer = zh.optim.SGD([w], lr=1e-3, momentum=0.9)
    # Their velocity is the step itself, v ← 0.9 v - lr · dw; ours (PyTorch's) has the opposite sign and no lr in it.
    optimizer.load_state_dict({"steps": 1, "0.velocity": -line(0.6, 0.9, 4, 5) / 1e-3})
    optimizer.step()
    expected = [
        [0.1406, 0.20738947, 0.27417895, 0.34096842, 0.40775789],
        [0.47454737, 0.54133684, 0.60812632, 0.67491579, 0.74170526],
        [0.80849474, 0.87528421, 0.94207368, 1.00886316, 1.07565263],
        [1.14244211, 1.20923158, 1.27602105, 1.34281053, 1.4096],
    ]
    velocity = [
        [0.5406, 0.55475789, 0.56891579, 0.58307368, 0.59723158],
        [0.61138947, 0.62554737, 0.63970526, 0.65386316, 0.66802105],
        [0.68217895, 0.69633684, 0.71049474, 0.72465263, 0.73881053],
        [0.75296842, 0.76712632, 0.78128421, 0.79544211, 0.8096],
    ]
    np.testing.assert_allclose(w.data, expected, **PRINTED)
    np.testing.assert_allclose(-1e-3 * optimizer.state_dict()["0.velocity"], velocity, **PRINTED)


def test_a_step_of_adam():
    w = parameter_with_gradient()
    optimizer = zh.optim.Adam([w], lr=1e-2, betas=(0.9, 0.999), eps=1e-8)
    mean, square = line(0.6, 0.9, 4, 5), line(0.7, 0.5, 4, 5)
    optimizer.load_state_dict({"steps": 5, "0.mean": mean, "0.square": square, "0.count": 5})  # five steps were made
    optimizer.step()
    expected = [
        [-0.40094747, -0.34836187, -0.29577703, -0.24319299, -0.19060977],
        [-0.1380274, -0.08544591, -0.03286534, 0.01971428, 0.0722929],
        [0.1248705, 0.17744702, 0.23002243, 0.28259667, 0.33516969],
        [0.38774145, 0.44031188, 0.49288093, 0.54544852, 0.59801459],
    ]
    np.testing.assert_allclose(w.data, expected, **PRINTED)
    state = optimizer.state_dict()
    first_row_of_mean = [0.48, 0.49947368, 0.51894737, 0.53842105, 0.55789474]
    first_row_of_square = [0.69966, 0.68908382, 0.67851319, 0.66794809, 0.65738853]
    np.testing.assert_allclose(state["0.mean"][0], first_row_of_mean, **PRINTED)
    np.testing.assert_allclose(state["0.square"][0], first_row_of_square, **PRINTED)
