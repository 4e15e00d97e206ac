"""Does the pose of a transforming auto-encoder move by as much as the image does?"""

import numpy as np
from recording import Recording, arguments

import zerohero as zh
from zerohero.models.transforming_autoencoder import learn_shifts, shifted, transforming_autoencoder

REACH = 2


def padded(split: str) -> np.ndarray:
    """The 8×8 scans in the middle of 16×16 pixels."""
    return np.pad(zh.datasets.load("digits", split).images, ((0, 0), (0, 0), (4, 4), (4, 4)))


def explained(predicted: np.ndarray, true: np.ndarray) -> list[float]:
    """R² for down and right: 1 - squared errors / squared distances from the mean. A wrong scale counts as an error."""
    return (1 - ((predicted - true) ** 2).sum(0) / ((true - true.mean(0)) ** 2).sum(0)).round(4).tolist()


def main() -> None:
    options = arguments(__doc__, epochs=80, seeds=3)
    zh.use_backend(options.backend)
    train, test = padded("train"), padded("test")
    settings = vars(options) | {"reach": REACH, "train": len(train), "test": len(test)}
    recording = Recording("transforming_autoencoder", __doc__, settings)

    def learn(recognition_units: int, generation_units: int, seed: int) -> dict:
        zh.seed(seed)
        model = transforming_autoencoder(recognition_units=recognition_units, generation_units=generation_units)
        losses = learn_shifts(model, train, epochs=options.epochs, reach=REACH, seed=seed)
        here, there = np.random.default_rng(1000).integers(-REACH, REACH + 1, (2, len(test), 2))
        before, after, true = shifted(test, here), shifted(test, there), there - here
        predicted = model.shift_between(before, after)
        slopes = [np.polyfit(true[:, axis], predicted[:, axis], 1)[0] for axis in (0, 1)]
        errors = ((model.told(before, true) - after) ** 2).sum((1, 2, 3)).mean()
        return {
            "r2": explained(predicted, true),
            "slope": np.round(slopes, 4).tolist(),
            "loss": float(f"{losses[-1]:.5g}"),
            "test_error": float(f"{errors:.5g}"),
            "test_error_of_the_mean_image": float(f"{((after - after.mean(0)) ** 2).sum((1, 2, 3)).mean():.5g}"),
            "parameters": model.num_parameters(),
        }

    for seed in range(options.seeds):
        for units in ((3, 4), (10, 20)):
            recording.measure(learn, recognition_units=units[0], generation_units=units[1], seed=seed)


if __name__ == "__main__":
    main()
