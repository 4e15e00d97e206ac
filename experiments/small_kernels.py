"""Do three 3×3 convolutions with ReLU between them learn more than one 7×7 that sees as much?"""

from photographs import cifar10
from recording import Recording, arguments, history

import zerohero as zh
from zerohero import nn, optim, training

WIDTH = 32


def network(block: str) -> nn.Module:
    """A first convolution, the block, pooling over all positions, and a classifier."""
    stacked = [each for _ in range(3) for each in (nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU())]
    blocks = {"one 7×7": [nn.Conv2d(WIDTH, WIDTH, 7, padding=3), nn.ReLU()], "three 3×3": stacked}
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), *blocks[block], nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(WIDTH * 8 * 8, 10),
    )  # fmt: skip


def main() -> None:
    options = arguments(__doc__, images=5_000, epochs=12)
    zh.use_backend(options.backend)
    train, test = cifar10(options.images)
    recording = Recording("small_kernels", __doc__, vars(options))

    def learn(block: str, seed: int) -> dict:
        zh.seed(seed)
        model = network(block)
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        curves = training.fit(
            model, train, validation=test, epochs=options.epochs, optimizer=optimizer, seed=seed, schedule="one-cycle"
        )
        return {"curves": history(curves), "parameters": model.num_parameters()}

    for seed in range(3):
        for block in ("one 7×7", "three 3×3"):
            recording.measure(learn, block=block, seed=seed)


if __name__ == "__main__":
    main()
