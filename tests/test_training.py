"""Training: reproducible, augmented per image, stopped early, and stopped with an explanation."""

import io
import math
import sys

import numpy as np
import pytest

import zerohero as zh
from zerohero import datasets, models, nn, optim, training
from zerohero.tensor import Tensor
from zerohero.training import Augmentation, History, evaluate

fit = training.fit


@pytest.fixture(scope="module")
def digits():
    """300 scans of 8×8; 100 more to validate on."""
    train = datasets.load("digits")
    return train.subset(range(300)), train.subset(range(300, 400))


def perceptron(seed=0):
    zh.seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))


def convnet(seed=0):
    """With buffers and with dropout, which a training must also keep reproducible."""
    zh.seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 10)
    )


def quiet(model, train, **settings):
    return fit(model, train, **{"epochs": 2, "batch_size": 32, "progress": False} | settings)


def weights(model):
    return {name: value.copy() for name, value in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


# ---- what comes out -------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(digits):
    results = []
    for initial, seed in ((0, 7), (0, 7), (0, 8)):
        model = convnet(initial)
        history = quiet(model, digits[0], seed=seed, augment=Augmentation(shift=1))
        results.append((weights(model), history.column("loss")))
    assert same(results[0][0], results[1][0]) and results[0][1] == results[1][1]
    assert not same(results[0][0], results[2][0])


def test_the_librarys_own_random_numbers_do_not_enter(digits):
    results = []
    for numbers in (1, 2):
        model = convnet()
        zh.seed(numbers)  # dropout draws from fit's own numbers, not from these
        quiet(model, digits[0])
        results.append(weights(model))
    assert same(*results)


def test_training_leaves_the_librarys_random_numbers_where_they_were(digits):
    zh.seed(4)
    expected = zh.random.generator().random()
    model = convnet()
    zh.seed(4)
    quiet(model, digits[0])
    assert zh.random.generator().random() == expected


def test_an_untrained_net_starts_at_the_logarithm_of_the_number_of_classes(digits):
    for model, dataset in ((perceptron(), digits[0]), (models.create("lenet5"), digits[0].resized(28))):
        assert evaluate(model, dataset).loss == pytest.approx(math.log(10), abs=0.1)


def test_a_hundred_images_can_be_learned_by_heart():
    zh.seed(0)
    few = datasets.load("digits").per_class(10).resized(28)
    model = models.create("lenet5")
    fit(model, few, epochs=30, batch_size=20, optimizer=optim.Adam(model.parameters(), lr=3e-3), progress=False)
    assert evaluate(model, few).accuracy == 1.0


def test_the_loss_of_an_epoch_is_the_mean_over_examples_also_with_a_smaller_last_batch(digits):
    model = perceptron()
    still = optim.SGD(model.parameters(), lr=0.0)
    history = quiet(model, digits[0][:70], batch_size=32, optimizer=still, epochs=1)
    measured = evaluate(model, digits[0][:70])
    assert history.column("loss")[0] == pytest.approx(measured.loss, rel=1e-5)
    assert history.column("accuracy")[0] == pytest.approx(measured.accuracy)


def test_every_example_is_seen_once_an_epoch_in_a_new_order(digits):
    seen = []

    class Recorder(nn.Sequential):
        def training_step(self, images, labels):
            seen.append(images[:, 0, 0, 0])
            return training.classification_step(self, images, labels)

    images = np.zeros((50, 1, 8, 8), np.float32)
    images[:, 0, 0, 0] = np.arange(50)
    model = Recorder(nn.Flatten(), nn.Linear(64, 10))
    quiet(model, (images, np.arange(50) % 10), batch_size=16, epochs=2)
    assert [len(batch) for batch in seen] == [16, 16, 16, 2] * 2
    orders = np.concatenate(seen[:4]), np.concatenate(seen[4:])
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert list(orders[0]) != list(orders[1]) and list(orders[0]) != list(range(50))


def test_a_history_has_a_row_an_epoch(digits):
    history = quiet(perceptron(), digits[0], validation=digits[1], epochs=3)
    assert history.column("epoch") == [1, 2, 3]
    assert list(history.epochs[0]) == ["epoch", "loss", "accuracy", "lr", "val_loss", "val_accuracy", "seconds"]
    assert history.column("loss")[2] < history.column("loss")[0]
    assert "3 epochs; last: loss" in repr(history) and repr(History()) == "History(no epochs)"
    with pytest.raises(ValueError, match="column: name needs one of epoch, loss"):
        history.column("losses")


def test_validation_images_are_measured_and_not_learned(digits):
    alone, watched = perceptron(), perceptron()
    quiet(alone, digits[0])
    history = quiet(watched, digits[0], validation=digits[1])
    assert same(weights(alone), weights(watched))
    assert history.column("val_loss")[-1] == evaluate(watched, digits[1]).loss


def test_frozen_parameters_stay(digits):
    model = perceptron()
    model[1].weight.requires_grad = False
    before = model[1].weight.data.copy(), model[3].weight.data.copy()
    quiet(model, digits[0], optimizer=optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1))
    assert (model[1].weight.data == before[0]).all() and (model[3].weight.data != before[1]).any()


# ---- schedule -------------------------------------------------------------------------------------------


def test_a_schedule_sees_every_step_of_this_training_and_leaves_the_optimizer_as_it_was(digits):
    asked = []

    def schedule(step, total):
        asked.append((step, total))
        return 1 / (1 + step)

    model = perceptron()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):  # the second training starts its schedule anew
        history = quiet(model, digits[0], batch_size=100, epochs=2, optimizer=optimizer, schedule=schedule)
        assert asked == [(step, 6) for step in range(6)]
        assert history.column("lr") == pytest.approx([0.5 / 3, 0.5 / 6])
        assert optimizer.factor == 1.0
        asked.clear()
    assert quiet(model, digits[0], optimizer=optimizer).column("lr") == [0.5, 0.5]


@pytest.mark.parametrize("name,schedule", [("one-cycle", optim.OneCycle()), ("cosine", optim.CosineDecay())])
def test_a_schedule_can_be_named(digits, name, schedule):
    results = []
    for given in (name, schedule, None):
        model = perceptron()
        quiet(model, digits[0], schedule=given)
        results.append(weights(model))
    assert same(results[0], results[1]) and not same(results[0], results[2])


# ---- early stop -----------------------------------------------------------------------------------------


def test_an_early_stop_brings_back_the_best_weights(digits):
    rng = np.random.default_rng(0)
    noise = digits[0].images, rng.permutation(digits[0].labels)  # nothing to generalise: validation soon gets worse
    model = perceptron()
    optimizer = optim.Adam(model.parameters(), 0.01)
    history = quiet(model, noise, validation=digits[1], epochs=40, patience=3, optimizer=optimizer)
    accuracies = history.column("val_accuracy")
    best = int(np.argmax(accuracies))
    assert history.stopped_early and len(history) == best + 1 + 3 < 40
    assert accuracies[best] > accuracies[-1]
    assert evaluate(model, digits[1]).accuracy == accuracies[best]


def test_a_training_with_patience_that_is_not_stopped_brings_back_the_best_weights_too(digits):
    rng = np.random.default_rng(0)
    noise = digits[0].images, rng.permutation(digits[0].labels)
    model = perceptron()
    optimizer = optim.Adam(model.parameters(), 0.01)
    history = quiet(model, noise, validation=digits[1], epochs=8, patience=30, optimizer=optimizer)
    accuracies = history.column("val_accuracy")
    assert not history.stopped_early and accuracies[-1] < max(accuracies)
    assert evaluate(model, digits[1]).accuracy == max(accuracies)


# ---- evaluation -----------------------------------------------------------------------------------------


def test_an_evaluation_counts_right_answers(digits):
    model = perceptron()
    quiet(model, digits[0], epochs=20)
    found = evaluate(model, digits[1])
    assert found.predictions.tolist() == model.predict(digits[1].images).tolist()
    assert found.accuracy == np.mean(found.predictions == digits[1].labels) > 0.5
    losses = zh.cross_entropy(found.scores, digits[1].labels, reduction="none")
    assert found.loss == pytest.approx(losses.mean(), rel=1e-6)
    assert "accuracy=" in repr(found) and "scores" not in repr(found)


def test_an_evaluation_does_not_depend_on_the_batch_size(digits):
    model = convnet()
    whole, parts = evaluate(model, digits[0]), evaluate(model, digits[0], batch_size=7)
    assert whole.loss == pytest.approx(parts.loss, rel=1e-6) and whole.accuracy == parts.accuracy


def test_an_evaluation_uses_evaluation_mode_and_puts_modes_back(digits):
    model = convnet()
    model[4].eval()
    before = weights(model)
    assert (evaluate(model, digits[1]).scores == evaluate(model, digits[1]).scores).all(), "dropout was active"
    assert same(before, weights(model)), "batch norm moved"
    assert [m.training for m in model] == [True, True, True, True, False, True]
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError):
        evaluate(model, (np.zeros((2, 3, 8, 8)), [0, 1]))
    assert [m.training for m in model] == [True, True, True, True, False, True]


def test_an_evaluation_records_no_tape(digits):
    recorded = []
    with nn.observe(lambda module, inputs, output: recorded.append(output.requires_grad)):
        evaluate(perceptron(), digits[1])
    assert recorded and not any(recorded)


def test_every_epoch_trains_in_training_mode_whatever_mode_the_model_came_in(digits):
    modes = []

    class Spy(nn.Module):
        def forward(self, x):
            modes.append(self.training)
            return x

    model = nn.Sequential(Spy(), *perceptron()).eval()
    quiet(model, digits[0][:64], validation=digits[1], epochs=2)
    assert modes == [True, True, False] * 2


def test_a_models_own_training_step_is_used(digits):
    class Doubled(nn.Sequential):
        def training_step(self, images, labels):
            loss, scores = training.classification_step(self, images, labels)
            return 2 * loss, scores

    zh.seed(0)
    plain = perceptron()
    doubled = Doubled(*plain)
    assert evaluate(doubled, digits[1]).loss == pytest.approx(2 * evaluate(plain, digits[1]).loss)


# ---- augmentation ---------------------------------------------------------------------------------------


def shifted(image, down, right):
    """`image` (C, H, W) moved, zeros coming in: written with loops over pixels."""
    moved = np.zeros_like(image)
    _, height, width = image.shape
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                moved[:, y, x] = image[:, y - down, x - right]
    return moved


def test_a_shift_moves_each_image_by_itself_and_lets_zeros_in(rng):
    images = rng.random((200, 2, 5, 4), dtype=np.float32) + 1
    before = images.copy()
    moved = Augmentation(shift=2)(images, rng)
    assert (images == before).all() and moved.shape == images.shape and moved.dtype == np.float32
    moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    found = [[move for move in moves if (shifted(a, *move) == b).all()] for a, b in zip(images, moved)]
    assert all(len(each) == 1 for each in found), "an image that is no shift of its original"
    assert {each[0] for each in found} == set(moves), "some shifts never come"


def test_a_crop_cuts_a_random_square_out_of_each_image(rng):
    images = np.arange(100 * 8 * 6, dtype=np.float32).reshape(100, 1, 8, 6)
    cut = Augmentation(crop=4)(images, rng)
    assert cut.shape == (100, 1, 4, 4)
    corners = {tuple(np.argwhere(image[0] == piece[0, 0, 0])[0]) for image, piece in zip(images, cut)}
    assert corners == {(y, x) for y in range(5) for x in range(3)}
    for image, piece in zip(images, cut):
        y, x = np.argwhere(image[0] == piece[0, 0, 0])[0]
        assert (piece[0] == image[0, y : y + 4, x : x + 4]).all()


def test_a_flip_mirrors_about_every_second_image(rng):
    images = rng.random((400, 1, 3, 4), dtype=np.float32)
    flipped = Augmentation(flip=True)(images, rng)
    mirrored = (flipped == images[..., ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (flipped == images).all(axis=(1, 2, 3))).all()
    assert 160 < mirrored.sum() < 240


def test_an_augmentation_without_settings_changes_nothing(rng):
    images = rng.random((4, 1, 3, 3))
    assert Augmentation()(images, rng) is images


def test_training_images_are_augmented_each_epoch_anew_and_evaluation_images_never(digits):
    given = []

    def augment(images, rng):
        moved = Augmentation(shift=2)(images, rng)
        given.append((images, moved))
        return moved

    model = perceptron()
    history = quiet(model, digits[0][:40], validation=digits[1], batch_size=20, epochs=2, augment=augment)
    assert [len(images) for images, _ in given] == [20] * 4
    inside = [image for images, _ in given for image in images]
    assert not any((image == held_out).all() for image in inside for held_out in digits[1].images)
    first = {image.tobytes(): moved for image, moved in zip(*map(np.concatenate, zip(*given[:2])))}
    second = {image.tobytes(): moved for image, moved in zip(*map(np.concatenate, zip(*given[2:])))}
    assert first.keys() == second.keys() and any((first[key] != second[key]).any() for key in first)
    assert history.column("val_loss")[-1] == evaluate(model, digits[1]).loss


@pytest.mark.parametrize(
    "make,error,words",
    [
        (lambda: Augmentation(shift=-1), ValueError, "shift needs to be at least 0"),
        (lambda: Augmentation(shift=1.5), TypeError, "shift needs an integer"),
        (lambda: Augmentation(crop=0), ValueError, "crop needs to be at least 1"),
        (
            lambda: Augmentation(crop=9)(np.zeros((1, 1, 8, 8)), np.random.default_rng(0)),
            ValueError,
            "crop 9 is larger than the images, 8 × 8",
        ),
    ],
)
def test_a_wrong_augmentation_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


# ---- NaN and infinity -----------------------------------------------------------------------------------


class Breaks(nn.Module):
    """Multiplies by a bad number from the given forward call on."""

    def __init__(self, bad, call):
        self.bad, self.call, self.calls = bad, call, 0

    def forward(self, x):
        self.calls += 1
        return x * (self.bad if self.calls >= self.call else 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_training_names_the_layer_and_leaves_the_model_as_it_was_before_that_step(digits, bad):
    zh.seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 12), nn.BatchNorm1d(12), Breaks(bad, 4), nn.BatchNorm1d(12), nn.Linear(12, 10)
    )
    with pytest.raises(FloatingPointError, match=r"loss became nan at step 4, first in the output of 3;.*below 0\.1"):
        quiet(model, digits[0], optimizer=optim.SGD(model.parameters(), lr=0.1))
    found = weights(model)
    assert all(np.isfinite(value).all() for value in found.values())
    assert all(p.grad is None for p in model.parameters())

    zh.seed(0)
    whole = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 12), nn.BatchNorm1d(12), Breaks(1.0, 4), nn.BatchNorm1d(12), nn.Linear(12, 10)
    )
    kept = []

    def watch(images, rng):
        kept.append(weights(whole))
        return images

    quiet(whole, digits[0], optimizer=optim.SGD(whole.parameters(), lr=0.1), augment=watch, epochs=1)
    assert same(found, kept[3])  # after three steps, before the fourth


def test_a_gradient_that_is_not_finite_is_named_though_the_loss_is(digits):
    class Root(nn.Module):
        def forward(self, x):
            return x**0.5

    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), Root(), nn.Linear(4, 10))
    model[1].weight.data[...], model[1].bias.data[...] = 0, 0  # the root's slope at 0 is infinite
    before = weights(model)
    with pytest.raises(FloatingPointError, match=r"gradient of 1\.bias became NaN or infinite at step 1, while"):
        quiet(model, digits[0])
    assert same(before, weights(model))


def test_a_learning_rate_that_is_too_high_is_told_in_one_sentence_without_warnings(digits):
    model = perceptron()
    with pytest.raises(FloatingPointError, match=r"try a learning rate below 1e\+2\d"):
        quiet(model, digits[0], epochs=50, optimizer=optim.SGD(model.parameters(), lr=1e25, momentum=0.9))


def test_nan_behind_dropout_is_found_with_the_same_units_dropped():
    class BreaksIfFirstUnitIsKept(nn.Module):
        def forward(self, x):
            return x * (np.nan if x.data[0, 0] else 1.0)

    broken = 0
    for seed in range(20):  # a new draw would find nothing about every second time
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), BreaksIfFirstUnitIsKept(), nn.Linear(64, 10))
        try:
            quiet(model, (np.ones((1, 1, 8, 8), np.float32), [0]), seed=seed, epochs=1)
        except FloatingPointError as error:
            broken += 1
            assert "first in the output of 2" in str(error)
    assert 4 <= broken <= 16


def test_nan_from_the_augmentation_is_told_apart(digits):
    with pytest.raises(FloatingPointError, match="already in the images that augment made"):
        quiet(perceptron(), digits[0], augment=lambda images, rng: images * np.nan)


def test_nan_in_the_loss_alone_accuses_no_layer(digits):
    class Net(nn.Sequential):
        def training_step(self, images, labels):
            loss, scores = training.classification_step(self, images, labels)
            return loss * np.nan, scores

    with pytest.raises(FloatingPointError, match="in the loss itself"):
        quiet(Net(*perceptron()), digits[0])


# ---- wrong input ----------------------------------------------------------------------------------------

IMAGES, LABELS = np.zeros((6, 1, 8, 8), np.float32), np.arange(6)


def with_nan():
    images = IMAGES.copy()
    images[4, 0, 2, 2] = np.nan
    return images


@pytest.mark.parametrize(
    "data,settings,error,words",
    [
        ((IMAGES[:, 0], LABELS), {}, ValueError, r"train needs images \(N, C, H, W\) or .* \(6, 8, 8\)"),
        ((IMAGES[:0], LABELS[:0]), {}, ValueError, "train holds no images"),
        ((IMAGES, LABELS[:5]), {}, ValueError, r"train has 6 images, but labels of shape \(5,\)"),
        ((IMAGES, LABELS + 5), {}, ValueError, "labels needs values from 0 to 9 for 10 classes, but holds 10"),
        ((IMAGES, LABELS / 2), {}, TypeError, "labels needs integers"),
        ((IMAGES, LABELS[:, None]), {}, ValueError, r"labels needs shape \(6,\)"),
        ((with_nan(), LABELS), {}, ValueError, "train holds NaN or infinity, first in image 4"),
        ((with_nan()[:, 0, 2], LABELS), {}, ValueError, "train holds NaN or infinity, first in image 4"),
        ((IMAGES[:, 0, 0], LABELS), {"augment": training.Augmentation(shift=1)}, ValueError, "augment changes images"),
        (IMAGES, {}, TypeError, r"train needs a Dataset or a pair \(images, labels\), but got ndarray"),
        ((np.zeros((6, 1, 9, 9)), LABELS), {}, ValueError, "expects 64 inputs .*but x has 81"),
        ((IMAGES, LABELS), {"validation": (IMAGES, LABELS[:2])}, ValueError, "validation has 6 images"),
        ((IMAGES, LABELS), {"validation": (with_nan(), LABELS)}, ValueError, "validation holds NaN"),
        ((IMAGES, LABELS), {"patience": 2}, ValueError, "patience needs a validation set"),
        ((IMAGES, LABELS), {"patience": 0, "validation": (IMAGES, LABELS)}, ValueError, "patience needs to be"),
        ((IMAGES, LABELS), {"epochs": 0}, ValueError, "epochs needs to be at least 1"),
        ((IMAGES, LABELS), {"epochs": 1.5}, TypeError, "epochs needs an integer"),
        ((IMAGES, LABELS), {"batch_size": -4}, ValueError, "batch_size needs to be at least 1"),
        ((IMAGES, LABELS), {"seed": -1}, ValueError, "seed needs to be at least 0"),
        ((IMAGES, LABELS), {"schedule": "two-cycle"}, ValueError, "one of one-cycle, cosine or.*'two-cycle'"),
        ((IMAGES, LABELS), {"checkpoint": "run.pt"}, ValueError, r"ends in \.safetensors, but got 'run.pt'"),
    ],
)
def test_wrong_input_to_fit_is_named_before_a_weight_changes(data, settings, error, words):
    model = perceptron()
    before = weights(model)
    with pytest.raises(error, match=words):
        quiet(model, data, **settings)
    assert same(before, weights(model))


@pytest.mark.parametrize(
    "data,settings,error,words",
    [
        ((IMAGES, LABELS[:5]), {}, ValueError, "evaluate: dataset has 6 images"),
        ((IMAGES[:0], LABELS[:0]), {}, ValueError, "evaluate: dataset holds no images"),
        ((IMAGES, LABELS), {"batch_size": 0}, ValueError, "evaluate: batch_size needs to be at least 1"),
        ("digits", {}, TypeError, "evaluate: dataset needs a Dataset or a pair"),
    ],
)
def test_wrong_input_to_evaluate_is_named(data, settings, error, words):
    with pytest.raises(error, match=words):
        evaluate(perceptron(), data, **settings)


def test_integer_images_are_computed_in_float32(digits):
    model = perceptron()
    found = evaluate(model, ((digits[1].images * 16).astype(np.uint8), digits[1].labels))
    assert found.scores.dtype == np.float32


# ---- the progress bar -----------------------------------------------------------------------------------


def test_the_bar_shows_loss_and_accuracy_and_can_be_silent(digits, monkeypatch):
    for shown in (True, False):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        fit(perceptron(), digits[0], epochs=2, batch_size=64, progress=shown)
        text = sys.stderr.getvalue()
        if shown:
            assert "10/10" in text and "epoch 2/2" in text and "loss 2" in text and "accuracy 0." in text
        else:
            assert text == ""


def test_the_bar_is_closed_when_training_fails(digits, monkeypatch):
    closed = []
    monkeypatch.setattr(training._Bar, "__exit__", lambda self, *e: closed.append(self.bar.close()))
    with pytest.raises(FloatingPointError):
        quiet(perceptron(), digits[0], augment=lambda images, rng: images * np.nan)
    assert len(closed) == 1


def test_a_tensor_is_what_the_model_gets(digits):
    class Check(nn.Module):
        def forward(self, x):
            assert isinstance(x, Tensor) and x.dtype == np.float32
            return x

    quiet(nn.Sequential(Check(), *perceptron()), digits[0][:32], epochs=1)
