"""What does a network for photographs, SqueezeNet 1.1, look at, wait for, and still know layer by layer?"""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from recording import RESULTS, Recording, arguments

import zerohero as zh
from zerohero import datasets, visualize
from zerohero.models.squeezenet import name_in_caffe
from zerohero.visualize.attribution import resized

FOLDER = RESULTS / "squeezenet_pictures"
SIZE, LAST = 224, "features.12.concat"
FIRES = ["features.3", "features.4", "features.6", "features.7", "features.9", "features.10", "features.11",
         "features.12"]  # fmt: skip
MADE = {967: "espresso", 1: "goldfish", 130: "flamingo", 574: "golf ball"}
INVERTED = ("features.2", "features.5", "features.8", LAST)
# Eyes, found by hand in the middle squares of 224 × 224 pixels: (row, column, radius).
EYES = {
    "chelsea.png": [(86, 73, 26), (103, 181, 20)],
    "kitten_224.png": [(98, 105, 8), (81, 133, 8)],
    "cs231n_kitten.jpg": [(68, 66, 10), (102, 105, 14)],
    "caffe_cat.jpg": [(73, 94, 8), (79, 126, 8)],
    "cs231n_puppy.jpg": [(90, 64, 8), (79, 126, 8)],
}
SEARCHED = 3  # eyes: units are chosen by the first three photographs, and tried on the others


def data() -> Path:
    """The folder with weights and photographs."""
    folder = os.environ.get("ZEROHERO_DATA")
    if not folder:
        raise SystemExit("squeezenet_pictures: ZEROHERO_DATA needs to name the folder with weights/, images/, labels/")
    return Path(folder)


def network() -> zh.nn.Module:
    """SqueezeNet 1.1 that takes red, green, blue in [0, 1]: its own first layer wants blue first, and 0 to 255."""
    model = zh.models.create("squeezenet1_1")
    zh.load_weights(model, data() / "weights/squeezenet1.1-imagenet/SqueezeNet_fp16.npz", rename=name_in_caffe)
    first = model.features[0].weight
    first.data = np.ascontiguousarray(255 * first.data[:, ::-1])
    return model.eval()


def photograph(source: str) -> np.ndarray:
    """The middle square of a photograph, (3, 224, 224): one of scikit-image's by name, or a file of images/."""
    if "." in source:
        image = Image.open(data() / "images" / source).convert("RGB")
    else:
        image = Image.fromarray((255 * datasets.photo(source)).astype(np.uint8).transpose(1, 2, 0).squeeze())
    side, (width, height) = min(image.size), image.size
    left, top = (width - side) // 2, (height - side) // 2
    square = image.convert("RGB").crop((left, top, left + side, top + side))
    small = square.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32).transpose(2, 0, 1) / 255


def kept(fig: visualize.Picture, name: str) -> dict[str, str]:
    """Write a figure as a small JPEG; its file and its description."""
    image = Image.open(io.BytesIO(fig.image_bytes())).convert("RGB")
    image.thumbnail((760, 760))
    FOLDER.mkdir(parents=True, exist_ok=True)
    image.save(FOLDER / f"{name}.jpg", quality=75, optimize=True)
    return {"file": f"{FOLDER.name}/{name}.jpg", "alt": fig.alt}


def words() -> list[str]:
    """The 1,000 classes."""
    lines = (data() / "labels/imagenet_synset.txt").read_text().splitlines()
    return [line.split(" ", 1)[1].split(",")[0] for line in lines]


# ---- what it looks at ---------------------------------------------------------------------------------------------


def looks(model: zh.nn.Module, photo: str) -> dict:
    """Three maps for the answer, how alike they are, and how alike each is to itself with shuffled weights."""
    image = photograph(photo)
    probabilities = np.asarray(zh.softmax(model.scores(image[None])))[0]
    best = probabilities.argsort()[::-1][:3].tolist()
    methods: dict[str, Callable] = {
        "occlusion": lambda: visualize.occlusion(model, image, best[0], size=56, stride=14),
        "saliency": lambda: visualize.saliency(model, image, best[0]),
        "guided gradient": lambda: np.abs(visualize.input_gradient(model, image, best[0], rule="guided")).max(axis=0),
        "Grad-CAM": lambda: visualize.grad_cam(model, image, LAST, best[0]),
    }
    maps = {name: method() for name, method in methods.items()}
    with visualize.randomized(model):
        shuffled = {name: method() for name, method in methods.items() if name != "occlusion"}
    drawn = {"occlusion": maps["occlusion"], "saliency": maps["saliency"] ** 0.5, "Grad-CAM": maps["Grad-CAM"]}
    drawn["√ saliency"] = drawn.pop("saliency")
    answer = words()[best[0]]
    fig = visualize.heatmaps(image, drawn, title=f"“{answer}”, {probabilities[best[0]]:.1%}")
    names = list(maps)
    return {
        "answers": [[words()[k], round(float(probabilities[k]), 4)] for k in best],
        "alike": {f"{a} and {b}": round(visualize.map_similarity(maps[a], maps[b]), 3)
                  for i, a in enumerate(names) for b in names[:i]},
        "alike_when_shuffled": {name: round(visualize.map_similarity(maps[name], after), 3)
                                for name, after in shuffled.items()},
        **kept(fig, photo),
    }  # fmt: skip


# ---- filters and units --------------------------------------------------------------------------------------------


def filters() -> dict:
    """The 96 first filters (7 × 7) of SqueezeNet 1.0: are those with colour smooth, and those without fine?"""
    with np.load(data() / "weights/squeezenet1.0-deepcompression/decoded.npz", allow_pickle=False) as arrays:
        weight = next(arrays[name] for name in arrays if arrays[name].shape == (96, 3, 7, 7))
    weight = weight[:, ::-1]  # red first
    power = (np.abs(np.fft.fft2(weight)) ** 2).sum(axis=1)  # (96, 7, 7), of the three colours together
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(7), np.fft.fftfreq(7)))
    frequency = (power * radius).sum((1, 2)) / power.sum((1, 2))
    colour = 1 - 3 * (weight.mean(axis=1) ** 2).sum((1, 2)) / (weight**2).sum((1, 2, 3))
    tiles = weight / np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 2 + 0.5
    order = np.argsort(colour, kind="stable")
    fig = visualize.image_grid(tiles[order], columns=16, size=0.5, title="96 first filters, from grey to coloured")
    grey, coloured = frequency[order[:48]], frequency[order[48:]]
    return {
        "alike": round(visualize.map_similarity(colour[None], frequency[None]), 3),
        "frequency_of_grey_half": round(float(grey.mean()), 3),
        "frequency_of_coloured_half": round(float(coloured.mean()), 3),
        **kept(fig, "filters"),
    }


def red(model: zh.nn.Module) -> dict:
    """The unit that follows red best on one photograph, and how well it does on two others."""

    def followed(source: str, layer: str) -> np.ndarray:
        image = photograph(source)
        maps = visualize.activations(model, image, layer)
        redness = image[0] - image[1:].mean(axis=0)
        small = resized(redness, maps.shape[1:])
        return np.array([visualize.map_similarity(each, small) for each in maps])

    layers = [f"{name}.concat" for name in FIRES[:4]]
    found = {layer: followed("coffee", layer) for layer in layers}
    layer = max(layers, key=lambda name: found[name].max())
    channel = int(found[layer].argmax())
    others = {source: round(float(followed(source, layer)[channel]), 3) for source in ("astronaut", "chelsea")}
    image = photograph("astronaut")
    maps = visualize.activations(model, image, layer)[channel]
    fig = visualize.channel_picture(image, maps, title=f"The unit that follows red: {layer}, channel {channel}")
    return {"layer": layer, "channel": channel, "searched": sum(len(each) for each in found.values()),
            "on_coffee": round(float(found[layer].max()), 3), "on_others": others, **kept(fig, "red")}  # fmt: skip


def eyes(model: zh.nn.Module) -> dict:
    """Units whose strongest place lies on an eye in the first photographs; and what they do in the others."""
    hits: dict[str, np.ndarray] = {}  # (photographs, channels) for each layer
    shares = []
    for source, circles in EYES.items():
        image = photograph(source)
        rows, columns = np.indices((SIZE, SIZE))
        near = np.any([np.hypot(rows - r, columns - c) <= radius + 8 for r, c, radius in circles], axis=0)
        shares.append(round(float(near.mean()), 4))
        for name in FIRES:
            maps = visualize.activations(model, image, f"{name}.concat")
            step = SIZE / maps.shape[1]
            best = maps.reshape(len(maps), -1).argmax(axis=1)
            at = ((np.array(divmod(best, maps.shape[2])) + 0.5) * step).astype(int)
            on = near[tuple(at)] & (maps.reshape(len(maps), -1).max(axis=1) > 0)
            hits[name] = np.vstack([hits[name], on]) if name in hits else on[None]
    table = {}
    for name, each in hits.items():
        chosen = each[:SEARCHED].all(axis=0)
        table[name] = {
            "channels": each.shape[1], "chosen": np.flatnonzero(chosen).tolist(),
            "hits_on_others": each[SEARCHED:, chosen].sum(axis=1).tolist(),
            "hits_of_all_on_others": each[SEARCHED:].sum(axis=1).tolist(),
        }  # fmt: skip
    unit = int(np.flatnonzero(hits["features.9"].all(axis=0))[0])  # one that hits in all of them
    cat = photograph("chelsea")
    maps = visualize.activations(model, cat, "features.9.concat")[unit]
    fig = visualize.channel_picture(cat, maps, title=f"A unit that sits on eyes: features.9, channel {unit}")
    return {"photographs": list(EYES), "share_of_pixels": shares, "units": table, **kept(fig, "eyes")}


# ---- images that are made ------------------------------------------------------------------------------------------


def made(model: zh.nn.Module) -> dict:
    """An image for each of four classes, from grey."""
    images, best = {}, model.scores(np.stack([photograph(name) for name in ("coffee", "chelsea", "coins", "rocket")]))
    for number, name in MADE.items():
        images[name] = visualize.maximize_activation(
            model, None, number, shape=(3, 112, 112), steps=80, lr=0.02, total_variation=4e4, jitter=4, progress=False
        )
    fig = visualize.syntheses(images, columns=4, title="Made for four classes; the score reached")
    scores = {name: round(each.history[-1], 1) for name, each in images.items()}
    real = {name: round(float(best[:, number].max()), 1) for number, name in MADE.items()}
    return {"scores": scores, "best_of_four_photographs": real, **kept(fig, "made")}


def inverted(model: zh.nn.Module) -> dict:
    """The cat from what four layers know of it."""
    image = np.stack([resized(each, (112, 112)) for each in photograph("chelsea")])
    found = {
        layer: visualize.invert_features(model, image, layer, steps=120, lr=0.03, total_variation=2.0, progress=False)
        for layer in INVERTED
    }
    fig = visualize.syntheses(found, first=image, columns=5, title="The cat from four layers; distance of the features")
    apart = {layer: round(float(np.abs(each.image - image).mean()), 4) for layer, each in found.items()}
    features = {layer: round(each.history[-1], 4) for layer, each in found.items()}
    return {"features_apart": features, "pixels_apart": apart, **kept(fig, "inverted")}


def dreamt(model: zh.nn.Module) -> dict:
    """A photograph, and what two layers dream into it in one octave and in three."""
    photo = photograph("coffee")
    images, names = [photo], ["the photograph"]
    for layer, octaves in (("features.6.concat", 3), (LAST, 1), (LAST, 3)):
        images.append(visualize.deep_dream(model, photo, layer, octaves=octaves, steps=12, lr=0.02, progress=False))
        names.append(f"{layer.removesuffix('.concat')}, {octaves} octave{'s' * (octaves > 1)}")
    fig = visualize.image_grid(np.stack(images), names, columns=4, size=2.2, title="DeepDream")
    return kept(fig, "dreamt")


def main() -> None:
    options = arguments(__doc__)
    zh.use_backend(options.backend)
    model = network()
    recording = Recording("squeezenet_pictures", __doc__, vars(options))
    for photo in ("coffee", "chelsea", "coins"):
        recording.measure(lambda picture: looks(model, picture), picture=photo)
    recording.measure(lambda picture: filters(), picture="filters")
    for function in (red, eyes, made, inverted, dreamt):
        recording.measure(lambda picture, function=function: function(model), picture=function.__name__)


if __name__ == "__main__":
    main()
