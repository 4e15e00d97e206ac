"""The transforming auto-encoder: against the exercise's definition, and that poses learn to move."""

import numpy as np
import pytest

import zerohero as zh
from zerohero.checks import exercise_13
from zerohero.models.transforming_autoencoder import learn_shifts, shifted, transforming_autoencoder


def small(**options):
    zh.seed(0)
    return transforming_autoencoder(**dict(image_size=6, capsules=4) | options)


def test_shifts_move_images_as_the_exercise_does_and_zeros_move_in(rng):
    images = rng.uniform(1, 2, size=(9, 2, 5, 7))
    shifts = rng.integers(-4, 5, size=(9, 2))
    for image, shift, moved in zip(images, shifts, shifted(images, shifts)):
        for channel, found in zip(image, moved):
            np.testing.assert_array_equal(found, exercise_13._moved(channel, *shift))


def test_the_output_and_loss_are_those_of_the_exercise(rng):
    model, images = small(), rng.uniform(size=(5, 1, 6, 6)).astype(np.float32)
    shifts = rng.integers(-2, 3, size=(5, 2))

    def recognise(images):
        poses, gates = model.recognise(zh.Tensor(images[:, None]))
        return poses.numpy(), gates.numpy()[:, :, 0]

    def generate(poses):  # each capsule's drawing alone, its gate 1
        alone = np.eye(4, dtype=np.float32)[..., None]  # (K, K, 1)
        drawings = [
            model.generate(zh.Tensor(poses), np.repeat(one[None], len(poses), 0)).numpy()[:, 0] for one in alone
        ]
        return np.stack(drawings, axis=1)

    output, loss = exercise_13.transforming_autoencoder.reference(images[:, 0], shifts, recognise, generate)
    np.testing.assert_allclose(model.told(images, shifts)[:, 0], output, atol=1e-5)
    assert zh.reconstruction_loss(output[:, None], shifted(images, shifts)) == pytest.approx(loss, rel=1e-5)


def test_a_shift_told_is_a_pose_moved(rng):
    model, images = small(), rng.uniform(size=(3, 1, 6, 6)).astype(np.float32)
    poses, gates = model.recognise(zh.Tensor(images))
    moved = model.generate(poses + np.array([1.0, -2.0], np.float32), gates).numpy()
    np.testing.assert_allclose(model.told(images, np.array([[1, -2]] * 3)), moved, atol=1e-6)
    assert abs(moved - model.told(images, np.zeros((3, 2)))).max() > 1e-3


def test_a_closed_gate_draws_nothing():
    model = small()
    assert (model.generate(zh.Tensor(np.ones((1, 4, 2), np.float32)), np.zeros((1, 4, 1))).numpy() == 0).all()


def test_it_has_the_units_of_the_figure():
    model = small(image_size=16, capsules=30)
    shapes = {name: p.shape for name, p in model.named_parameters()}
    assert shapes["recognition.weight"] == (30 * 3, 256)
    assert shapes["pose"] == (30, 3, 1, 3) and shapes["generation"] == (30, 2, 1, 4)
    assert shapes["drawing.weight"] == (256, 30 * 4)


def test_a_little_training_makes_poses_follow_the_image():
    images = np.pad(zh.datasets.load("digits", "train").images, ((0, 0), (0, 0), (4, 4), (4, 4)))
    zh.seed(0)
    model = transforming_autoencoder(recognition_units=10, generation_units=20)
    losses = learn_shifts(model, images, epochs=25)
    assert losses[-1] < losses[0] / 2
    test = np.pad(zh.datasets.load("digits", "test").images, ((0, 0), (0, 0), (4, 4), (4, 4)))
    here, there = np.random.default_rng(1).integers(-2, 3, (2, len(test), 2))
    predicted = model.shift_between(shifted(test, here), shifted(test, there))
    for axis in (0, 1):
        assert np.corrcoef(predicted[:, axis], (there - here)[:, axis])[0, 1] > 0.9
        assert abs(np.corrcoef(predicted[:, axis], (there - here)[:, 1 - axis])[0, 1]) < 0.4


def test_the_same_seed_trains_the_same_model(rng):
    images = rng.uniform(size=(20, 1, 6, 6)).astype(np.float32)
    assert learn_shifts(small(), images, epochs=2, reach=1) == learn_shifts(small(), images, epochs=2, reach=1)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: transforming_autoencoder(capsules=0), "transforming_autoencoder: capsules needs"),
        (lambda: small()(np.zeros((2, 1, 6, 6), np.float32), np.zeros((3, 2))), r"shifts needs shape \(2, 2\)"),
        (lambda: small()(np.zeros((2, 1, 5, 5), np.float32), np.zeros((2, 2))), "recognise: x needs"),
        (lambda: small()(np.zeros((2, 1, 7, 7), np.float32), np.zeros((2, 2))), "recognise: images needs"),
        (lambda: shifted(np.zeros((2, 1, 5, 5)), [[0, 1]]), r"shifted: shifts needs whole numbers of shape \(2, 2\)"),
        (lambda: shifted(np.zeros((1, 1, 5, 5)), [[0.5, 1]]), "shifted: shifts needs whole numbers"),
        (lambda: learn_shifts(small(), np.zeros((4, 1, 6, 6), np.float32), epochs=0), "learn_shifts: epochs needs"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
