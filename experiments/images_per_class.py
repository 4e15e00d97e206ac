"""How many images of each class does a CapsNet need, and how many a CNN of its size?"""

import numpy as np
from capsnets import capsnet, chosen_rate, cnn, fit, load, right
from recording import Recording, arguments

import zerohero as zh

NETWORKS = {"capsnet": capsnet, "cnn": cnn}


def rows_of_each(labels, count: int, seed: int) -> np.ndarray:
    """Where `count` images of every class stand, chosen at random."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:count] for label in np.unique(labels)])


def main() -> None:
    options = arguments(__doc__, data="mnist", steps=400, batch_size=32, seeds=3, most=1000)
    zh.use_backend(options.backend)
    train, test = load(options.data, "train"), load(options.data, "test")
    recording = Recording("images_per_class", __doc__, vars(options))

    def epochs(images) -> int:
        """So many that each training has the same number of steps, or a few more."""
        return -(-options.steps // -(-len(images) // options.batch_size))

    def measure(network: str, images: int, seed: int) -> dict:
        zh.seed(seed)
        model, chosen = NETWORKS[network](options), train[rows_of_each(train.labels, images, seed)]
        fit(model, chosen, options, seed, rate=rates[network], epochs=epochs(chosen))
        return {"parameters": model.num_parameters(), "rate": rates[network], "images": len(chosen),
                "right_of_these": right(model, chosen), "right": right(model, test), "examples": len(test)}

    rows = rows_of_each(train.labels, 20, seed=0)  # with 20 of each class the rate is chosen, once, by 500 others
    seen, unseen = train[rows], train[np.setdiff1d(np.arange(len(train)), rows)][:500]
    rates = {name: chosen_rate(recording, name, create, seen, unseen, options, epochs=epochs(seen))
             for name, create in NETWORKS.items()}
    for images in (5, 20, 100, 300, 1000):
        for seed in range(options.seeds):
            for network in NETWORKS:
                if images <= options.most:
                    recording.measure(measure, network=network, images=images, seed=seed)


if __name__ == "__main__":
    main()
