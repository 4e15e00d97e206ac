"""Which photographs excite the units of ResNet-20 most, and do these photographs show one thing?"""

import io

import numpy as np
from PIL import Image
from recording import RESULTS, Recording, arguments

import zerohero as zh
from zerohero import datasets, visualize, weights

FOLDER = RESULTS / "cifar_units"
LAYERS = ("relu", "layer1", "layer2", "layer3")
TOP = 9


def main() -> None:
    options = arguments(__doc__, images=1000)
    zh.use_backend(options.backend)
    model, test = weights.load("resnet20_cifar10"), datasets.load("cifar10", "test")[: options.images]
    recording = Recording("cifar_units", __doc__, vars(options))

    def searched(layer: str) -> dict:
        """For every channel, how many of the most exciting images are of one class; the same for shuffled labels."""
        maps = visualize.activations(model, test.images, layer)
        strongest = maps.max(axis=(2, 3))
        best = np.argsort(-strongest, axis=0, kind="stable")[:TOP]  # (9, channels)
        shuffled = np.random.default_rng(0).permutation(test.labels)
        alike, by_chance = (most_of_one_class(labels[best]) for labels in (test.labels, shuffled))
        return {
            "channels": maps.shape[1], "dead": int((strongest.max(axis=0) <= 0).sum()),
            "of_one_class": alike.tolist(), "of_one_class_by_chance": by_chance.tolist(),
        }  # fmt: skip

    def drawn(layer: str, picture: str) -> dict:
        """The most exciting images, or patches, of the three channels whose images agree most."""
        found = recording.measure(searched, layer=layer)
        channels = np.argsort(np.negative(found["of_one_class"]), kind="stable")[:3].tolist()
        rows = [visualize.maximal_images(model, test.images, layer, channel, count=TOP) for channel in channels]
        labels = [f"channel {channel}" if k == 0 else "" for channel in channels for k in range(TOP)]
        if picture == "patches":
            size = max(patch.shape[-1] for row in rows for patch in row.patches)
            tiles = [patch for row in rows for patch in row.patches]
            white = [((0, 0), (0, size - tile.shape[1]), (0, size - tile.shape[2])) for tile in tiles]
            tiles = [np.pad(tile, around, constant_values=1) for tile, around in zip(tiles, white)]
        else:
            tiles = [image for row in rows for image in row.images]
        title = f"{layer}: the {TOP} {picture} of CIFAR-10 that excite a channel most"
        fig = visualize.image_grid(np.stack(tiles), labels, columns=TOP, size=0.8, title=title)
        stored = Image.open(io.BytesIO(fig.image_bytes())).convert("RGB")
        FOLDER.mkdir(parents=True, exist_ok=True)
        stored.save(FOLDER / f"{layer}.jpg", quality=75, optimize=True)
        return {"channels": channels, "file": f"{FOLDER.name}/{layer}.jpg", "alt": fig.alt}

    for layer in LAYERS:
        recording.measure(searched, layer=layer)
    recording.measure(drawn, layer="layer1", picture="patches")
    recording.measure(drawn, layer="layer3", picture="images")


def most_of_one_class(labels: np.ndarray) -> np.ndarray:
    """Of labels (9, channels), how often the most frequent one occurs in each column."""
    return np.array([np.bincount(column).max() for column in labels.T])


if __name__ == "__main__":
    main()
