"""Does reconstruction help, how much should it weigh, and must the gradient go through all iterations of routing?"""

from capsnets import capsnet, fit, load
from recording import Recording, arguments

import zerohero as zh
from zerohero import training

VARIANTS = {
    "no reconstruction": dict(reconstruction_weight=0),
    "paper's weight": dict(),
    "authors' weight": dict(reconstruction_weight=0.01),
    "paper's weight, stop-gradient": dict(stop_gradient=True),
}


def main() -> None:
    options = arguments(__doc__, data="mnist", epochs=5, batch_size=128, seeds=3)
    zh.use_backend(options.backend)
    train, test = load(options.data, "train"), load(options.data, "test")
    recording = Recording("reconstruction_weight", __doc__, vars(options))

    def measure(kind: str, seed: int) -> dict:
        zh.seed(seed)
        model = capsnet(options, **VARIANTS[kind])
        fit(model, train, options, seed)
        found = training.evaluate(model, test)
        result = {"right": int((found.predictions == test.labels).sum()), "examples": len(test)}
        if model.decoder is not None:
            model.to("numpy")
            images = test.images[:500]
            drawn = model.reconstruct(model.capsules(images))
            result["squared_error"] = float(f"{((drawn - images) ** 2).sum(axis=(1, 2, 3)).mean():.5g}")
        return result

    for seed in range(options.seeds):
        for kind in VARIANTS:
            recording.measure(measure, kind=kind, seed=seed)


if __name__ == "__main__":
    main()
