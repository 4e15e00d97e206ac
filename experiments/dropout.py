"""What does dropout do to a network with many fully connected weights and few images?"""

from photographs import cifar10
from recording import Recording, arguments, history

import zerohero as zh
from zerohero import nn, optim, training


def network(p: float) -> nn.Module:
    """Two convolutions with pooling, and two fully connected layers with dropout before each."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(p), nn.Linear(32 * 8 * 8, 256), nn.ReLU(), nn.Dropout(p), nn.Linear(256, 10),
    )  # fmt: skip


def main() -> None:
    options = arguments(__doc__, images=3_000, epochs=30)
    zh.use_backend(options.backend)
    train, test = cifar10(options.images)
    recording = Recording("dropout", __doc__, vars(options))

    def learn(p: float, seed: int) -> dict:
        zh.seed(seed)
        model = network(p)
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        curves = training.fit(model, train, validation=test, epochs=options.epochs, optimizer=optimizer, seed=seed)
        return {"curves": history(curves), "parameters": model.num_parameters()}

    for seed in range(3):
        for p in (0.0, 0.5):
            recording.measure(learn, p=p, seed=seed)


if __name__ == "__main__":
    main()
