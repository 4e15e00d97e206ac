"""Freezing, rates by depth, kept features and new heads: what stays still, what moves, and that PyTorch agrees."""

import numpy as np
import pytest
import torch

import zerohero as zh
from zerohero import models, nn, optim, training, transfer
from zerohero.models.resnet_cifar import resnet_cifar
from zerohero.tensor import Parameter, Tensor

IMAGES = np.random.default_rng(1).random((24, 3, 8, 8), dtype=np.float32)
LABELS = np.arange(24) % 3


def small_resnet(classes=3):
    zh.seed(0)
    return resnet_cifar(8, num_classes=classes, width=4)


def copied(model):
    return {name: array.copy() for name, array in model.state_dict().items()}


def moved(model, before):
    return {name for name, array in model.state_dict().items() if not np.array_equal(array, before[name])}


def learn(model, **settings):
    optimizer = settings.pop("optimizer", None) or optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    settings = {"epochs": 2} | settings
    training.fit(model, (IMAGES, LABELS), batch_size=8, optimizer=optimizer, progress=False, **settings)


# ---- layers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (models.create("lenet5"), 5),
        (resnet_cifar(8, width=2), 8),
        (models.create("resnet18", width=2), 18 + 3),  # and three projections
        (models.create("vgg11", width=2, hidden=4), 11),
        (models.create("alexnet", channels=(4, 4, 4, 4, 4), hidden=4), 8),
    ],
)
def test_layers_are_counted_as_the_papers_count(model, count):
    assert len(transfer.layers(model)) == count


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (models.create("lenet5"), (1, 1, 28, 28)),
        (resnet_cifar(8, width=2), (1, 3, 8, 8)),
        (models.create("resnet18", width=2), (1, 3, 32, 32)),
        (models.create("squeezenet1_1", num_classes=9), (1, 3, 64, 64)),
        (models.create("densenet121", growth=4), (1, 3, 64, 64)),
    ],
)
def test_layers_come_in_the_order_in_which_they_run(model, shape):
    names, ran = {id(module): name for name, module in model.named_modules()}, []
    with nn.observe(lambda module, inputs, output: ran.append(names[id(module)])):
        model.eval()(np.zeros(shape, np.float32))
    known = transfer.layers(model)
    assert [name for name in ran if name in known] == list(known)


def test_every_parameter_belongs_to_exactly_one_layer():
    model = models.create("densenet121", growth=4)
    names = [name for each in transfer.layers(model).values() for name in each]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert len(names) == len(set(names))


def test_batch_normalization_before_any_layer_belongs_to_the_first():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 2))
    assert transfer.layers(model) == {
        "1": ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"],
        "4": ["4.weight", "4.bias"],
    }


# ---- freezing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(9))
def test_the_first_k_layers_stay_and_all_others_move(first):
    model = small_resnet()
    transfer.freeze(model, first=first)
    before = copied(model)
    if first == 8:
        assert not any(parameter.requires_grad for parameter in model.parameters())
        return
    learn(model)
    still = {name for each in list(transfer.layers(model).values())[:first] for name in each}
    norms = {name.rpartition(".")[0] for name in still if "bn" in name}
    still |= {f"{norm}.{buffer}" for norm in norms for buffer in ("running_mean", "running_var")}
    assert moved(model, before) == set(before) - still
    assert len(still) == (5 * first if first < 8 else len(before))


def test_weight_decay_and_momentum_from_before_leave_frozen_weights_alone():
    model = small_resnet()
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.5)
    learn(model, optimizer=optimizer)
    transfer.freeze(model, "layer1")
    before = copied(model)
    learn(model, optimizer=optimizer)
    assert not {name for name in moved(model, before) if name.startswith("layer1")}
    adam = optim.Adam(model.parameters(), 0.1, weight_decay=0.5, decoupled=True)
    learn(model, optimizer=adam)
    assert not {name for name in moved(model, before) if name.startswith("layer1")}


def test_frozen_parameters_forget_their_gradient_and_take_none():
    model = small_resnet()
    nn_loss = zh.cross_entropy(model(Tensor(IMAGES)), LABELS)
    nn_loss.backward()
    transfer.freeze(model, "conv1")
    assert model.conv1.weight.grad is None
    zh.cross_entropy(model(Tensor(IMAGES)), LABELS).backward()
    assert model.conv1.weight.grad is None and model.linear.weight.grad is not None


def test_frozen_normalization_gives_in_training_what_it_gives_in_evaluation():
    norm = nn.BatchNorm2d(3)
    norm(IMAGES)
    assert not np.allclose(norm.train()(IMAGES).numpy(), norm.eval()(IMAGES).numpy())
    expected = norm.eval()(IMAGES).numpy()
    transfer.freeze(norm)
    np.testing.assert_array_equal(norm.train()(IMAGES).numpy(), expected)


def test_normalization_with_one_of_two_parameters_frozen_still_follows_the_batches():
    model = small_resnet()
    transfer.freeze(model, "bn1.weight")
    before = copied(model)
    learn(model)
    assert "bn1.weight" not in moved(model, before)
    assert {"bn1.bias", "bn1.running_mean"} <= moved(model, before)
    transfer.freeze(model, "bn1.bias")
    before = copied(model)
    learn(model)
    assert not {name for name in moved(model, before) if name.startswith("bn1")}


def test_unfrozen_layers_learn_again_their_statistics_too():
    model = small_resnet()
    transfer.freeze(model)
    transfer.unfreeze(model, first=1)
    before = copied(model)
    learn(model)
    names = {"conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"}
    assert moved(model, before) == names
    assert transfer.unfreeze(model) == [name for name, _ in model.named_parameters()]
    learn(model)
    assert moved(model, before) == set(before)


def test_freezing_twice_adds_up():
    model = small_resnet()
    transfer.freeze(model, first=2)
    transfer.freeze(model, first=0)
    transfer.freeze(model, "linear")
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == ["conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.0.bn1.weight",
                      "layer1.0.bn1.bias", "linear.weight", "linear.bias"]  # fmt: skip


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("linear", ["linear.weight", "linear.bias"]),
        ("*.bias", ["bn1.bias", "layer1.0.bn1.bias", "layer1.0.bn2.bias", "linear.bias"]),
        (["bn1", "conv1.weight"], ["conv1.weight", "bn1.weight", "bn1.bias"]),  # in the model's order
        ("layer1.?.conv?", ["layer1.0.conv1.weight", "layer1.0.conv2.weight"]),
        ("conv1", ["conv1.weight"]),  # a name, not a part of one: layer1.0.conv1 is another
    ],
)
def test_patterns_choose_parameters_by_name_or_by_module(patterns, names):
    model = small_resnet()
    transfer.freeze(model, ["layer2", "layer3"])
    found = [name for name in transfer.freeze(model, patterns) if name[:6] not in ("layer2", "layer3")]
    assert found == names


def test_frozen_layers_are_stepped_as_in_pytorch():
    """Two convolutions with normalization, the first frozen; torch needs requires_grad_ and eval for the same."""
    zh.seed(3)
    ours = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.ReLU(),
        nn.Flatten(), nn.Linear(80, 3),
    )  # fmt: skip
    ours[1].running_mean[...], ours[1].running_var[...] = 0.3, 2.0
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3),
        torch.nn.BatchNorm2d(5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(80, 3),
    )  # fmt: skip
    theirs.load_state_dict({n: torch.tensor(a.copy()) for n, a in ours.state_dict().items()}, strict=False)
    transfer.freeze(ours, first=1)
    theirs[0].requires_grad_(False)
    theirs[1].requires_grad_(False).eval()
    rates = {"3": 0.02, "4": 0.02, "7": 0.2}
    optimizer = optim.SGD(transfer.groups(ours, rates), momentum=0.9, weight_decay=0.01)
    twin = torch.optim.SGD(
        [{"params": list(theirs[int(i)].parameters()), "lr": lr} for i, lr in rates.items()] + [
            {"params": [*theirs[0].parameters(), *theirs[1].parameters()], "lr": 0.02}
        ], momentum=0.9, weight_decay=0.01,
    )  # fmt: skip
    for step in range(4):
        batch = slice(6 * step, 6 * step + 6)
        optimizer.zero_grad()
        zh.cross_entropy(ours(Tensor(IMAGES[batch])), LABELS[batch]).backward()
        optimizer.step()
        twin.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(IMAGES[batch])), torch.tensor(LABELS[batch]))
        loss.backward()
        twin.step()
    expected = {n: a.numpy() for n, a in theirs.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert expected.keys() == ours.state_dict().keys()
    for name, array in ours.state_dict().items():
        np.testing.assert_allclose(array, expected[name], rtol=2e-4, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("act", [transfer.freeze, transfer.unfreeze])
@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (dict(first=9), ValueError, "at most 8"),
        (dict(first=-1), ValueError, "at least 0"),
        (dict(first=True), TypeError, "integer"),
        (dict(first=1.0), TypeError, "integer"),
        (dict(patterns="conv9"), ValueError, "fits no parameter; there are conv1.weight"),
        (dict(patterns=["conv1", "nothing"]), ValueError, "'nothing' fits no parameter"),
        (dict(patterns=[]), ValueError, "first=0"),
        (dict(patterns=3), TypeError, "patterns needs names"),
        (dict(patterns="conv1", first=1), ValueError, "both"),
    ],
)
def test_what_cannot_be_chosen_says_why_and_changes_nothing(act, arguments, error, says):
    model = small_resnet()
    with pytest.raises(error, match=says):
        act(model, **arguments)
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(TypeError, match="model needs a Module"):
        act([1, 2])


# ---- rates ----------------------------------------------------------------------------------------------


def test_each_group_learns_with_its_own_rate():
    model = models.create("lenet5")
    optimizer = optim.SGD(transfer.groups(model, {"conv*": 0.0, "fc?": 0.5}))
    before = copied(model)
    zh.cross_entropy(model(Tensor(np.ones((2, 1, 28, 28), np.float32))), [1, 2]).backward()
    optimizer.step()
    np.testing.assert_array_equal(model.conv1.weight.data, before["conv1.weight"])
    step = before["fc3.bias"] - model.fc3.bias.data
    np.testing.assert_allclose(step, 0.5 * model.fc3.bias.grad, rtol=1e-4, atol=1e-7)


def test_the_rate_falls_from_the_head_towards_the_images():
    model = small_resnet()
    found = transfer.groups_by_depth(model, 0.1, factor=0.5)
    assert [group["lr"] for group in found] == [0.1 * 0.5**k for k in range(7, -1, -1)]
    assert found[-1]["params"] == [model.linear.weight, model.linear.bias]
    assert sum(len(group["params"]) for group in found) == len(model.parameters())
    assert optim.Adam(found).groups[0]["lr"] == 0.1 / 128


def test_a_parameter_in_two_groups_or_in_none_is_named():
    model = models.create("lenet5")
    with pytest.raises(ValueError, match=r"conv1.weight is in two groups, 'conv\*' and 'conv1'"):
        transfer.groups(model, {"conv*": 0.1, "conv1": 0.2, "fc*": 0.3})
    with pytest.raises(ValueError, match=r"fc1\.weight learns, but has no rate"):
        transfer.groups(model, {"conv*": 0.1})
    transfer.freeze(model, "fc*")
    assert len(transfer.groups(model, {"conv*": 0.1})) == 1
    assert len(transfer.groups(model, {"conv*": 0.1, "fc*": 0.2})) == 2


@pytest.mark.parametrize(
    ("rates", "error", "says"),
    [
        ({}, TypeError, "rates needs a dict"),
        ([("conv*", 0.1)], TypeError, "rates needs a dict"),
        ({"*": -0.1}, ValueError, "rate of"),
        ({"*": "fast"}, TypeError, "needs a number"),
        ({"*": float("nan")}, ValueError, "rate of"),
        ({1: 0.1}, TypeError, "names"),
        ({"conv": 0.1}, ValueError, "fits no parameter"),
    ],
)
def test_rates_that_make_no_sense_are_refused(rates, error, says):
    with pytest.raises(error, match=says):
        transfer.groups(models.create("lenet5"), rates)


@pytest.mark.parametrize("arguments", [dict(lr=-1, factor=0.5), dict(lr=1, factor=1.5), dict(lr=1, factor=-0.1)])
def test_rates_by_depth_refuse_what_would_not_fall(arguments):
    with pytest.raises(ValueError, match="needs to lie in"):
        transfer.groups_by_depth(models.create("lenet5"), **arguments)


# ---- features -------------------------------------------------------------------------------------------


def test_features_are_those_of_each_image_alone_in_order():
    model = small_resnet()
    learn(model)
    model.train()
    before = copied(model)
    found = transfer.features(model, IMAGES, "flatten", batch_size=7, progress=False)
    alone = [transfer.features(model, IMAGES[i : i + 1], "flatten", progress=False) for i in range(len(IMAGES))]
    np.testing.assert_allclose(found, np.concatenate(alone), rtol=1e-5, atol=1e-6)
    assert len(np.unique(found.round(5), axis=0)) == len(IMAGES)  # so that order would show
    assert model.training and model.bn1.training and not moved(model, before)


def test_a_linear_head_on_the_features_gives_the_scores():
    model = small_resnet()
    learn(model)
    found = transfer.features(model, IMAGES, "flatten", progress=False).reshape(24, -1)
    scores = found @ model.linear.weight.data.T + model.linear.bias.data
    np.testing.assert_allclose(scores, model.scores(IMAGES), rtol=1e-4, atol=1e-5)


def test_a_head_alone_learns_from_features_what_it_learns_on_the_frozen_model():
    model = small_resnet()
    transfer.freeze(model)
    transfer.replace_head(model, 3)
    head = transfer.replace_head(small_resnet(), 3).linear
    head.load_state_dict(model.linear.state_dict())
    found = transfer.features(model, IMAGES, "flatten", progress=False)
    rate = optim.SGD(head.parameters(), 0.1)
    training.fit(head, (found, LABELS), epochs=3, batch_size=8, optimizer=rate, progress=False)
    learn(model, optimizer=optim.SGD(model.parameters(), 0.1), epochs=3)
    np.testing.assert_allclose(head.weight.data, model.linear.weight.data, rtol=1e-4, atol=1e-6)
    on_features, whole = training.evaluate(head, (found, LABELS)), training.evaluate(model, (IMAGES, LABELS))
    np.testing.assert_allclose(on_features.scores, whole.scores, rtol=1e-4, atol=1e-5)


def test_features_drop_nothing():
    zh.seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 4)).train()
    np.testing.assert_array_equal(transfer.features(model, IMAGES, "1", progress=False), IMAGES.reshape(24, -1))


def test_a_dataset_gives_the_features_of_its_images():
    digits = zh.datasets.load("digits", "test", size=28)
    model = zh.weights.load("lenet5_digits")
    found = transfer.features(model, digits, "relu#3", progress=False)
    np.testing.assert_array_equal(found, transfer.features(model, digits.images, "relu#3", progress=False))


def test_cached_features_are_read_back_without_running_the_model(tmp_path, monkeypatch):
    model, path = small_resnet(), tmp_path / "features.safetensors"
    found = transfer.features(model, IMAGES, "layer1", cache=path, progress=False)
    monkeypatch.setattr(type(model), "forward", None)
    np.testing.assert_array_equal(transfer.features(model, IMAGES, "layer1", cache=path, progress=False), found)


@pytest.mark.parametrize("change", ["weights", "statistics", "images", "order", "layer"])
def test_a_cache_of_something_else_is_not_used(tmp_path, change):
    model, path, images, layer = small_resnet(), tmp_path / "features.safetensors", IMAGES, "layer1"
    transfer.features(model, images, layer, cache=path, progress=False)
    if change == "weights":
        model.layer1[0].conv2.weight.data[0, 0, 0, 0] += 1
    elif change == "statistics":
        model.bn1.running_mean[0] += 1
    elif change == "images":
        images = images + np.float32(0.1)
    elif change == "order":
        images = images[::-1]
    else:
        layer = "layer2"
    expected = transfer.features(model, images, layer, progress=False)
    for _ in range(2):
        found = transfer.features(model, images, layer, cache=path, progress=False)
        np.testing.assert_array_equal(found, expected)


def test_a_cache_never_overwrites_a_file_of_another_kind(tmp_path):
    model, path = small_resnet(), tmp_path / "weights.safetensors"
    zh.save_weights(model, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="file of another kind"):
        transfer.features(model, IMAGES, "layer1", cache=path, progress=False)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="safetensors"):
        transfer.features(model, IMAGES, "layer1", cache=tmp_path / "features.npz", progress=False)


@pytest.mark.parametrize(
    ("images", "layer", "says"),
    [
        (IMAGES, "layer9", "layer needs one of conv1"),
        (IMAGES, 3, "layer needs one of conv1"),
        (IMAGES[0], "conv1", r"shape \(N, C, H, W\)"),
        (IMAGES[:0], "conv1", "N at least 1"),
        (np.where(np.arange(24)[:, None, None, None] == 5, np.nan, IMAGES), "conv1", "first in image 5"),
    ],
)
def test_features_that_cannot_be_had_say_why(images, layer, says):
    with pytest.raises(ValueError, match=says):
        transfer.features(small_resnet(), images, layer, progress=False)
    with pytest.raises(ValueError, match="batch_size needs to be at least 1"):
        transfer.features(small_resnet(), IMAGES, "conv1", batch_size=0)


def test_a_layer_that_mixes_images_has_no_features():
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(axis=0)

    with pytest.raises(ValueError, match="no row for each"):
        transfer.features(nn.Sequential(nn.Flatten(), Mean()), IMAGES, "1", progress=False)


# ---- heads ----------------------------------------------------------------------------------------------


def test_a_new_head_learns_and_leaves_the_rest_as_it_was():
    model = small_resnet(classes=10)
    before = copied(model)
    transfer.freeze(model)
    assert transfer.replace_head(model, 3) is model
    assert model.scores(IMAGES).shape == (24, 3)
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == {
        "linear.weight", "linear.bias",
    }  # fmt: skip
    assert not {name for name in moved(model, before | {k: None for k in ("linear.weight", "linear.bias")})} - {
        "linear.weight", "linear.bias",
    }  # fmt: skip
    learn(model)
    assert all(
        np.array_equal(array, before[name]) for name, array in model.state_dict().items() if "linear" not in name
    )


def test_a_new_head_is_drawn_anew_even_for_as_many_classes():
    model = small_resnet()
    old = model.linear.weight.data.copy()
    zh.seed(1)
    first = transfer.replace_head(model, 3).linear.weight.data.copy()
    zh.seed(1)
    again = transfer.replace_head(model, 3).linear.weight.data
    assert not np.allclose(first, old)
    np.testing.assert_array_equal(first, again)


def test_a_new_head_keeps_type_mode_and_whether_there_is_a_bias():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)).eval()
    model[1].weight.data = model[1].weight.data.astype(np.float64)
    head = transfer.replace_head(model, 7)[1]
    assert head.weight.shape == (7, 4) and head.weight.dtype == np.float64
    assert head.bias is None and not head.training


def test_a_convolution_can_be_the_head():
    model = transfer.replace_head(models.create("squeezenet1_1", num_classes=9), 4)
    assert model.scores(np.zeros((2, 3, 64, 64), np.float32)).shape == (2, 4)


@pytest.mark.parametrize("kind", [list, dict])
def test_a_head_in_a_list_or_a_dict_is_replaced(kind):
    class Held(nn.Module):
        def __init__(self):
            layers = [nn.Flatten(), nn.Linear(192, 5)]
            self.parts = layers if kind is list else dict(enumerate(layers))

        def forward(self, x):
            return self.parts[1](self.parts[0](x))

    assert transfer.replace_head(Held(), 2).scores(IMAGES).shape == (24, 2)


def test_a_model_that_trains_in_its_own_way_needs_its_head_named():
    with pytest.raises(ValueError, match="CapsNet trains in its own way"):
        transfer.replace_head(zh.weights.load("capsnet_mnist"), 3)
    model = transfer.replace_head(models.create("googlenet"), 3, layer="fc")
    assert model.fc.weight.shape[0] == 3


@pytest.mark.parametrize(
    ("layer", "says"), [("bn1", "but got 'bn1'"), ("nothing", "one of conv1"), ("", "but got ''"), (3, "but got 3")]
)
def test_what_cannot_be_a_head_says_what_can(layer, says):
    model = small_resnet()
    before = copied(model)
    with pytest.raises(ValueError, match=says):
        transfer.replace_head(model, 2, layer=layer)
    assert not moved(model, before)


@pytest.mark.parametrize(("classes", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_a_head_needs_at_least_one_class(classes, error):
    with pytest.raises(error, match="num_classes"):
        transfer.replace_head(small_resnet(), classes)


def test_a_model_without_layers_has_no_head():
    with pytest.raises(ValueError, match="none here"):
        transfer.replace_head(nn.Sequential(nn.Flatten()), 2)
    assert transfer.layers(nn.Sequential(nn.ReLU())) == {}


def test_parameters_outside_any_layer_of_ours_are_a_layer_too():
    class Own(nn.Module):
        def __init__(self):
            self.scale = Parameter([2.0])

    assert transfer.layers(nn.Sequential(Own(), nn.Linear(1, 1))) == {
        "0": ["0.scale"], "1": ["1.weight", "1.bias"],
    }  # fmt: skip
