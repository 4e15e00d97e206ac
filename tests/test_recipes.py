"""Recipes: data that decide how a model is trained, and the card that says how it was."""

import dataclasses
import json

import numpy as np
import pytest

from zerohero import datasets, models, recipes, weights
from zerohero.recipes import Recipe

QUICK = dataclasses.replace(recipes.find("lenet5", "digits"), epochs=2)


def test_every_recipe_fits_its_model_and_data():
    for (model, data), recipe in recipes.RECIPES.items():
        assert model in models.names() and data in datasets.names()
        assert recipes.find(model, data) is recipe
        if datasets.available(data):
            examples = recipe.load()[:2]
            assert recipe.create(examples).scores(examples.images).shape == (2, len(examples.class_names))


def test_data_without_a_recipe_get_plain_settings_and_images_that_fit():
    recipe = recipes.find("capsnet", "digits")
    assert (recipe.epochs, recipe.lr, recipe.size) == (10, 1e-3, 28)
    faces = recipes.find("lenet5", "faces")
    train = faces.load()
    assert faces.options_for(train) == {"num_classes": 2, "in_channels": 1, "image_size": 25}


def test_a_recipes_own_options_go_to_the_model():
    recipe = Recipe("lenet5", "digits", options={"variant": "1998"}, size=28)
    assert recipe.create(recipe.load()[:1]).variant == "1998"


def test_a_recipe_reads_as_a_sentence():
    plain = Recipe("lenet5", "mnist", schedule=None)
    assert str(plain) == "10 epochs in batches of 32, Adam with learning rate 0.001"
    assert str(dataclasses.replace(plain, flip=True)).endswith(", flips")


def test_what_is_measured_are_the_weights_as_they_are_saved(tmp_path):
    trained = recipes.train(QUICK, limit=200, dtype="float16", progress=False)
    path, card_path = trained.save(tmp_path / "w.safetensors", "zerohero train …")
    model, text = weights.read(path)
    assert all((a == b).all() for a, b in zip(model.state_dict().values(), trained.model.state_dict().values()))
    test = QUICK.load("test")
    card = json.loads(card_path.read_text())
    assert card["test"]["right"] == int((model.predict(test.images) == test.labels).sum())
    assert card["command"] == "zerohero train …" and text["model"] == "lenet5"


def test_the_same_seed_gives_the_same_training_and_another_one_does_not():
    losses = [recipes.train(QUICK, limit=100, seed=seed, progress=False).history.column("loss") for seed in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]


def test_held_out_images_are_not_trained_on():
    trained = recipes.train(QUICK, validation=0.25, limit=64, progress=False)
    whole = QUICK.load()
    held_out, _ = whole.split(0.25, seed=0)
    assert trained.held_out == len(held_out) == 337 and len(trained.train) == 64
    mine = {image.tobytes() for image in trained.train.images}
    theirs = {image.tobytes() for image in held_out.images}
    assert not mine & theirs
    assert np.bincount(trained.train.labels).min() >= 5  # the same share of each class


def test_without_a_test_split_nothing_is_measured_and_the_card_says_so_without_a_path(monkeypatch):
    load = datasets.load

    def only_training(name, split="train", **options):
        if split == "test":
            raise FileNotFoundError("mnist/t10k is neither in /srv/data nor in the cache")
        return load(name, split, **options)

    monkeypatch.setattr(datasets, "load", only_training)
    trained = recipes.train(QUICK, limit=64, progress=False)
    assert trained.test is None and "/srv/data" in trained.test_note
    assert trained.card()["test"] is None and "/" not in json.dumps(trained.card())


@pytest.mark.parametrize(
    "act,error,words",
    [
        (lambda: recipes.find("lenet6", "digits"), ValueError, "model needs one of 'lenet5'.*'lenet6'"),
        (lambda: recipes.find("lenet5", "digit"), ValueError, "data needs one of 'affnist', 'cifar10'.*'digit'"),
        (lambda: recipes.train(QUICK, dtype="int8"), ValueError, "dtype needs one of 'float32', 'float16'"),
        (lambda: recipes.train(QUICK, seed=-1), ValueError, "seed needs to be at least 0"),
        (lambda: recipes.train(QUICK, limit=0), ValueError, "limit needs to be at least 1"),
        (lambda: recipes.train(QUICK, validation=1.5), ValueError, "fraction needs to lie in"),
    ],
)
def test_a_wrong_argument_is_named(act, error, words):
    with pytest.raises(error, match=words):
        act()
