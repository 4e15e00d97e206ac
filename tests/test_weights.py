"""The weights that ship: each file fits its card, holds no path, and scores what the card says."""

import json
import re

import numpy as np
import pytest

import zerohero as zh
from zerohero import datasets, models, recipes, training, weights


@pytest.fixture(params=weights.names())
def name(request):
    return request.param


def test_lenet5_ships_for_digits_and_mnist():
    assert {"lenet5_digits", "lenet5_mnist"} <= set(weights.names())


def test_shipped_weights_are_small_float16_files_with_a_card(name):
    path = weights.FOLDER / f"{name}.safetensors"
    assert path.stat().st_size <= 4_000_000
    arrays, text = zh.checkpoints.read_arrays(path)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
    assert text["model"] in models.names() and text["data"] in datasets.names()
    assert path.with_suffix(".json").is_file()


def test_resnet20_for_photographs_is_as_small_and_as_accurate_as_was_asked():
    assert (weights.FOLDER / "resnet20_cifar10.safetensors").stat().st_size <= 1_200_000
    tested = weights.card("resnet20_cifar10")["test"]  # measured again below, where the images are at hand
    assert tested["examples"] == 1000 and tested["right"] >= 850


def test_a_shipped_model_is_ready_to_use(name):
    model = weights.load(name)
    card = weights.card(name)
    assert not model.training
    assert model.num_parameters() == card["parameters"]
    assert all(np.isfinite(p.data).all() and p.dtype == np.float32 for p in model.parameters())


def test_a_card_says_how_the_weights_were_made(name):
    card = weights.card(name)
    assert card["command"].startswith(f"zerohero train {card['model']} --data {card['data']['name']}")
    assert f"--seed {card['seed']}" in card["command"] and f"--out {name}.safetensors" in card["command"]
    assert card["dtype"] == "float16" and card["data"]["examples"] > 1000 and card["seconds"] > 0
    assert len(card["history"]) == card["recipe"]["epochs"]
    assert {"python", "numpy", "zerohero"} <= card["versions"].keys()
    assert card["machine"]["processor"] and card["machine"]["cores"] >= 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", card["date"])


def test_a_card_holds_no_path(name):
    for text in (json.dumps(weights.card(name)), json.dumps(weights.read(weights.FOLDER / f"{name}.safetensors")[1])):
        assert "/" not in text and "\\\\" not in text


def accuracy_as_its_card_says(name):
    card = weights.card(name)
    test = recipes.find(card["model"], card["data"]["name"]).load("test")
    found = training.evaluate(weights.load(name), test)
    right = int((found.predictions == test.labels).sum())
    assert len(test) == card["test"]["examples"]
    assert abs(right - card["test"]["right"]) <= 1  # another processor may round one image to the other side
    assert found.loss == pytest.approx(card["test"]["loss"], rel=1e-3)
    return right / len(test)


def test_lenet5_digits_scores_what_its_card_says():
    assert accuracy_as_its_card_says("lenet5_digits") >= 0.985


@pytest.mark.data
def test_lenet5_mnist_scores_what_its_card_says():
    assert accuracy_as_its_card_says("lenet5_mnist") >= 0.989


@pytest.mark.data
def test_capsnet_mnist_scores_what_its_card_says():
    assert accuracy_as_its_card_says("capsnet_mnist") >= 0.993


@pytest.mark.data
def test_resnet20_cifar10_scores_what_its_card_says():
    assert accuracy_as_its_card_says("resnet20_cifar10") >= 0.85


@pytest.mark.data
def test_capsnet_baseline_mnist_scores_what_its_card_says():
    assert accuracy_as_its_card_says("capsnet_baseline_mnist") >= 0.992


def test_the_baseline_is_as_large_as_the_capsnet_and_was_trained_as_long_on_the_same_images():
    ours, baseline = weights.card("capsnet_mnist"), weights.card("capsnet_baseline_mnist")
    assert abs(baseline["parameters"] / ours["parameters"] - 1) < 0.001
    for name in ("data", "epochs", "batch_size", "lr", "schedule", "shift", "flip"):
        assert ours["recipe"][name] == baseline["recipe"][name], name
    assert ours["data"] == baseline["data"]


@pytest.mark.data
def test_capsnet_fashion_mnist_scores_what_its_card_says_on_the_images_held_out():
    card = weights.card("capsnet_fashion_mnist")
    held_out = recipes.find("capsnet", "fashion_mnist").load("train").split(0.2, seed=0)[0]
    assert (len(held_out), card["test"]) == (card["data"]["held_out"], None)  # there are no test images at hand
    found = training.evaluate(weights.load("capsnet_fashion_mnist"), held_out)
    assert found.accuracy == pytest.approx(card["history"][-1]["val_accuracy"], abs=2 / len(held_out))  # float16
    assert found.accuracy > 0.88


def test_lenet5_mnist_reads_most_of_the_scanned_digits_too():
    # Other writers, another scanner, 8×8 pixels: the margins bring them into MNIST's frame.
    scans = datasets.load("digits", "all", size=28, margin=4)
    assert training.evaluate(weights.load("lenet5_mnist"), scans).accuracy > 0.8


# ---- capsules, for where the images aren't --------------------------------------------------------------


@pytest.fixture(params=sorted(path.stem for path in weights.CAPSULES.glob("*.safetensors")))
def capsnet(request):
    return request.param


def test_shipped_capsules_are_two_right_ones_of_every_class_and_then_mistakes(capsnet):
    kept = weights.capsules(capsnet)
    longest = np.sqrt((kept["v"] ** 2).sum(2)).argmax(1)
    classes = kept["v"].shape[1]
    assert kept["labels"][: 2 * classes].tolist() == np.repeat(np.arange(classes), 2).tolist()
    assert (longest == kept["labels"])[: 2 * classes].all() and not (longest == kept["labels"])[2 * classes :].any()
    assert len(longest) > 2 * classes and len(set(kept["indices"].tolist())) == len(longest)


def test_the_decoder_draws_the_shipped_digits_so_that_lenet5_reads_them():
    kept = weights.capsules("capsnet_mnist")
    drawn = weights.load("capsnet_mnist").reconstruct(kept["v"][:20], kept["labels"][:20])
    assert (weights.load("lenet5_mnist").scores(drawn).argmax(1) == kept["labels"][:20]).all()


@pytest.mark.data
def test_shipped_mnist_capsules_are_those_of_the_test_images():
    kept = weights.capsules("capsnet_mnist")
    test = datasets.load("mnist", "test")
    assert (test.labels[kept["indices"]] == kept["labels"]).all()
    v = weights.load("capsnet_mnist").capsules(test.images[kept["indices"]])
    np.testing.assert_allclose(v, kept["v"], atol=1e-4)


def test_capsules_that_were_not_kept_are_told():
    with pytest.raises(ValueError, match=r"name needs one of .*capsnet_mnist.*but got 'lenet5_mnist'"):
        weights.capsules("lenet5_mnist")


# ---- files of one's own ---------------------------------------------------------------------------------


def test_a_file_that_says_its_model_and_options_is_read_back(tmp_path):
    options = {"num_classes": 4, "image_size": 20, "variant": "1998"}
    model = models.create("lenet5", **options)
    text = {"model": "lenet5", "options": json.dumps(options)}
    path = zh.save_weights(model, tmp_path / "mine.safetensors", metadata=text)
    read, found = weights.read(path)
    image = np.random.default_rng(0).random((1, 1, 20, 20), dtype=np.float32)
    assert (read.scores(image) == model.scores(image)).all()
    assert found == text and repr(read) == repr(model)


@pytest.mark.parametrize(
    "metadata,error,words",
    [
        ({}, ValueError, "doesn't say which model it holds"),
        ({"facts": "{}"}, ValueError, "is a checkpoint"),
        ({"model": "lenet6"}, ValueError, "but got 'lenet6'"),
        ({"model": "lenet5", "options": '{"depth": 3}'}, ValueError, "no option 'depth'"),
        ({"model": "lenet5", "options": '{"num_classes": 3}'}, ValueError, "misshapen: fc3.weight"),
        ({"model": "lenet5", "options": "{"}, ValueError, "options are no JSON"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_model_says_why(tmp_path, metadata, error, words):
    path = zh.save_weights(models.create("lenet5"), tmp_path / "mine.safetensors", metadata=metadata)
    with pytest.raises(error, match=words):
        weights.read(path)


@pytest.mark.parametrize("function", [weights.load, weights.card])
def test_an_unknown_name_is_told_with_those_that_there_are(function):
    with pytest.raises(ValueError, match=r"name needs one of .*lenet5_digits.*but got 'resnet'"):
        function("resnet")
