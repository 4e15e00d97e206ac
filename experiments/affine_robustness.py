"""Trained on digits placed at random, tested on affine ones: CapsNet and CNN of equal size at equal clean accuracy."""

from capsnets import capsnet, cnn, fit
from recording import Recording, arguments

import zerohero as zh
from zerohero import datasets, training


def main() -> None:
    options = arguments(__doc__, data="mnist", epochs=4, batch_size=128, seeds=3, test_images=10_000)
    zh.use_backend(options.backend)
    drawn = dict(source=options.data, seed=0)
    train = datasets.load("affnist", "train", **drawn)
    clean = datasets.load("affnist", "test", affine=False, **drawn)[: options.test_images]
    affine = datasets.load("affnist", "test", **drawn)[: options.test_images]
    recording = Recording("affine_robustness", __doc__, vars(options))

    def measure(network: str, seed: int) -> dict:
        zh.seed(seed)
        # the CNN's first fully connected layer is made smaller, so that both have as many parameters on 40×40
        hidden = (81, 64) if options.data == "digits" else (144, 192)
        model = capsnet(options, image_size=40) if network == "capsnet" else cnn(options, image_size=40, hidden=hidden)
        rows = []
        for epoch in range(options.epochs):  # after each epoch, so that equal clean accuracies can be compared
            rate = 0.5 * 0.8**epoch
            fit(model, train, options, 1000 * seed + epoch, epochs=1, schedule=lambda step, steps, rate=rate: rate)
            found = [training.evaluate(model, data).accuracy for data in (clean, affine)]
            rows.append([round(value, 5) for value in found])
        return {"parameters": model.num_parameters(), "clean": [row[0] for row in rows],
                "affine": [row[1] for row in rows], "examples": len(affine)}

    for seed in range(options.seeds):
        for network in ("capsnet", "cnn"):
            recording.measure(measure, network=network, seed=seed)


if __name__ == "__main__":
    main()
