"""Which number of a capsule follows which pose parameter of a glyph, and does a CNN's layer before the scores know less?"""  # noqa: E501

import numpy as np
from capsnets import capsnet, cnn, fit, load, right
from recording import Recording, arguments

import zerohero as zh
from zerohero import datasets, limits

NETWORKS = {"capsnet": (capsnet, 5e-3), "cnn": (cnn, 1e-3)}  # with rates set by hand
POSES = {"shift_x": (-3, 3), "shift_y": (-3, 3), "rotation": (-30, 30), "scale": (0.8, 1.2), "shear": (-0.3, 0.3),
         "thickness": (0.7, 1.6)}


def explained(train_x, train_y, test_x, test_y) -> float:
    """R² of a linear fit on images that it hasn't seen."""
    mean, scale = train_x.mean(axis=0), train_x.std(axis=0) + 1e-6
    train_x, test_x = (np.c_[(x - mean) / scale, np.ones(len(x))] for x in (train_x, test_x))
    fitted = np.linalg.solve(train_x.T @ train_x + 1e-3 * len(train_x) * np.eye(train_x.shape[1]), train_x.T @ train_y)
    return float(round(1 - ((test_y - test_x @ fitted) ** 2).mean() / test_y.var(), 4))


def r2(before, after, poses_before, poses_after) -> dict:
    """Held-out R² of each number alone (numbers, poses), and of all together."""
    alone = [[explained(before[:, k : k + 1], poses_before[name], after[:, k : k + 1], poses_after[name])
              for name in POSES] for k in range(before.shape[1])]
    return {"alone": alone, "all": [explained(before, poses_before[n], after, poses_after[n]) for n in POSES]}


def main() -> None:
    options = arguments(__doc__, data="mnist", epochs=4, batch_size=128, seeds=3, glyphs=600, digit=5)
    zh.use_backend(options.backend)
    train, test = load(options.data, "train"), load(options.data, "test")
    halves = [datasets.load("glyphs", split, n=options.glyphs, characters=str(options.digit), seed=0, **POSES)
              for split in ("train", "test")]
    recording = Recording("capsule_pose", __doc__, vars(options))

    def measure(network: str, seed: int) -> dict:
        zh.seed(seed)
        create, rate = NETWORKS[network]
        model = create(options)
        fit(model, train, options, seed, rate=rate)
        found = {"right": right(model, test), "examples": len(test)}
        model.to("numpy")
        if network == "capsnet":
            numbers = [model.capsules(half.images)[:, options.digit] for half in halves]
        else:
            numbers = [limits.layer_output(model, half.images, "fc2") for half in halves]
        both = r2(*numbers, halves[0].extra, halves[1].extra)
        if network == "cnn":
            both.pop("alone")
        pixels = [half.images.reshape(len(half), -1) for half in halves]
        if network == "capsnet" and seed == 0:
            both["pixels"] = r2(*pixels, halves[0].extra, halves[1].extra)["all"]
        return {"poses": list(POSES), "numbers": numbers[0].shape[1], **both, **found}

    for seed in range(options.seeds):
        for network in NETWORKS:
            recording.measure(measure, network=network, seed=seed)


if __name__ == "__main__":
    main()
