"""Trained on digits placed at random, tested on affine ones: CapsNet and CNN of equal size at equal clean accuracy."""

import functools
import itertools

from capsnets import capsnet, chosen_rate, cnn, fit
from recording import Recording, arguments

import zerohero as zh
from zerohero import datasets, training
from zerohero.optim import Adam, OneCycle


def create(network: str, options):
    """A network for 40×40; the CNN's first fully connected layer is such that both have as many parameters."""
    if network == "capsnet":
        return capsnet(options, image_size=40)
    return cnn(options, image_size=40, hidden=(81, 64) if options.data == "digits" else (144, 192))


def main() -> None:
    options = arguments(__doc__, data="mnist", capsnet_epochs="4", cnn_epochs="4", search_epochs=4, batch_size=128,
                        seeds=3, test_images=10_000, every=1)
    zh.use_backend(options.backend)
    drawn = dict(source=options.data, seed=0)
    train = datasets.load("affnist", "train", **drawn)
    clean = datasets.load("affnist", "test", affine=False, **drawn)[: options.test_images]
    affine = datasets.load("affnist", "test", **drawn)[: options.test_images]
    recording = Recording("affine_robustness", __doc__, vars(options))

    def measure(network: str, epochs: int, seed: int) -> dict:
        zh.seed(seed)
        model, cycle, found = create(network, options), OneCycle(), []
        optimizer = Adam(model.parameters(), lr=rates[network])
        looks = [epoch for epoch in range(1, epochs + 1) if epoch % options.every == 0 or epoch == epochs]
        for done in range(epochs):  # one cycle, looked at on its way, to compare equal clean accuracies
            fit(model, train, options, 1000 * seed + done, epochs=1, optimizer=optimizer,
                schedule=lambda step, steps, done=done: cycle(done * steps + step, epochs * steps))
            if done + 1 in looks:
                found.append([round(training.evaluate(model, data).accuracy, 5) for data in (clean, affine)])
        return {"parameters": model.num_parameters(), "rate": rates[network], "epochs": looks,
                "clean": [row[0] for row in found], "affine": [row[1] for row in found], "examples": len(affine)}

    lengths = {name: [int(each) for each in text.split(",")]
               for name, text in (("capsnet", options.capsnet_epochs), ("cnn", options.cnn_epochs))}
    seen, unseen = train.split(0.8, seed=0)
    rates = {network: chosen_rate(recording, network, functools.partial(create, network), seen, unseen, options,
                                  epochs=options.search_epochs) for network in lengths}
    trainings = [(epochs, network) for network, each in lengths.items() for epochs in each]
    for (epochs, network), seed in itertools.product(sorted(trainings), range(options.seeds)):
        recording.measure(measure, network=network, epochs=epochs, seed=seed)


if __name__ == "__main__":
    main()
