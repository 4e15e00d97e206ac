"""Which network reads two overlapping digits better at the same budget, a small CapsNet or a CNN of equal size?"""

import base64

import numpy as np
from overlapping import TwoDigits, TwoDigitsPlain, three_channels
from recording import Recording, arguments, device, history

import zerohero as zh
from zerohero import datasets, models, training
from zerohero.datasets.multimnist import PAIRS
from zerohero.optim import Adam


def create(network: str):
    """A fast CapsNet for 36×36, or the paper's kind of CNN with about as many parameters."""
    if network == "capsnet":
        return TwoDigits(models.create("capsnet", preset="fast", image_size=36))
    return TwoDigitsPlain(models.create("capsnet_baseline", image_size=36, channels=(24, 24, 16), hidden=(104, 192)))


def pictures(model, images, test, count: int = 12) -> dict:
    """The first pairs, each digit drawn from its own capsule, and two digits that aren't there, as bytes in base64."""
    capsnet = model.to("numpy").capsnet
    v = capsnet.capsules(images[:count, :1])
    length = np.linalg.norm(v, axis=2)
    absent = np.argsort(length, axis=1)[:, [-3, 0]]  # the longest that isn't said to be there, and the shortest
    said = np.sort(np.argsort(length, axis=1)[:, -2:], axis=1)
    drawn = [[capsnet.reconstruct(v, classes[:, k])[:, 0] for k in (0, 1)]
             for classes in (test.extra["labels"][:count], said, absent)]
    stack = np.concatenate([images[:count], *(np.stack(pair, axis=1) for pair in drawn)], axis=1)  # (count, 9, 36, 36)
    return {"pictures": base64.b64encode(np.rint(255 * stack).astype(np.uint8).tobytes()).decode(),
            "shape": list(stack.shape), "labels": test.extra["labels"][:count].tolist(), "said": said.tolist(),
            "absent": absent.tolist(), "lengths": length.round(3).tolist()}


def main() -> None:
    options = arguments(__doc__, pairs=60_000, test_pairs=10_000, epochs=4, batch_size=128, seeds=1)
    zh.use_backend(options.backend)
    train, test = (datasets.load("multimnist", split, n=n, seed=0)
                   for split, n in (("train", options.pairs), ("test", options.test_pairs)))
    overlaps, held_out = three_channels(train), three_channels(test)
    recording = Recording("multimnist", __doc__, vars(options))

    def measure(network: str, seed: int) -> dict:
        zh.seed(seed)
        model = create(network).to(device(options))
        columns = training.fit(
            model, (overlaps, train.labels), epochs=options.epochs, batch_size=options.batch_size,
            schedule="one-cycle", seed=seed, optimizer=Adam(model.parameters(), lr=5e-3), progress=False,
        )
        found = training.evaluate(model, (held_out, test.labels))
        guessed, right = PAIRS[found.predictions], test.extra["labels"]
        hits = (guessed[:, :, None] == right[:, None]).any(axis=2).sum(axis=1)
        shown = pictures(model, held_out, test) if network == "capsnet" and seed == 0 else {}
        return {"parameters": model.num_parameters(), "history": history(columns), "pairs": len(test),
                "both_right": int((hits == 2).sum()), "one_right": int((hits == 1).sum()),
                "none_right": int((hits == 0).sum()), **shown}

    for seed in range(options.seeds):
        for network in ("capsnet", "cnn"):
            recording.measure(measure, network=network, seed=seed)


if __name__ == "__main__":
    main()
