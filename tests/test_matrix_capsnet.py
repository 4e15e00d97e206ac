"""Matrix capsules: windows against PyTorch, competition between places, layers, sizes, and a little training."""

import numpy as np
import pytest
import torch

import zerohero as zh
from tests.against_torch import compare
from zerohero import nn
from zerohero.nn.matrix_capsule import (
    ClassMatrixCapsules,
    ConvMatrixCapsules,
    PrimaryMatrixCapsules,
    coordinates,
)
from zerohero.ops.em_windows import em_routing_windows, windows


def torch_windows(votes, activations, beta_a, beta_u, children, iterations=3, inverse_temperature=0.01):
    """Independent: a dense array (N, I, P, C) of shares, 0 where a window doesn't see a child."""
    n, places, size, types, numbers = votes.shape
    sees = torch.zeros(activations.shape[1], places, dtype=bool)
    dense = torch.zeros(n, activations.shape[1], places, types, numbers, dtype=votes.dtype)
    for p, window in enumerate(children):
        for k, child in enumerate(window):
            sees[child, p] = True
            dense[:, child, p] = votes[:, p, k]
    counted = sees[None, :, :, None].to(votes.dtype)
    R = counted / (counted.sum((2,), keepdim=True).clamp(min=1) * types)
    for t in range(iterations):
        r = (R * activations[:, :, None, None])[..., None]
        mass = r.sum(1)
        mean = (r * dense).sum(1) / mass
        variance = (r * (dense - mean[:, None]) ** 2).sum(1) / mass + 5e-4
        cost = ((beta_u[:, None] + variance.sqrt().log()) * mass).sum(-1)
        logit = inverse_temperature * (1 - 0.95 ** (t + 1)) * (beta_a - cost)
        log_p = torch.distributions.Normal(mean[:, None], variance.sqrt()[:, None]).log_prob(dense).sum(-1)
        p = torch.exp(torch.nn.functional.logsigmoid(logit)[:, None] + log_p) * counted
        total = p.sum((2, 3), keepdim=True)
        R = p / torch.where(total > 0, total, 1.0)
    return mean, torch.sigmoid(logit)


@pytest.fixture
def given(rng):
    """3×4 places of 2 types, windows 2×2: votes (2, 6, 8, 3, 4), activations (2, 24), both β (3,); and the windows."""
    children = windows(3, 4, 2, 2, 1)
    votes = rng.standard_normal((2, *children.shape, 3, 4))
    return (votes, rng.uniform(0.1, 0.9, (2, 24)), *rng.standard_normal((2, 3))), children


# ---- which child is where -------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width, types, kernel, stride", [(5, 7, 2, 3, 2), (4, 4, 1, 1, 1), (3, 6, 3, 2, 3)])
def test_windows_are_those_of_a_convolution(height, width, types, kernel, stride):
    numbered = np.arange(height * width * types).reshape(height, width, types)
    wanted = [
        numbered[y : y + kernel, x : x + kernel].ravel()
        for y in range(0, height - kernel + 1, stride)
        for x in range(0, width - kernel + 1, stride)
    ]
    np.testing.assert_array_equal(windows(height, width, types, kernel, stride), wanted)


# ---- routing in windows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("iterations", [1, 2, 3])
@pytest.mark.parametrize("output", [0, 1])
def test_values_and_gradients_agree_with_pytorch(given, iterations, output):
    arrays, children = given
    options = dict(iterations=iterations, inverse_temperature=0.5)
    compare(
        lambda *a, **o: em_routing_windows(*a, children, **o)[output],
        lambda *a, **o: torch_windows(*a, children, **o)[output],
        *arrays, differences=output == 1, **options,
    )  # fmt: skip


def test_a_child_in_no_window_counts_for_nothing(rng):
    children = windows(4, 4, 1, 3, 2)  # the last row and column are seen by none
    votes = rng.standard_normal((2, *children.shape, 3, 4))
    arrays = votes, rng.uniform(0.1, 0.9, (2, 16)), *rng.standard_normal((2, 3))
    tensors = [zh.Tensor(each, requires_grad=True) for each in arrays]
    em_routing_windows(*tensors, children)[1].sum().backward()
    unseen = np.setdiff1d(np.arange(16), children)
    assert len(unseen) == 7 and (tensors[1].grad[:, unseen] == 0).all()
    assert (np.delete(tensors[1].grad, unseen, 1) != 0).all()
    compare(
        lambda *a: em_routing_windows(*a, children)[0], lambda *a: torch_windows(*a, children)[0], *arrays,
        differences=False,
    )  # fmt: skip


def test_one_window_of_all_children_is_plain_em_routing(rng):
    votes, activations, *betas = (
        rng.standard_normal((2, 6, 3, 4)), rng.uniform(size=(2, 6)), *rng.standard_normal((2, 3))
    )  # fmt: skip
    found = em_routing_windows(votes[:, None], activations, *betas, np.arange(6)[None])
    for ours, wanted in zip(found, zh.em_routing(votes, activations, *betas)):
        np.testing.assert_allclose(ours[:, 0], wanted, rtol=1e-12)


def test_parents_at_different_places_compete():
    # The child in the middle agrees with its neighbour on the left about 0; its neighbour on the right says 9.
    children = np.array([[0, 1, 2], [2, 3, 4]])
    votes = np.zeros((1, 2, 3, 1, 1))
    votes[0, 1, 1:] = 9.0
    first = em_routing_windows(votes, np.ones((1, 5)), [0.0], [0.0], children, iterations=1)[0]
    poses, _ = em_routing_windows(votes, np.ones((1, 5)), [0.0], [0.0], children, iterations=3)
    assert first[0, 1, 0, 0] == pytest.approx(9 * 2 / 2.5)  # half of child 2 says 0
    # it has gone to the left: without competition its whole share would stay, and the mean be 6
    assert poses[0, 1, 0, 0] == pytest.approx(9, abs=0.01) and poses[0, 0, 0, 0] == 0


def test_shares_of_a_child_sum_to_1_over_places_and_types(given):
    (votes, activations, *betas), children = given
    tensors = [zh.Tensor(each, requires_grad=True) for each in (votes, activations, *betas)]
    poses, _ = em_routing_windows(*tensors, children)
    shares = poses.node.call.kept["shares"]
    for R in shares:
        total = np.zeros((2, 24))
        np.add.at(total.T, children.ravel(), R.sum(-1).reshape(2, -1).T)
        np.testing.assert_allclose(total, 1, rtol=1e-12)
    assert abs(shares[-1] - shares[0]).max() > 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silence_and_far_votes_give_finite_numbers(dtype, rng):
    children = windows(3, 3, 1, 2, 1)
    for scale in (0, 1e4):
        votes = (scale * rng.standard_normal((1, *children.shape, 2, 3))).astype(dtype)
        for a in np.ones((1, 9), dtype), np.zeros((1, 9), dtype):
            tensors = [zh.Tensor(x, requires_grad=True) for x in (votes, a, np.ones(2, dtype), np.ones(2, dtype))]
            poses, activations = em_routing_windows(*tensors, children, inverse_temperature=5.0)
            (poses.sum() + activations.sum()).backward()
            for each in [poses.data, activations.data, *(tensor.grad for tensor in tensors)]:
                assert np.isfinite(each).all()


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(votes=np.ones((2, 6, 3, 4))), r"votes needs shape \(N, P, K, C, H\)"),
        (dict(activations=np.ones((3, 24))), r"activations needs shape \(2, I\)"),
        (dict(activations=np.full((2, 24), -0.1)), "activations needs numbers from 0 to 1"),
        (dict(beta_a=np.ones(4)), r"beta_a needs shape \(3,\)"),
        (dict(children=np.zeros((6, 7), int)), r"children needs whole numbers of shape \(6, 8\)"),
        (dict(children=np.zeros((6, 8))), "children needs whole numbers"),
        (dict(children=np.full((6, 8), 24)), "children needs numbers from 0 to 23"),
        (dict(children=np.zeros((6, 8), int)), "children needs each child at most once"),
        (dict(iterations=0), "iterations needs"),
    ],
)
def test_wrong_input_is_named(given, change, message):
    arrays, children = given
    named = dict(zip(("votes", "activations", "beta_a", "beta_u"), arrays)) | {"children": children}
    with pytest.raises(ValueError, match=f"^em_routing_windows: {message}") as caught:
        em_routing_windows(**(named | change))
    assert "\n" not in str(caught.value)


# ---- layers ---------------------------------------------------------------------------------------------


def test_a_vote_is_pose_times_matrix_the_same_at_every_place(rng):
    zh.seed(0)
    layer = ConvMatrixCapsules(2, 5, 2)
    poses = rng.standard_normal((3, 8, 4, 4)).astype(np.float32)
    votes = layer.votes(poses).numpy() if hasattr(layer.votes(poses), "numpy") else layer.votes(poses)
    for k, c in [(0, 0), (3, 4), (7, 2)]:
        wanted = poses[:, k] @ layer.weight.data[k, :, c]
        np.testing.assert_allclose(votes[:, k, c].reshape(3, 4, 4), wanted, rtol=1e-5, atol=1e-6)


def test_a_primary_capsule_is_made_of_its_place_alone(rng):
    zh.seed(0)
    layer, x = PrimaryMatrixCapsules(6, 3), rng.standard_normal((1, 6, 4, 5)).astype(np.float32)
    changed = x.copy()
    changed[0, :, 1, 3] += 1
    for before, after in zip(layer(x), layer(changed)):
        moved = (before.numpy() != after.numpy()).reshape(4, 5, -1).any(2)
        assert moved[1, 3] and moved.sum() == 1


def test_coordinates_are_added_to_the_first_two_numbers_of_a_vote():
    layer = ClassMatrixCapsules(3, 4)
    layer.weight.data[...] = 0  # votes are the coordinates alone, so poses are their mean over all places
    poses, activations = np.ones((1, 2, 4, 3, 4, 4), np.float32), np.ones((1, 2, 4, 3), np.float32)
    found = layer(poses, activations)[0].numpy().reshape(4, 16)
    np.testing.assert_allclose(found, np.broadcast_to([0.5, 0.5] + [0] * 14, (4, 16)), atol=1e-6)
    assert coordinates(2, 4)[5, 0, 0, :2].tolist() == [0.75, 0.375]  # row 1 of 2, column 1 of 4
    activations[0, :, 1:] = 0  # only the first column is there: 0.125 of the width
    found = layer(poses, activations)[0].numpy().reshape(4, 16)
    np.testing.assert_allclose(found[:, :2], np.broadcast_to([0.5, 0.125], (4, 2)), atol=1e-6)


# ---- the network ----------------------------------------------------------------------------------------


def count(channels, sizes, classes, side=5):
    """Parameters by the paper's table: a 4×4 matrix for each kernel entry and pair of types, two β for each type."""
    a, b, c, d = sizes
    conv = side * side * channels * a + a
    primary = (a + 1) * b * 17
    routed = [9 * b * c * 16 + 2 * c, 9 * c * d * 16 + 2 * d, d * classes * 16 + 2 * classes]
    return conv + primary + sum(routed)


@pytest.mark.parametrize("sizes, wanted", [((32, 32, 32, 32), 317_194), ((64, 8, 16, 16), 68_754)])
def test_the_sizes_of_the_papers_table_have_their_parameters(sizes, wanted):
    model = zh.models.create("matrix_capsnet", **dict(zip("ABCD", sizes)))
    assert model.num_parameters() == count(2, sizes, 5) == wanted


def test_shapes_are_those_of_the_paper():
    shapes = {}
    model = zh.models.create("matrix_capsnet", A=4, B=2, C=2, D=3)
    with nn.observe(lambda module, _, output: shapes.setdefault(type(module).__name__, output)):
        assert model(np.zeros((1, 2, 32, 32), np.float32)).shape == (1, 5)
    assert shapes["PrimaryMatrixCapsules"][1].shape == (1, 14, 14, 2)
    assert shapes["ConvMatrixCapsules"][1].shape == (1, 6, 6, 2)
    assert model.conv_caps2(*model.conv_caps1(*shapes["PrimaryMatrixCapsules"]))[1].shape == (1, 4, 4, 3)


SMALL = dict(image_size=12, in_channels=1, A=8, B=2, C=4, D=4, stride=1, iterations=2)


def test_the_margin_grows_in_training_and_not_in_evaluation(rng):
    model = zh.models.create("matrix_capsnet", **SMALL, num_classes=3, margin_steps=4)
    images, labels = rng.random((2, 1, 12, 12), dtype=np.float32), np.array([0, 2])
    margins = []
    for _ in range(6):
        margins.append(model.margin)
        model.training_step(images, labels)
    np.testing.assert_allclose(margins, [0.2, 0.375, 0.55, 0.725, 0.9, 0.9], rtol=1e-6)
    model.eval()
    model.training_step(images, labels)
    assert model.steps[0] == 6


def test_every_parameter_gets_a_gradient(rng):
    zh.seed(0)
    model = zh.models.create("matrix_capsnet", **SMALL, num_classes=3)
    loss, scores = model.training_step(rng.random((4, 1, 12, 12), dtype=np.float32), np.array([0, 1, 2, 0]))
    loss.backward()
    assert scores.shape == (4, 3)
    assert all(np.abs(p.grad).max() > 0 for p in model.parameters())


def test_a_little_training_lowers_the_mistakes():
    data = zh.datasets.load("digits", "train")
    few = data.labels < 3
    images = np.pad(data.images[few], ((0, 0), (0, 0), (2, 2), (2, 2)))[:160]
    labels = data.labels[few][:160]
    zh.seed(0)
    model = zh.models.create("matrix_capsnet", **SMALL, num_classes=3, margin_steps=30)
    rule = zh.optim.Adam(model.parameters(), lr=0.01)
    zh.training.fit(model, (images, labels), epochs=8, batch_size=16, optimizer=rule, progress=False)
    assert zh.training.evaluate(model, (images, labels)).accuracy > 0.9


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(image_size=16), "image_size needs to be at least 17"),
        (dict(A=0), "A needs to be at least 1"),
        (dict(iterations=0), "iterations needs to be at least 1"),
        (dict(inverse_temperature=-1), "inverse_temperature needs"),
        (dict(margin_steps=0), "margin_steps needs to be at least 1"),
    ],
)
def test_wrong_sizes_are_named(options, message):
    with pytest.raises(ValueError, match=f"^matrix_capsnet: {message}"):
        zh.models.create("matrix_capsnet", **options)


def test_the_smallest_image_fits():
    model = zh.models.create("matrix_capsnet", image_size=17, A=2, B=1, C=1, D=1)
    assert model(np.zeros((1, 2, 17, 17))).shape == (1, 5)
