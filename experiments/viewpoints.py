"""How does the accuracy of a CapsNet, and of CNNs, fall when digits are moved, turned, scaled or sheared?"""

from recording import Recording, arguments

import zerohero as zh
from zerohero import datasets, limits, weights

CHANGES = {
    "shift_x": (-8, -6, -4, -2, 0, 2, 4, 6, 8),
    "shift_y": (-8, -6, -4, -2, 0, 2, 4, 6, 8),
    "rotation": (-90, -75, -60, -45, -30, -15, 0, 15, 30, 45, 60, 75, 90),
    "scale": (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4),
    "shear": (-0.8, -0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8),
}


def main() -> None:
    options = arguments(__doc__, images=1000)
    zh.use_backend(options.backend)
    test = datasets.load("mnist", "test")[: options.images]
    recording = Recording("viewpoints", __doc__, vars(options))

    def measure(network: str, change: str) -> dict:
        model, values = weights.load(network), CHANGES[change]
        accuracy = limits.accuracy_curve(model, test, change, values)
        right = (accuracy * len(test)).round().astype(int)
        return {"values": list(values), "right": right.tolist(), "examples": len(test)}

    for network in ("lenet5_mnist", "capsnet_baseline_mnist", "capsnet_mnist"):
        for change in CHANGES:
            recording.measure(measure, network=network, change=change)


if __name__ == "__main__":
    main()
