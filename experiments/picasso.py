"""Does a network notice that eyes, nose and mouth have changed places, and does it help to show it one such change?"""

import numpy as np
from recording import Recording, arguments

import zerohero as zh
from zerohero import datasets, limits, models, nn, optim, training

SWAPPED = ("mouth", "nose", "eyes")  # what the second training shows as "no face"


def network(kind: str) -> nn.Module:
    """A small CNN, a CapsNet for 25×25 pixels, and a CNN with as many weights as that CapsNet's encoder."""
    if kind == "CapsNet":
        options = dict(preset="fast", image_size=25, num_classes=2, channels=32, types=4, hidden=(64, 128))
        return models.create("capsnet", **options)
    a, b, hidden = (8, 16, ()) if kind == "CNN" else (32, 32, (74,))
    side = 3 if kind == "CNN" else 5
    layers = [
        nn.Conv2d(1, a, side, padding=side // 2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(a, b, side, padding=side // 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    ]  # fmt: skip
    width = 36 * b
    for units in hidden:
        layers, width = [*layers, nn.Linear(width, units), nn.ReLU()], units
    return nn.Sequential(*layers, nn.Linear(width, 2))


def encoder_size(model: nn.Module) -> int:
    """Parameters without the decoder, which isn't asked."""
    return sum(p.size for name, p in model.named_parameters() if not name.startswith("decoder"))


def mixed(faces: np.ndarray) -> np.ndarray:
    """Every part in its place, but eyes, nose and mouth of three different people: as many seams, nothing swapped."""
    result = faces.copy()
    for person, (top, bottom) in enumerate(limits.PARTS.values(), start=1):
        result[..., top:bottom, :] = np.roll(faces, person, axis=0)[..., top:bottom, :]
    return result


def main() -> None:
    options = arguments(__doc__, seeds=5, epochs=15, epochs_with_swaps=30)
    zh.use_backend(options.backend)
    recording = Recording("picasso", __doc__, vars(options) | {"swapped": SWAPPED})

    def learn(kind: str, negatives: str, seed: int) -> dict:
        train, test = datasets.load("faces", "all").split(0.75, seed=seed)
        images, labels, epochs = train.images, train.labels, options.epochs
        if negatives == "others and swaps":
            swaps = limits.rearranged(train.images[train.labels == 1], SWAPPED)
            images, labels = np.concatenate([images, swaps]), np.append(labels, np.zeros(len(swaps), int))
            epochs = options.epochs_with_swaps
        zh.seed(seed)
        model = network(kind)
        training.fit(
            model, (images, labels), epochs=epochs, batch_size=16, seed=seed, schedule="one-cycle", progress=False,
            optimizer=optim.Adam(model.parameters(), lr=3e-3),
        )  # fmt: skip
        faces = test.images[test.labels == 1]
        shown = {"others": test.images[test.labels == 0], "parts of three people": mixed(faces)}
        shown |= {" ".join(order): limits.rearranged(faces, order) for order in limits.ARRANGEMENTS}
        return {
            "parameters": encoder_size(model),
            "examples": len(images),
            "called a face": {name: [int(model.predict(x).sum()), len(x)] for name, x in shown.items()},
        }

    for seed in range(options.seeds):
        for kind in ("CNN", "large CNN", "CapsNet"):
            for negatives in ("others", "others and swaps"):
                recording.measure(learn, kind=kind, negatives=negatives, seed=seed)


if __name__ == "__main__":
    main()
