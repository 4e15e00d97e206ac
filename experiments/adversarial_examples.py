"""How often do a small step along the gradient's sign, or a single pixel, fool the networks that ship?"""

import numpy as np
from recording import Recording, arguments

import zerohero as zh
from zerohero import datasets, limits, weights

NETWORKS = {
    "lenet5_digits": "digits",
    "lenet5_mnist": "mnist",
    "capsnet_baseline_mnist": "mnist",
    "capsnet_mnist": "mnist",
    "resnet20_cifar10": "cifar10",
}
STEPS = {"digits": (0.05, 0.1, 0.2, 0.3), "mnist": (0.05, 0.1, 0.2, 0.3),
         "cifar10": (1 / 255, 2 / 255, 4 / 255, 8 / 255)}  # fmt: skip
LOSSES = {"its own": None, "score gap": limits.score_gap}


def rightly_classified(network: str, count: int) -> tuple:
    """The model, and the first `count` test images that it reads rightly: no attack is credited with its mistakes."""
    model, data = weights.load(network), NETWORKS[network]
    test = datasets.load(data, "test", size=28 if data == "digits" else None)[: 2 * count]
    right = test[model.predict(test.images) == test.labels][:count]
    return model, right.images, right.labels


def main() -> None:
    options = arguments(
        __doc__, images=500, searched=100, searched_colour=50, tried=50, population=50, generations=20, seed=0
    )
    zh.use_backend(options.backend)
    recording = Recording("adversarial_examples", __doc__, vars(options))

    def fgsm(network: str, attack: str, loss: str) -> dict:
        model, images, labels = rightly_classified(network, options.images)
        fooled, unmoved = [], []
        for step in STEPS[NETWORKS[network]]:
            changed = limits.fgsm(model, images, labels, step, loss=LOSSES[loss])
            fooled.append(int((model.predict(changed) != labels).sum()))
            unmoved.append(int((changed == images).all(axis=(1, 2, 3)).sum()))
        steps = [round(step, 6) for step in STEPS[NETWORKS[network]]]
        return {"steps": steps, "fooled": fooled, "did not move": unmoved, "examples": len(images)}

    def one_pixel(network: str, attack: str) -> dict:
        colour = NETWORKS[network] == "cifar10"
        model, images, labels = rightly_classified(network, options.searched_colour if colour else options.searched)
        budget = dict(population=options.population, generations=options.generations, seed=options.seed)
        found = [limits.one_pixel(model, image, label, **budget) for image, label in zip(images, labels)]
        return {
            "fooled": sum(each.success for each in found),
            "examples": len(images),
            "evaluations": sum(each.evaluations for each in found),
        }

    def every_pixel(network: str, attack: str) -> dict:
        model, images, labels = rightly_classified(network, options.tried)
        worst = [min(limits.pixel_map(model, x, y, v).min() for v in (0, 1)) for x, y in zip(images, labels)]
        return {"fooled": int((np.array(worst) < 0).sum()), "examples": len(images)}

    for network in NETWORKS:
        for loss in LOSSES:
            recording.measure(fgsm, network=network, attack="FGSM", loss=loss)
        recording.measure(one_pixel, network=network, attack="one pixel, searched")
        if NETWORKS[network] != "cifar10":
            recording.measure(every_pixel, network=network, attack="every pixel black or white")


if __name__ == "__main__":
    main()
