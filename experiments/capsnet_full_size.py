"""How many of MNIST's test digits does the CapsNet of the paper's size get wrong, trained on all 60,000?

Preset and learning rate are chosen on 10,000 training images held out. With them, every seed is trained on all 60,000;
the test images are read once, after its last step.
"""

import os

from recording import Recording, arguments, device, forget, history

import zerohero as zh
from zerohero import datasets, models, optim, training

CHOICES = (("paper", 1e-3), ("authors", 1e-3), ("authors", 2e-3))  # preset and learning rate
AUGMENT = training.Augmentation(shift=2)


def main() -> None:
    options = arguments(__doc__, epochs=50, choosing=12, seeds=3, batch_size=128, images=60_000, test_images=10_000)
    if device(options) == "cupy":
        os.environ.setdefault("CUPY_TF32", "1")  # products on the tensor cores
    else:
        zh.use_backend(options.backend)
    train, test = datasets.load("mnist", "train"), datasets.load("mnist", "test")
    test = test[: options.test_images]
    if options.images < len(train):
        train = train.split(options.images / len(train), seed=0)[0]
    held_out, rest = train.split(1 / 6, seed=0)
    recording = Recording("capsnet_full_size", __doc__, vars(options) | {"tf32": os.environ.get("CUPY_TF32") == "1"})

    def learn(preset: str, lr: float, epochs: int, images, seed: int, **also) -> tuple:
        zh.seed(seed)
        model = models.create("capsnet", preset=preset).to(device(options))
        curves = training.fit(
            model, images, epochs=epochs, batch_size=options.batch_size, schedule="one-cycle", seed=seed,
            optimizer=optim.Adam(model.parameters(), lr=lr), augment=AUGMENT, **also,
        )  # fmt: skip
        return model, curves

    def choose(preset: str, lr: float) -> dict:
        checkpoint = recording.checkpoint(chosen="no", preset=preset, lr=lr)
        model, curves = learn(preset, lr, options.choosing, rest, seed=0, checkpoint=checkpoint)
        forget(checkpoint)
        return {"held_out_accuracy": training.evaluate(model, held_out).accuracy, "curves": history(curves)}

    def final(preset: str, lr: float, seed: int) -> dict:
        checkpoint = recording.checkpoint(preset=preset, lr=lr, seed=seed)
        model, curves = learn(preset, lr, options.epochs, train, seed, checkpoint=checkpoint)
        found = training.evaluate(model, test)
        forget(checkpoint)
        wrong = int((found.predictions != test.labels).sum())
        return {"wrong": wrong, "error_percent": 100 * wrong / len(test), "curves": history(curves)}

    chosen = [recording.measure(choose, preset=preset, lr=lr) for preset, lr in CHOICES]
    best = max(chosen, key=lambda each: each["held_out_accuracy"])["variant"]
    for seed in range(options.seeds):
        recording.measure(final, **best, seed=seed)


if __name__ == "__main__":
    main()
