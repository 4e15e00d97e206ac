"""Loss and accuracy with 1, 2, 3, 5 and 10 iterations of routing, on training and on test images."""

from capsnets import capsnet, fit, load
from recording import Recording, arguments, history

import zerohero as zh
from zerohero import training


def main() -> None:
    options = arguments(__doc__, data="mnist", epochs=5, batch_size=128, seeds=3)
    zh.use_backend(options.backend)
    train, test = load(options.data, "train"), load(options.data, "test")
    recording = Recording("routing_iterations", __doc__, vars(options))

    def measure(iterations: int, seed: int) -> dict:
        zh.seed(seed)
        model = capsnet(options, iterations=iterations)
        columns = fit(model, train, options, seed)
        seen, new = training.evaluate(model, train[:10_000]), training.evaluate(model, test)
        return {"history": history(columns), "train_loss": seen.loss, "train_accuracy": seen.accuracy,
                "test_loss": new.loss, "right": int((new.predictions == test.labels).sum()), "examples": len(test)}

    for seed in range(options.seeds):
        for iterations in (1, 2, 3, 5, 10):
            recording.measure(measure, iterations=iterations, seed=seed)


if __name__ == "__main__":
    main()
