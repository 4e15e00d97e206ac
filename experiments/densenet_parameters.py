"""Do dense connections need fewer parameters than residual ones for the same error? All begin with the same layers."""

from photographs import cifar10
from recording import Recording, arguments, device, history

import zerohero as zh
from zerohero import models, optim, training

# name, the option that sets the size of all layers, and its values
FAMILIES = {
    "ResNet-50": ("resnet50", "width", (4, 6, 8)),
    "DenseNet-121": ("densenet121", "growth", (4, 6, 8)),
    "ResNet-18": ("resnet18", "width", (6, 8, 12)),
}


def main() -> None:
    options = arguments(__doc__, images=5_000, epochs=10, seeds=1)
    zh.use_backend(options.backend)
    train, test = cifar10(options.images)
    recording = Recording("densenet_parameters", __doc__, vars(options))

    def learn(family: str, size: int, seed: int) -> dict:
        name, option, _ = FAMILIES[family]
        zh.seed(seed)
        model = models.create(name, num_classes=10, **{option: size}).to(device(options))
        curves = training.fit(
            model, train, validation=test, epochs=options.epochs, seed=seed, schedule="one-cycle",
            optimizer=optim.Adam(model.parameters(), lr=3e-3), augment=training.Augmentation(shift=4, flip=True),
        )  # fmt: skip
        return {"curves": history(curves), "parameters": model.num_parameters()}

    for seed in range(options.seeds):
        for family, (_, _, sizes) in FAMILIES.items():
            for size in sizes:
                recording.measure(learn, family=family, size=size, seed=seed)


if __name__ == "__main__":
    main()
