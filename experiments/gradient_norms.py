"""How large is the gradient in each convolution before training, plain and residual, with 8 to 110 layers?"""

import numpy as np
from photographs import cifar10
from recording import Recording, arguments

import zerohero as zh
from zerohero.models.resnet_cifar import resnet_cifar

DEPTHS = (8, 20, 32, 44, 56, 110)


def main() -> None:
    options = arguments(__doc__, images=128, seeds=3)
    zh.use_backend(options.backend)
    (images, labels), _ = cifar10(options.images)
    recording = Recording("gradient_norms", __doc__, vars(options))

    def norms(depth: int, shortcuts: bool, seed: int) -> dict:
        zh.seed(seed)
        model = resnet_cifar(depth, residual=shortcuts)
        zh.cross_entropy(model(zh.Tensor(images)), labels).backward()
        found = [np.linalg.norm(p.grad) for name, p in model.named_parameters() if "conv" in name]
        return {"norms": [float(f"{norm:.4g}") for norm in found], "first_over_last": float(found[0] / found[-1])}

    for seed in range(options.seeds):
        for depth in DEPTHS:
            for shortcuts in (False, True):
                recording.measure(norms, depth=depth, shortcuts=shortcuts, seed=seed)


if __name__ == "__main__":
    main()
