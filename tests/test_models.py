"""LeNet-5: its shapes and count, every gradient against a PyTorch twin, and what it learns on scanned digits."""

import time

import numpy as np
import pytest
import torch

import zerohero as zh
from zerohero import models, nn, recipes, training
from zerohero.tensor import Parameter, Tensor


def test_lenet5_has_61706_parameters():
    model = models.create("lenet5")
    assert model.num_parameters() == 61706
    shapes = {name: p.shape for name, p in model.named_parameters()}
    assert shapes == {
        "conv1.weight": (6, 1, 5, 5), "conv1.bias": (6,), "conv2.weight": (16, 6, 5, 5), "conv2.bias": (16,),
        "fc1.weight": (120, 400), "fc1.bias": (120,), "fc2.weight": (84, 120), "fc2.bias": (84,),
        "fc3.weight": (10, 84), "fc3.bias": (10,),
    }  # fmt: skip


@pytest.mark.parametrize("variant", ["modern", "1998"])
def test_lenet5_goes_through_the_shapes_of_its_docstring(variant):
    seen = {}
    model = models.create("lenet5", variant=variant)
    names = {id(module): name for name, module in model.named_modules()}
    with nn.observe(lambda module, inputs, output: seen.setdefault(names[id(module)], output.shape)):
        model(Tensor(np.zeros((3, 1, 28, 28), np.float32)))
    assert seen == {
        "conv1": (3, 6, 28, 28), "conv2": (3, 16, 10, 10), "fc1": (3, 120), "fc2": (3, 84), "fc3": (3, 10), "": (3, 10),
    }  # fmt: skip


@pytest.mark.parametrize("size", [12, 13, 20, 28, 32])
def test_lenet5_fits_any_size_from_12(size):
    model = models.create("lenet5", image_size=size, in_channels=3, num_classes=7)
    assert model(Tensor(np.zeros((2, 3, size, size), np.float32))).shape == (2, 7)


class Twin(torch.nn.Module):
    """The same net in PyTorch's own words."""

    def __init__(self, variant):
        super().__init__()
        t = torch.nn
        self.conv1, self.conv2 = t.Conv2d(1, 6, 5, padding=2), t.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = t.Linear(400, 120), t.Linear(120, 84), t.Linear(84, 10)
        self.activation = torch.tanh if variant == "1998" else torch.relu
        self.pool = t.AvgPool2d(2) if variant == "1998" else t.MaxPool2d(2)

    def forward(self, x):
        x = self.pool(self.activation(self.conv1(x)))
        x = self.pool(self.activation(self.conv2(x)))
        x = self.activation(self.fc1(x.flatten(1)))
        return self.fc3(self.activation(self.fc2(x)))


@pytest.mark.parametrize("variant", ["modern", "1998"])
def test_every_gradient_of_the_whole_net_is_pytorchs(variant, rng):
    theirs = Twin(variant).double()
    ours = models.create("lenet5", variant=variant)
    for _, parameter in ours.named_parameters():
        parameter.data = parameter.data.astype(np.float64)
    ours.load_state_dict(theirs.state_dict())
    images, labels = rng.standard_normal((6, 1, 28, 28)), rng.integers(0, 10, 6)

    x = Parameter(images)
    loss = zh.cross_entropy(ours(x), labels)
    loss.backward()
    t = torch.tensor(images, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(theirs(t), torch.tensor(labels))
    expected.backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    pairs = {name: (p.grad, dict(theirs.named_parameters())[name].grad) for name, p in ours.named_parameters()}
    for name, (found, wanted) in (pairs | {"images": (x.grad, t.grad)}).items():
        wanted = wanted.numpy()
        assert np.abs(found - wanted).max() <= 1e-8 * np.abs(wanted).max(), name


def test_the_1998_variant_starts_from_xavier_weights():
    zh.seed(0)
    model = models.create("lenet5", variant="1998")
    bound = np.sqrt(6 / (400 + 120))
    assert 0.99 * bound < np.abs(model.fc1.weight.data).max() <= bound


def test_the_seed_decides_the_initial_weights():
    zh.seed(5)
    first = models.create("lenet5").fc3.weight.data
    zh.seed(5)
    assert (models.create("lenet5").fc3.weight.data == first).all()
    assert (models.create("lenet5").fc3.weight.data != first).any()


def test_options_of_names_what_a_model_takes():
    assert models.options_of("lenet5")["image_size"] == 28


@pytest.mark.parametrize(
    "make,error,words",
    [
        (lambda: models.create("lenet6"), ValueError, "name needs one of 'lenet5'.*but got 'lenet6'"),
        (lambda: models.options_of("lenet6"), ValueError, "but got 'lenet6'"),
        (lambda: models.create("lenet5", classes=3), TypeError, "no option 'classes'; it has num_classes"),
        (lambda: models.create("lenet5", image_size=8), ValueError, "image_size needs to be at least 12, but got 8"),
        (lambda: models.create("lenet5", variant="2012"), ValueError, "'modern', '1998', but got '2012'"),
        (lambda: models.create("lenet5", num_classes=0), ValueError, "num_classes needs to be at least 1"),
        (lambda: models.create("lenet5", in_channels="RGB"), TypeError, "in_channels needs an integer"),
        (
            lambda: models.create("lenet5").predict(np.zeros((20, 20))),
            ValueError,
            r"expects 400 inputs .*but x has 144",
        ),
        (
            lambda: models.create("lenet5").predict(np.zeros((2, 3, 28, 28))),
            ValueError,
            r"expects 1 input channels .*but x has 3",
        ),
    ],
)
def test_a_wrong_argument_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


# ---- what it learns -------------------------------------------------------------------------------------


def run(seed):
    recipe = recipes.find("lenet5", "digits")
    train, test = recipe.load("train"), recipe.load("test")
    zh.seed(seed)
    model = recipe.create(train)
    started = time.process_time()
    recipe.fit(model, train, seed=seed, progress=False)
    seconds = time.process_time() - started
    return training.evaluate(model, test), seconds


def test_lenet5_reads_98_and_a_half_percent_of_unseen_digits():
    runs = [run(seed) for seed in range(5)]
    accuracies = [evaluation.accuracy for evaluation, _ in runs]
    print(f"accuracies {[f'{a:.4f}' for a in accuracies]}, mean {np.mean(accuracies):.4f}")
    assert np.mean(accuracies) >= 0.985
    assert max(seconds for _, seconds in runs) <= 60
    again, _ = run(0)
    assert (again.scores == runs[0][0].scores).all(), "the same seed gave other numbers"
    assert (runs[1][0].scores != runs[0][0].scores).any(), "another seed gave the same numbers"
