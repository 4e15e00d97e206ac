"""How many images of each class does a CapsNet need, and how many a CNN of its size?"""

import numpy as np
from capsnets import capsnet, cnn, fit, load, right
from recording import Recording, arguments

import zerohero as zh


def some_of_each(dataset, count: int, seed: int):
    """`count` images of every class, chosen at random."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(dataset.labels == label))[:count] for label in np.unique(dataset.labels)]
    return dataset[np.concatenate(rows)]


def main() -> None:
    options = arguments(__doc__, data="mnist", steps=400, batch_size=32, seeds=3, most=1000)
    zh.use_backend(options.backend)
    train, test = load(options.data, "train"), load(options.data, "test")
    recording = Recording("images_per_class", __doc__, vars(options))

    def measure(network: str, images: int, seed: int) -> dict:
        zh.seed(seed)
        chosen = some_of_each(train, images, seed)
        model = {"capsnet": capsnet, "cnn": cnn}[network](options)
        steps = -(-len(chosen) // options.batch_size)
        fit(model, chosen, options, seed, epochs=-(-options.steps // steps))
        return {"parameters": model.num_parameters(), "images": len(chosen), "right": right(model, test),
                "examples": len(test)}

    for seed in range(options.seeds):
        for images in (5, 10, 20, 50, 100, 300, 1000):
            for network in ("capsnet", "cnn"):
                if images <= options.most:
                    recording.measure(measure, network=network, images=images, seed=seed)


if __name__ == "__main__":
    main()
