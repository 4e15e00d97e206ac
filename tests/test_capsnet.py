"""CapsNet as a whole: its counts and shapes, its training step, and one test for each classic bug of its ports."""

import itertools

import numpy as np
import pytest

import zerohero as zh
from zerohero import nn
from zerohero.models.capsnet import lengths
from zerohero.nn.module import observe


def small(**options):
    """A CapsNet for 19×19 images in which no two axes have the same length."""
    defaults = dict(preset="paper", image_size=19, channels=6, types=3, dim=4, out_dim=7, num_classes=5, hidden=(9, 11))
    zh.seed(0)
    return zh.models.create("capsnet", **defaults | options)


@pytest.fixture
def images(rng):
    return rng.random((4, 1, 19, 19)).astype(np.float32)


@pytest.fixture
def labels():
    return np.array([3, 0, 4, 1])


# ---- counts and shapes ----------------------------------------------------------------------------------


def test_the_papers_encoder_and_decoder_have_the_papers_parameters():
    model = zh.models.create("capsnet", preset="paper")
    decoder = model.decoder.num_parameters()
    assert decoder == 1_411_344
    assert model.num_parameters() - decoder == 6_804_384  # 6,804,224 and the 160 biases of the digit capsules
    counts = {name: part.num_parameters() for name, part in model.children()}
    assert counts == {"conv1": 20_992, "primary": 5_308_672, "digits": 1_474_560 + 160, "decoder": decoder}


def test_the_papers_shapes():
    model, seen = zh.models.create("capsnet", preset="paper"), {}
    with observe(lambda module, inputs, output: seen.update({type(module).__name__: output.shape})), zh.no_grad():
        model(np.zeros((1, 1, 28, 28), np.float32))
    assert model.primary.conv.weight.shape == (32 * 8, 256, 9, 9)
    assert seen["Conv2d"] == (1, 32 * 8, 6, 6)  # the last convolution to run
    assert seen["PrimaryCaps"] == (1, 1152, 8)
    assert seen["CapsuleLayer"] == seen["CapsNet"] == (1, 10, 16)
    assert model.conv1(np.zeros((1, 1, 28, 28), np.float32)).shape == (1, 256, 20, 20)


def test_at_the_size_of_multimnist_there_are_3200_capsules_and_the_papers_parameters():
    model = zh.models.create("capsnet", image_size=36)
    assert model.digits.weight.shape == (3200, 8, 10, 16)
    assert model.num_parameters() == 11_361_968


def test_the_baseline_has_35_million_parameters():
    assert zh.models.create("capsnet_baseline").num_parameters() == 35_445_522


def test_row_27_and_column_27_cannot_influence_any_capsule(rng):
    model = zh.models.create("capsnet", preset="fast", reconstruction_weight=0)
    x = zh.Tensor(rng.random((1, 1, 28, 28)).astype(np.float32), requires_grad=True)
    (model(x) ** 2).sum().backward()
    blind = x.grad[0, 0] == 0
    expected = np.zeros((28, 28), bool)
    expected[27, :] = expected[:, 27] = True
    assert (blind == expected).all() and blind.sum() == 55


@pytest.mark.parametrize("preset", ["paper", "authors", "fast"])
def test_every_preset_learns_a_few_images_by_heart(preset, images, labels):
    model = small(preset=preset, channels=6, types=3, hidden=(9, 11))
    history = zh.training.fit(
        model,
        (images, labels),
        epochs=60,
        batch_size=4,
        optimizer=zh.optim.Adam(model.parameters(), 0.01),
        progress=False,
    )
    assert history.column("accuracy")[-1] == 1 and history.column("loss")[-1] < history.column("loss")[0]


def test_the_authors_loss_weighs_the_reconstruction_twenty_times_as_much(images, labels):
    ratios = {}
    for preset in ("paper", "authors"):
        model = small(preset=preset, num_classes=10)
        v = zh.Tensor(np.full((4, 10, 7), 0.1, np.float32))
        both = model.loss(v, images, labels).item()
        model.decoder = None
        margin = model.loss(v, images, labels).item()
        ratios[preset] = margin / zh.margin_loss(v.data, labels)
        assert both > margin
    assert ratios["paper"] / ratios["authors"] == pytest.approx(20, rel=1e-6)


def test_the_authors_start_and_divide_as_their_code_does():
    model = small(preset="authors", channels=64)
    assert (model.conv1.bias.data == np.float32(0.1)).all() and (model.digits.bias.data == np.float32(0.1)).all()
    assert model.conv1.weight.data.std() == pytest.approx(0.05 * 0.88, rel=0.05)  # truncation at 2 σ leaves 0.88 σ
    assert np.abs(model.primary.conv.weight.data).max() <= 0.2 < 0.2 + np.abs(model.conv1.weight.data).max()
    x = np.random.default_rng(0).random((1, 64, 11, 11)).astype(np.float32)
    conv = model.primary.conv
    maps = zh.conv2d(x, conv.weight.data, stride=2)[0] / 32 + conv.bias.data[:, None, None]
    expected = zh.squash(maps.reshape(3, 4, 2, 2).transpose(0, 2, 3, 1).reshape(12, 4))
    np.testing.assert_allclose(model.primary(x).data[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(image_size=16), "image_size needs to be at least 17"),
        (dict(preset="best"), "preset needs one of 'paper', 'authors', 'fast'"),
        (dict(types=0), "types needs to be at least 1"),
        (dict(iterations=0), "iterations needs to be at least 1"),
        (dict(hidden=(9,)), "hidden needs 2 integers"),
        (dict(reconstruction_weight=-1), "reconstruction_weight needs to lie in"),
    ],
)
def test_sizes_that_do_not_fit_say_what_would(options, words):
    with pytest.raises(ValueError, match=words):
        small(**options)


def test_images_of_another_size_are_refused_with_both_sizes(images):
    with pytest.raises(ValueError, match="weight expects 12 capsules of 4 numbers, but u has"):
        small()(np.zeros((1, 1, 28, 28), np.float32))


# ---- the classic bugs of the ports, one test each -------------------------------------------------------


def test_bug_01_couplings_of_one_input_capsule_sum_to_1_over_the_output_capsules(rng):
    couplings = zh.routing_trace(rng.standard_normal((2, 6, 10, 5))).couplings[:, 0]  # (T, I, J)
    np.testing.assert_allclose(couplings.sum(axis=2), 1, rtol=1e-12)
    np.testing.assert_allclose(couplings[0], 0.1, rtol=1e-12)
    assert np.abs(couplings[-1].sum(axis=0) - 1).max() > 0.1


def test_bug_02_an_image_does_not_depend_on_its_batch_mates(images):
    model = small()
    for single, together in zip(images, model.capsules(images)):
        np.testing.assert_allclose(model.capsules(single[None])[0], together, rtol=1e-4, atol=1e-6)


def test_bug_03_a_primary_capsule_is_made_of_its_own_channels_at_its_own_place(rng):
    primary = nn.PrimaryCaps(2, types=3, dim=4, kernel_size=1, stride=1)
    x = rng.standard_normal((1, 2, 5, 6)).astype(np.float32)
    maps = primary.conv(x).data[0]  # (types · dim, y, x)
    capsules = primary(x).data[0].reshape(3, 5, 6, 4)
    for k, y, column in np.ndindex(3, 5, 6):
        own = maps[4 * k : 4 * k + 4, y, column]
        np.testing.assert_allclose(capsules[k, y, column], zh.squash(own), rtol=1e-5, atol=1e-7)


def test_bug_04_squash_works_on_one_capsule_not_across_capsules(images):
    model = small()
    capsules = model.primary(zh.relu(model.conv1(images))).data  # (N, I, P)
    assert (np.linalg.norm(capsules, axis=2) < 1).all()
    alone = nn.PrimaryCaps(2, types=3, dim=4, kernel_size=1, stride=1)
    alone.conv.weight.data[...], alone.conv.bias.data[...] = 0, 3  # every capsule (3, 3, 3, 3), of length 6
    np.testing.assert_allclose(np.linalg.norm(alone(np.zeros((1, 2, 2, 2))).data, axis=2), 36 / 37, rtol=1e-6)


def test_bug_05_margins_are_squared():
    v = np.full((1, 10, 1), 0.3)
    v[0, 4] = 0.5
    assert zh.margin_loss(v, [4]) == pytest.approx(0.4**2 + 0.5 * 9 * 0.2**2)  # 0.34; without squares 1.3


def test_bug_06_margins_are_of_lengths_not_of_their_softmax():
    v = np.zeros((1, 3, 2))
    v[0, 1, 0] = 0.95
    assert zh.margin_loss(v, [1]) == 0


def test_bug_07_the_prediction_of_an_image_does_not_depend_on_the_batch(images):
    model = small()
    np.testing.assert_array_equal(model.predict(images), [model.predict(image) for image in images])
    np.testing.assert_allclose(model.scores(images), lengths(model.capsules(images)), rtol=1e-5)


def test_bug_08_the_reconstruction_counts_as_a_sum_over_pixels(images, labels):
    model = small()
    v = model(images)
    difference = model.reconstruct(v.data, labels) - images
    expected = zh.margin_loss(v.data, labels) + 0.0005 * (difference**2).sum() / len(images)
    assert model.loss(v, images, labels).item() == pytest.approx(float(expected), rel=1e-5)


def test_bug_09_the_decoder_speaks_the_language_of_the_images(images):
    model = small()
    drawn = model.reconstruct(100 * model.capsules(images))
    assert drawn.shape == images.shape and drawn.min() >= 0 and drawn.max() <= 1  # so images belong in [0, 1]
    assert 0 <= zh.datasets.load("digits", "train").images.min() and zh.datasets.load("digits").images.max() <= 1


def test_bug_10_the_true_label_chooses_the_capsule_in_training(images):
    model = small(reconstruction_weight=1.0)
    model.decoder.fc1.weight.data *= 30  # so that what is drawn depends visibly on the capsule
    predicted = model.predict(images)
    wrong = (predicted + 1) % 5
    v = model(images)
    losses = []
    for chosen in (predicted, wrong):
        drawn = model.decoder(v, chosen).data.reshape(images.shape)
        losses.append(float(zh.margin_loss(v.data, wrong) + ((drawn - images) ** 2).sum() / 4))
    assert abs(losses[0] - losses[1]) > 1e-3 * losses[1]
    assert model.training_step(images, wrong)[0].item() == pytest.approx(losses[1], rel=1e-5)


def test_bug_11_shifts_are_drawn_for_each_image_and_never_in_evaluation(rng):
    shift = zh.training.Augmentation(shift=2)
    dots = np.zeros((200, 1, 9, 9), np.float32)
    dots[:, 0, 4, 4] = 1
    places = np.argwhere(shift(dots, rng)[:, 0] == 1)[:, 1:]
    assert len(np.unique(places, axis=0)) == 25 and np.abs(places - 4).max() == 2
    model = small()
    images = rng.random((6, 1, 19, 19)).astype(np.float32)
    first = zh.training.evaluate(model, (images, np.zeros(6, int))).scores
    np.testing.assert_array_equal(first, zh.training.evaluate(model, (images, np.zeros(6, int))).scores)
    np.testing.assert_array_equal(first, model.scores(images))


def test_bug_12_a_black_image_gives_no_nan():
    model = small()
    for layer in (model.conv1, model.primary.conv):
        layer.bias.data[...] = 0
    model.digits.bias.data[...] = 0
    loss, scores = model.training_step(np.zeros((2, 1, 19, 19), np.float32), np.array([0, 1]))
    loss.backward()
    assert (scores == 0).all()
    assert all(np.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_bug_13_one_iteration_is_a_plain_mean_and_each_further_one_changes_the_result(rng):
    votes = rng.standard_normal((2, 6, 4, 5))
    np.testing.assert_allclose(zh.dynamic_routing(votes, iterations=1), zh.squash(votes.sum(1) / 4), rtol=1e-12)
    results = [zh.dynamic_routing(votes, iterations=r) for r in (1, 2, 3, 4)]
    assert all(np.abs(a - b).max() > 1e-3 for a, b in itertools.pairwise(results))
    assert len(zh.routing_trace(votes, iterations=3).logits) == 3


@pytest.mark.parametrize(
    ("option", "a", "b"),
    [
        ("iterations", 1, 3),
        ("preset", "paper", "authors"),
        ("reconstruction_weight", 0.0, 0.5),
        ("stop_gradient", False, True),
        ("out_dim", 7, 8),
        ("dim", 4, 5),
    ],
)
def test_bug_14_no_option_is_ignored(images, labels, option, a, b):
    gradients = []
    for value in (a, b):
        model = small(**{option: value})
        loss, _ = model.training_step(images, labels)
        loss.backward()
        gradients.append((loss.item(), model.num_parameters(), float(np.abs(model.conv1.weight.grad).sum())))
    assert gradients[0] != gradients[1]


def test_bug_15_the_learning_rate_goes_on_falling_from_epoch_to_epoch(images, labels):
    model = small()
    optimizer = zh.optim.Adam(model.parameters(), lr=1e-3)
    schedule = zh.optim.ExponentialDecay(0.5, every=4)
    history = zh.training.fit(
        model, (images, labels), epochs=3, batch_size=1, optimizer=optimizer, schedule=schedule, progress=False
    )
    steps_at_the_end = np.array([3, 7, 11])  # four steps an epoch, counted from 0
    np.testing.assert_allclose(history.column("lr"), 1e-3 * 0.5 ** (steps_at_the_end / 4), rtol=1e-12)
