"""Do matrix capsules, routed by EM, learn to read scanned digits?"""

import numpy as np
from recording import Recording, arguments, device, history

import zerohero as zh
from zerohero import optim, training

SIZES = dict(image_size=12, in_channels=1, num_classes=10, A=16, B=4, C=8, D=8, stride=1)


def padded(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The 8×8 scans in the middle of 12×12 pixels, and what they show."""
    data = zh.datasets.load("digits", split)
    return np.pad(data.images, ((0, 0), (0, 0), (2, 2), (2, 2))), data.labels


def main() -> None:
    options = arguments(__doc__, epochs=8, seeds=3, batch_size=32, lr="0.01", inverse_temperature="0.01")
    zh.use_backend(options.backend)
    train, test = padded("train"), padded("test")
    steps = options.epochs * -(-len(train[0]) // options.batch_size)
    margin_steps = steps // 2
    settings = vars(options) | SIZES | {"train": len(train[0]), "test": len(test[0]), "margin_steps": margin_steps}
    recording = Recording("matrix_capsules", __doc__, settings)

    def learn(iterations: int, seed: int) -> dict:
        zh.seed(seed)
        model = zh.models.create(
            "matrix_capsnet", **SIZES, iterations=iterations, margin_steps=margin_steps,
            inverse_temperature=float(options.inverse_temperature),
        ).to(device(options))  # fmt: skip
        columns = training.fit(
            model, train, epochs=options.epochs, batch_size=options.batch_size, seed=seed, schedule="cosine",
            optimizer=optim.Adam(model.parameters(), lr=float(options.lr)), progress=False,
        )  # fmt: skip
        measured = training.evaluate(model, test)
        return {
            "test_accuracy": round(float(measured.accuracy), 4),
            "wrong": round((1 - measured.accuracy) * len(test[0])),
            "parameters": model.num_parameters(),
            "history": history(columns),
        }

    for seed in range(options.seeds):
        recording.measure(learn, iterations=2, seed=seed)


if __name__ == "__main__":
    main()
