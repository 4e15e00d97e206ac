"""How many parameters do dense connections need for the accuracy of residual ones?"""

from photographs import cifar10
from recording import Recording, arguments, device, history

import zerohero as zh
from zerohero import models, optim, training

# family, the option that sets its size, and sizes
FAMILIES = (("ResNet-20", "resnet20", "width", (8, 16, 32)), ("DenseNet-121", "densenet121", "growth", (4, 6, 8)))


def main() -> None:
    options = arguments(__doc__, images=5_000, epochs=12)
    zh.use_backend(options.backend)
    train, test = cifar10(options.images)
    recording = Recording("densenet_parameters", __doc__, vars(options))

    def learn(family: str, size: int, seed: int) -> dict:
        name, option = next((name, option) for each, name, option, _ in FAMILIES if each == family)
        zh.seed(seed)
        model = models.create(name, num_classes=10, **{option: size}).to(device(options))
        curves = training.fit(
            model, train, validation=test, epochs=options.epochs, seed=seed, schedule="one-cycle",
            optimizer=optim.Adam(model.parameters(), lr=3e-3), augment=training.Augmentation(shift=4, flip=True),
        )  # fmt: skip
        return {"curves": history(curves), "parameters": model.num_parameters()}

    for family, _, _, sizes in FAMILIES:
        for size in sizes:
            recording.measure(learn, family=family, size=size, seed=0)


if __name__ == "__main__":
    main()
