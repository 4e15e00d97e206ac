"""How much do the logits change in each iteration of routing, and how does that change while the network learns?"""

from capsnets import capsnet, fit, load, logit_changes, right
from recording import Recording, arguments

import zerohero as zh


def main() -> None:
    options = arguments(__doc__, data="mnist", epochs=12, batch_size=128, seeds=3, images=64)
    zh.use_backend(options.backend)
    train, test = load(options.data, "train"), load(options.data, "test")
    recording = Recording("routing_logits", __doc__, vars(options))

    def measure(seed: int) -> dict:
        zh.seed(seed)
        model = capsnet(options)
        changes = [logit_changes(model, test.images[: options.images], 10)]
        for epoch in range(options.epochs):
            fit(model, train, options, 1000 * seed + epoch, epochs=1, schedule=None)
            changes.append(logit_changes(model, test.images[: options.images], 10))
        return {"changes": changes, "right": right(model, test), "examples": len(test)}

    for seed in range(options.seeds):
        recording.measure(measure, seed=seed)


if __name__ == "__main__":
    main()
