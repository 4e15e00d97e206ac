"""Do deeper networks learn worse, and do shortcuts mend it? ResNet-20 and -56, with and without shortcuts."""

from photographs import cifar10
from recording import Recording, arguments, device, forget, history

import zerohero as zh
from zerohero import models, optim, training


def main() -> None:
    options = arguments(__doc__, images=10_000, epochs=20, batch_size=128)
    zh.use_backend(options.backend)
    train, test = cifar10(options.images)
    recording = Recording("plain_and_residual", __doc__, vars(options))

    def learn(depth: int, shortcuts: bool, seed: int) -> dict:
        zh.seed(seed)
        model = models.create(f"resnet{depth}", residual=shortcuts).to(device(options))
        checkpoint = recording.checkpoint(depth=depth, shortcuts=shortcuts, seed=seed)
        curves = training.fit(
            model, train, validation=test, epochs=options.epochs, batch_size=options.batch_size, seed=seed,
            optimizer=optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4), schedule="one-cycle",
            augment=training.Augmentation(shift=4, flip=True), checkpoint=checkpoint,
        )  # fmt: skip
        forget(checkpoint)
        return {"curves": history(curves), "parameters": model.num_parameters()}

    for depth in (20, 56):
        for shortcuts in (False, True):
            recording.measure(learn, depth=depth, shortcuts=shortcuts, seed=0)


if __name__ == "__main__":
    main()
