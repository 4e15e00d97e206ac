"""What does routing do by itself, with weights that nobody trained, and what with backpropagation?"""

from capsnets import capsnet, fit, load, right
from recording import Recording, arguments

import zerohero as zh

ITERATIONS = (1, 2, 3, 5, 10, 30)


def main() -> None:
    options = arguments(__doc__, data="fashion_mnist", epochs=8, batch_size=128, seeds=3)
    zh.use_backend(options.backend)
    train = load(options.data, "train")
    if options.data == "fashion_mnist":  # no test images are at hand: hold some of the training images out
        train, test = train.split(0.8, seed=0)
    else:
        test = load(options.data, "test")
    recording = Recording("routing_alone", __doc__, vars(options))

    def measure(training: str, seed: int) -> dict:
        zh.seed(seed)
        model = capsnet(options, stop_gradient=training == "couplings constant")
        if training != "none":
            fit(model, train, options, seed)
        found = []
        for iterations in ITERATIONS:
            model.digits.iterations = iterations
            found.append(right(model, test))
        return {"iterations": list(ITERATIONS), "right": found, "examples": len(test)}

    for seed in range(options.seeds):
        for kind in ("none", "couplings constant", "all iterations"):
            recording.measure(measure, training=kind, seed=seed)


if __name__ == "__main__":
    main()
