"""The pictures of lectures 00 to 03: what is drawn is what the numbers say, and every picture says it in words."""

import io
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.text import Text

import zerohero as zh
from zerohero import visualize
from zerohero.benchmark import Roofline
from zerohero.visualize import arrays, geometry, graphs, learning, style
from zerohero.visualize.maps import ChannelReport, Maximal
from zerohero.visualize.steps import ConvolutionPicture, PoolingPicture
from zerohero.visualize.synthesis import Synthesis

X = np.array(
    [
        [3, 2, 2, 5, 5, 3],
        [3, 1, 1, 2, 6, 2],
        [1, 4, 3, 3, 1, 4],
        [2, 2, 3, 7, 0, 1],
        [6, 0, 4, 0, 3, 4],
        [2, 1, 3, 4, 4, 0],
    ]
)
W = np.array([[1, 0, -2], [1, 1, 0], [0, -1, 1]])
VOTES = np.random.default_rng(10).standard_normal((6, 2, 2))  # (I, J, Q)
PARTS = {"left eye": np.diag([1, 1, 1]), "nose": [[0, -1, 0.5], [1, 0, 0.2], [0, 0, 1]]}
SLIDE_OUTPUT = np.array([[2, -6, -7, 10], [7, 8, -12, 3], [3, -1, 14, 3], [4, -7, 7, 4]])
GEOMETRIES = [{}, {"stride": 2}, {"padding": 1}, {"dilation": 2}, {"stride": (2, 1), "padding": (1, 2)}, {"bias": 0.5}]


def seven_nodes():
    """(w·x + b − t)²: four leaves, and the tensors made from them."""
    w, b = (zh.Tensor(v, requires_grad=True, name=n) for v, n in ((-3.0, "w"), (10.0, "b")))
    x, t = zh.Tensor(2.0, name="x"), zh.Tensor(1.0, name="t")
    product = w * x
    total = product + b
    error = total - t
    return error**2, {"w": w, "b": b, "x": x, "product": product, "total": total, "error": error}


def history():
    return zh.training.History(
        [{"epoch": e, "loss": 2 / e, "accuracy": 1 - 0.5 / e, "val_loss": 3 / e} for e in (1, 2, 3)]
    )


X6 = np.eye(6)[::-1]
NORMS = {"plain": [[1.0], [0.1, 1.0]], "residual": [[1.0], [0.9, 1.0]]}
def made():
    rng = np.random.default_rng(0)
    return Synthesis(rng.random((1, 6, 6)), np.full((1, 6, 6), 0.5), [0.5, 2.0, 3.0], "the activation")


EXAMPLES = {
    "number_grid": lambda: visualize.number_grid(X, title="The slide's input", highlight=(0, 1, 3, 3)),
    "image": lambda: visualize.image(np.eye(9), title="A stroke"),
    "image_grid": lambda: visualize.image_grid(np.eye(8)[None].repeat(7, 0), [f"image {i}" for i in range(7)]),
    "filter_grid": lambda: visualize.filter_grid(np.stack([W, W.T, -W]), labels=["one", "two", "three"]),
    "histogram": lambda: visualize.histogram({"weights": [1.0, 2.0, 2.0], "bias": [0.5]}),
    "convolution_step": lambda: visualize.convolution_step(X, W, 1, 2),
    "pooling_step": lambda: visualize.pooling_step(X, 2, 1, 2),
    "windows": lambda: visualize.windows(10, 3, stride=4, padding=1),
    "receptive_field": lambda: visualize.receptive_field([5, (2, 2), 5]),
    "curves": lambda: visualize.curves(history(), title="LeNet-5"),
    "confusion_matrix": lambda: visualize.confusion_matrix([0, 1, 2, 2], [0, 1, 1, 2], ["cat", "dog", "mouse"]),
    "worst_mistakes": lambda: visualize.worst_mistakes(np.zeros((2, 8, 8)), [0, 1], [[0.4, 0.6], [0.9, 0.1]]),
    "probabilities": lambda: visualize.probabilities([0.1, 0.7, 0.2], ["cat", "dog", "mouse"], right=1),
    "interval": lambda: visualize.interval({"LeNet-5": [98.0, 98.4, 98.5], "dense": [96.0, 97.0]}),
    "graph": lambda: visualize.graph(seven_nodes()[0], gradients=True, title="Seven nodes"),
    "descent": lambda: visualize.descent(lambda w: w**2, {"step 0.1": [2.0, 1.6, 1.28]}),
    "surface": lambda: visualize.surface(lambda a, b: a**2 + 5 * b**2, {"SGD": [[2, 1], [1, 0.5]]}, minimum=(0, 0)),
    "vote_planes": lambda: visualize.vote_planes(VOTES, title="Six votes"),
    "coupling_maps": lambda: visualize.coupling_maps(zh.routing_trace(VOTES[None])),
    "squash_curve": lambda: visualize.squash_curve({"paper": zh.squash, "tanh": np.tanh}),
    "squash_field": visualize.squash_field,
    "face_votes": lambda: visualize.face_votes(PARTS, PARTS, title="A face"),
    "reconstructions": lambda: visualize.reconstructions(np.ones((4, 8, 8)), np.zeros((4, 8, 8)), "abcd"),
    "perturbation_grid": lambda: visualize.perturbation_grid(np.ones((16, 11, 28, 28))),
    "error_chart": lambda: visualize.error_chart({"2011": 25.8, "AlexNet": 16.4, "ResNet": 3.57}, human=5.1),
    "cost_bars": lambda: visualize.cost_bars([("conv1", 35_000, 105_000_000), ("fc6", 37_000_000, 37_000_000)]),
    "durations": lambda: visualize.durations({"one core": 3e6, "a GPU": 2e4}),
    "compare_curves": lambda: visualize.compare_curves({"ReLU": [2.3, 0.4], "tanh": [[2.2, 0.5], [2.4, 0.7]]}),
    "roofline": lambda: visualize.roofline(
        Roofline({"product": 100.0}, bandwidth=40.0, threads=1), {"loops": (1.0, 0.1)}
    ),
    "race": lambda: visualize.race(np.eye(8), {"loops": 8.0, "numba": 0.5}, 1.0),
    "thread_grid": lambda: visualize.thread_grid((5, 6), (2, 4)),
    "paths": lambda: visualize.paths("x", [["conv", "ReLU"], []], "add"),
    "connectivity": lambda: visualize.connectivity({"dense": np.tri(5)}),
    "gradient_depth": lambda: visualize.gradient_depth(NORMS, depth=2),
    "evolution": lambda: visualize.evolution(
        {"AlexNet": {"layers": 8, "error": 18.2}, "VGG": {"layers": 16, "error": 9}}
    ),
    "size_and_error": lambda: visualize.size_and_error({"ResNet": {"34": (21.8, 26.73), "152": (60.2, 22.16)}}),
    "unrolled_routing": visualize.unrolled_routing,
    "overlaps": lambda: visualize.overlaps({"seen": np.eye(6)[None], "drawn": visualize.overlaid([np.eye(6)], [X6])}),
    "logit_changes": lambda: visualize.logit_changes([[0.001, 0.001], [0.02, 0.03]]),
    "r2_matrix": lambda: visualize.r2_matrix([[0.9, 0.0], [0.1, 0.4]], ["shift", "rotation"]),
    "robustness": lambda: visualize.robustness({"CNN": [([0.9, 0.99], [0.5, 0.66])]}),
    "shares": lambda: visualize.shares({"CNN": {"faces": (25, 25), "swapped": (24, 25)}}),
    "strategy_quadrants": lambda: visualize.strategy_quadrants(
        {"little": {"digits": {"all": [0.1, 0.2], "head": [0.3]}}, "much": {"faces": {"all": [0], "head": [-0.1]}}},
        predicted={"little": "head"},
    ),
    "freezing_curves": lambda: visualize.freezing_curves({"digits": {0: [0.9, 0.8], 2: [0.7]}}, anew={"digits": [0.5]}),
    "viewpoints": lambda: visualize.viewpoints({"degrees": {"CNN": ([0, 45, 90], [0.99, 0.6, 0.1])}}, chance=0.1),
    "attack": lambda: visualize.attack(np.zeros((5, 5)), np.eye(5), before="nothing", after="a line"),
    "margin_map": lambda: visualize.margin_map(np.eye(5), {"white": 3 - 4 * np.eye(5)}),
    "activation_grid": lambda: visualize.activation_grid(np.arange(32.0).reshape(2, 4, 4), title="Two channels"),
    "channel_chart": lambda: visualize.channel_chart(
        ChannelReport("conv1", 20, np.array([0.0, 1.5, 3.0]), np.array([0.0, 0.4, 1.0]))
    ),
    "maximal_grid": lambda: visualize.maximal_grid(
        Maximal("conv1", 1, np.array([4, 7]), np.array([2.0, 1.5]), np.array([[0, 0], [1, 2]]),
                [(0, 0, 3, 3), (1, 2, 3, 3)], np.random.default_rng(0).random((2, 1, 6, 6)))
    ),
    "channel_picture": lambda: visualize.channel_picture(np.eye(8), np.arange(16.0).reshape(4, 4)),
    "heatmap": lambda: visualize.heatmap(np.eye(6), np.eye(6)[::-1], title="The other diagonal"),
    "heatmaps": lambda: visualize.heatmaps(np.eye(6), {"one": np.eye(6)[::-1], "two": -np.eye(6)}, title="Two maps"),
    "climb": lambda: visualize.climb(made(), title="Uphill"),
    "syntheses": lambda: visualize.syntheses({"first": made(), "second": made()}, title="Two images that were made"),
}
NOT_PICTURES = {
    "use_style", "COLORS", "CYCLE", "DIVERGING", "SEQUENTIAL", "Picture", "subplots", "show", "describe", "as_array",
    "output_size", "receptive_field_size",
    "duration", "short_time", "percent", "confusion_counts", "mean_interval", "PERTURBATIONS", "perturbations",
    "share_interval", "overlaid", "activations", "as_grey", "ChannelReport", "dead_channels", "Maximal",
    "maximal_images", "occlusion", "input_gradient", "saliency", "grad_cam", "map_similarity", "randomized",
    "Synthesis", "maximize_activation", "invert_features", "deep_dream",
}  # fmt: skip


def texts_of(fig):
    fig.canvas.draw()
    return [text for text in fig.findobj(Text) if text.get_visible() and text.get_text().strip()]


# ---- all pictures -----------------------------------------------------------------------------------------


def test_there_is_an_example_for_every_public_picture():
    assert set(EXAMPLES) | NOT_PICTURES == set(visualize.__all__)


@pytest.mark.parametrize("name", visualize.__all__)
def test_every_public_name_is_there(name):
    value = getattr(visualize, name)
    assert not callable(value) or value.__doc__


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_says_in_words_what_is_seen(name):
    fig = EXAMPLES[name]()
    assert len(fig.alt) > 40 and fig.alt.endswith(".") and "\n" not in fig.alt
    assert repr(fig) == str(fig) == visualize.describe(fig) == fig.alt
    assert "0x" not in fig.alt  # no addresses: the text is stored in notebooks and compared


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_gives_the_same_bytes_and_words_twice(name):
    first, second = EXAMPLES[name](), EXAMPLES[name]()
    assert first.image_bytes() == second.image_bytes() and first.alt == second.alt


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_looks_the_same_whatever_the_readers_settings_are(name):
    usual = EXAMPLES[name]().image_bytes()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "figure.constrained_layout.use": True}):
        assert EXAMPLES[name]().image_bytes() == usual


def test_a_picture_saved_by_hand_looks_the_same_whatever_the_readers_settings_are():
    fig, _ = visualize.subplots(title="Axes whose ticks are made while drawing")
    usual, other = io.BytesIO(), io.BytesIO()
    fig.savefig(usual)
    fig, _ = visualize.subplots(title="Axes whose ticks are made while drawing")
    with matplotlib.rc_context({"xtick.labelsize": 30, "ytick.color": "red"}):
        fig.savefig(other)
    assert usual.getvalue() == other.getvalue()


def test_stored_bytes_do_not_name_a_version_of_matplotlib(rng):
    fig = visualize.image(rng.random((3, 90, 90)))  # more colours than fit a palette
    assert fig.image_format == "png" and b"atplotlib" not in fig.image_bytes()


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_text_of_a_picture_covers_another(name):
    fig = EXAMPLES[name]()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(fig)]
    for index, (one, a) in enumerate(boxes):
        for other, b in boxes[index + 1 :]:
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            down = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert across < 2 or down < 3, f"{one!r} and {other!r} overlap"


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_picture_is_wider_than_a_notebook_page_or_has_tiny_letters(name):
    fig = EXAMPLES[name]()
    assert fig.get_figwidth() * fig.dpi <= 1000
    assert min(text.get_fontsize() for text in texts_of(fig)) >= 9


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_picture_is_left_with_pyplot(name):
    import matplotlib.pyplot as plt

    EXAMPLES[name]()
    assert plt.get_fignums() == []


def test_importing_the_rooms_imports_no_heavy_package():
    code = (
        "import sys, zerohero.visualize, zerohero.interactive; "
        "print([m for m in ('matplotlib', 'ipywidgets', 'IPython', 'torch', 'sklearn') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# ---- style ------------------------------------------------------------------------------------------------


def test_using_the_style_twice_is_using_it_once():
    with matplotlib.rc_context():
        visualize.use_style()
        once = dict(matplotlib.rcParams)
        visualize.use_style()
        assert dict(matplotlib.rcParams) == once
        assert matplotlib.rcParams["font.size"] >= 10 and matplotlib.rcParams["figure.dpi"] == 100


def luminance(color):
    parts = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in to_rgb(color)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("cmap", ["gray", "cividis", None])
def test_numbers_can_be_read_on_every_background(cmap):
    for color in arrays.matplotlib_cmap(cmap)(np.linspace(0, 1, 101))[:, :3]:
        assert contrast(style.text_color(color), color) >= 4.5


def test_the_two_signs_differ_in_lightness_steps_and_hue():
    minus, zero, plus = (visualize.DIVERGING(v) for v in (0.25, 0.5, 0.75))
    assert luminance(zero[:3]) > 0.99 and plus[2] > plus[0] and minus[0] > minus[2]
    for side in (np.linspace(0.5, 1, 20), np.linspace(0.5, 0, 20)):
        assert (np.diff([luminance(visualize.DIVERGING(v)[:3]) for v in side]) < 0).all()


def test_showing_a_figure_outside_a_notebook_prints_its_words(capsys):
    fig, ax = visualize.subplots(title="Loss")
    ax.set(xlabel="epoch", ylabel="loss")
    visualize.show(fig)
    visualize.show(fig, alt="It falls.")
    assert capsys.readouterr().out == "Loss. Axes: epoch, loss.\nIt falls.\n"


def test_showing_a_pyplot_figure_closes_it(capsys):
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    ax.set_title("mine")
    visualize.show(fig)
    assert plt.get_fignums() == [] and capsys.readouterr().out == "mine.\n"


def test_a_picture_in_a_notebook_is_an_image_with_its_words(notebook):
    fig = visualize.number_grid(W, title="The filter")
    visualize.show(fig)
    (output,) = notebook()
    assert set(output.data) == {"image/png", "text/plain"}
    assert output.data["text/plain"] == fig.alt == output.metadata["image/png"]["alt"]


def test_a_photograph_in_a_notebook_is_a_small_jpeg(notebook):
    from skimage.data import astronaut

    fig = visualize.image(astronaut().transpose(2, 0, 1))
    visualize.show(fig)
    fig._ipython_display_()
    output, again = notebook()
    assert set(output.data) == {"image/jpeg", "text/plain"} and again.data == output.data
    fig.image_format = "png"
    assert len(output.data["image/jpeg"]) < len(fig.image_bytes()) / 3


def test_a_picture_that_ends_a_cell_is_shown_once(notebook):
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    shell.displayhook(visualize.number_grid(W))
    assert len(notebook()) == 1


@pytest.fixture
def notebook():
    """Pretend to be in a notebook; calling it gives what was displayed."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    with capture_output() as captured:
        yield lambda: captured.outputs
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


# ---- arrays -----------------------------------------------------------------------------------------------


def test_arrays_come_from_tensors_of_any_kind():
    torch = pytest.importorskip("torch")
    for values in ([1.0, 2.0], zh.Tensor([1.0, 2.0], requires_grad=True), torch.tensor([1.0, 2.0], requires_grad=True)):
        np.testing.assert_array_equal(visualize.as_array(values), [1, 2])


def test_a_number_grid_shows_every_number_in_its_place():
    fig = visualize.number_grid(X)
    shown = {text.get_position(): text.get_text() for text in fig.axes[0].texts}
    assert len(shown) == X.size
    for (row, column), value in np.ndenumerate(X):
        assert shown[column + 0.5, row + 0.52] == str(value)


def test_a_number_grid_colours_by_sign_and_size():
    pixels = visualize.number_grid([[-2.0, -1.0, 0.0, 1.0, 2.0]]).axes[0].images[0].get_array()[0]
    blue_minus_red = pixels[:, 2] - pixels[:, 0]
    assert (np.diff(blue_minus_red) > 0).all() and abs(blue_minus_red[2]) < 1e-6


def test_a_number_grid_leaves_nan_empty():
    assert [t.get_text() for t in visualize.number_grid([[1.0, np.nan, 2.5]]).axes[0].texts] == ["1.0", "", "2.5"]


def test_a_number_grid_frames_the_window_it_is_asked_to():
    fig = visualize.number_grid(X, highlight=[(0, 1, 3, 3), (5, 5, 1, 1)])
    frames = [(p.get_y(), p.get_x(), p.get_height(), p.get_width()) for p in fig.axes[0].patches]
    assert frames == [(0, 1, 3, 3), (5, 5, 1, 1)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (-6, "−6"), (0.75, "0.75"), (2.50, "2.5"), (-0.001, "−1.0e−3"), (-0.0, "0"), (12345.6, "12345.6")],
)
def test_numbers_are_written_as_on_the_slides(value, text):
    assert arrays.number(value) == text


def test_an_image_is_the_same_from_bytes_and_from_numbers(rng):
    pixels = rng.integers(0, 256, (3, 5, 6), dtype=np.uint8)
    drawn = [visualize.image(values).axes[0].images[0].get_array() for values in (pixels, pixels / 255)]
    np.testing.assert_allclose(*drawn, atol=1e-12)
    np.testing.assert_allclose(drawn[0], pixels.transpose(1, 2, 0) / 255)


def test_a_signed_image_is_white_at_zero():
    drawn = visualize.image([[-1.0, 0.0], [0.5, 3.0]]).axes[0].images[0]
    assert drawn.get_clim() == (-3, 3) and drawn.get_cmap() is visualize.DIVERGING


def test_images_of_a_grid_share_one_scale_unless_told_otherwise():
    images = np.stack([np.eye(3), 5 * np.eye(3)])
    assert [ax.images[0].get_clim() for ax in visualize.image_grid(images).axes] == [(0, 5), (0, 5)]
    alone = visualize.image_grid(images, shared_scale=False)
    assert [ax.images[0].get_clim() for ax in alone.axes] == [(0, 1), (0, 5)]


def test_a_filter_grid_draws_the_weights_on_one_scale(rng):
    weights = rng.normal(size=(4, 1, 5, 5))
    drawn = [ax.images[0] for ax in visualize.filter_grid(weights).axes[:4]]
    np.testing.assert_array_equal([image.get_array() for image in drawn], weights[:, 0])
    assert {image.get_clim() for image in drawn} == {(-abs(weights).max(), abs(weights).max())}


def test_a_filter_grid_of_many_channels_has_a_row_for_each_filter(rng):
    weights = rng.normal(size=(2, 4, 3, 3))
    drawn = [ax.images[0].get_array() for ax in visualize.filter_grid(weights).axes[:8]]
    np.testing.assert_array_equal(drawn, weights.reshape(8, 3, 3))


def test_a_colour_filter_of_zero_is_grey():
    weights = np.zeros((2, 3, 3, 3))
    weights[1, 0] = 1
    first, second = (ax.images[0].get_array() for ax in visualize.filter_grid(weights).axes[:2])
    np.testing.assert_allclose(first, 0.5)
    np.testing.assert_allclose(second[0, 0], [1, 0.5, 0.5])


def test_a_histogram_counts_every_value_once(rng):
    values = rng.normal(size=1000)
    (steps,) = visualize.histogram(values).axes[0].patches
    counts, edges, _ = steps.get_data()
    assert counts.sum() == 1000
    np.testing.assert_array_equal(counts, np.histogram(values, bins=edges)[0])


# ---- steps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", GEOMETRIES, ids=str)
def test_the_products_of_every_position_sum_to_conv2d(options):
    options = dict(options)
    picture = ConvolutionPicture(X, W, options.pop("bias", 0.0), **options)
    expected = zh.conv2d(X, W, **options) + picture.bias
    assert picture.output.shape == expected.shape
    for row, column in np.ndindex(expected.shape):
        picture.move(row, column)
        (products,) = picture.products
        assert products.values.sum() + picture.bias == pytest.approx(expected[row, column])
        assert picture.text().endswith(f"= {arrays.number(expected[row, column])}")


def test_the_frame_lies_on_the_cells_that_are_multiplied():
    picture = ConvolutionPicture(X, W, stride=2, padding=1)
    picture.move(1, 2)
    ((frame, _, _),) = picture.frames[0]
    board = picture.inputs[0]
    row, column = frame.get_y() - board.top, frame.get_x() - board.left
    assert (row, column, frame.get_height(), frame.get_width()) == (2, 4, 3, 3)
    np.testing.assert_array_equal(board.values[2:5, 4:7], picture.window()[0])


def test_a_dilated_window_frames_each_cell_it_reads():
    picture = ConvolutionPicture(X, W, dilation=2)
    picture.move(1, 0)
    board = picture.inputs[0]
    cells = [(int(f.get_y() - board.top), int(f.get_x() - board.left)) for f, _, _ in picture.frames[0]]
    assert [board.values[cell] for cell in cells] == picture.window()[0].ravel().tolist()


def test_the_output_appears_row_by_row():
    fig = visualize.convolution_step(X, W, 1, 1)
    whole = visualize.convolution_step(X, W, 1, 1, whole=True)
    for picture, count in ((fig, 6), (whole, 16)):
        (board,) = [im for im in picture.axes[0].images if im.get_array().shape == (4, 4, 3)]
        right = board.get_extent()[0]
        numbers = [t.get_text() for t in picture.axes[0].texts if t.get_position()[0] > right]
        shown = [text for text in numbers if re.fullmatch(r"−?\d+", text)]
        assert len(shown) - 4 == count  # and the four column numbers above


def test_a_convolution_over_channels_adds_their_sums(rng):
    x, weight = rng.integers(-3, 4, (3, 5, 4)), rng.integers(-2, 3, (3, 3, 2))
    picture = ConvolutionPicture(x, weight, 1.0)
    np.testing.assert_allclose(picture.output, zh.conv2d(x, weight[None])[0] + 1)
    picture.move(2, 1)
    sums = [float(text.get_text().removeprefix("sum = ").replace("−", "-")) for text in picture.sums]
    assert sum(sums) + 1 == picture.total()


@pytest.mark.parametrize("mode", ["max", "average"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, None), ((2, 3), 1), (3, 2)])
def test_a_pooling_picture_shows_what_the_pool_gives(mode, kernel, stride):
    picture = PoolingPicture(X, kernel, stride=stride, mode=mode)
    pool = zh.max_pool2d if mode == "max" else zh.avg_pool2d
    expected = pool(X, kernel, stride=stride)
    for row, column in np.ndindex(expected.shape):
        picture.move(row, column)
        assert (picture.window().max() if mode == "max" else picture.window().mean()) == pytest.approx(
            expected[row, column]
        )
        if mode == "max":
            winner = (picture.winner.get_y() - picture.part.top, picture.winner.get_x() - picture.part.left)
            assert picture.part.values[tuple(int(v) for v in winner)] == expected[row, column]


# ---- geometry ---------------------------------------------------------------------------------------------

sizes = st.integers(1, 20)


@given(n=sizes, k=st.integers(1, 5), s=st.integers(1, 4), p=st.integers(0, 3), d=st.integers(1, 3))
def test_the_output_size_is_the_shape_that_conv2d_gives(n, k, s, p, d):
    if d * (k - 1) + 1 > n + 2 * p:
        with pytest.raises(ValueError, match="no window fits"):
            visualize.output_size(n, k, stride=s, padding=p, dilation=d)
    else:
        y = zh.conv2d(np.ones((n, n)), np.ones((k, k)), stride=s, padding=p, dilation=d)
        assert visualize.output_size(n, k, stride=s, padding=p, dilation=d) == len(y)


@pytest.mark.parametrize(
    "setting", [(10, 3, 4, 1, 1), (8, 2, 3, 0, 1), (9, 3, 2, 0, 2), (7, 3, 1, 2, 1), (6, 6, 1, 0, 1)]
)
def test_the_cells_never_read_are_those_without_a_gradient(setting):
    n, k, s, p, d = setting
    x = zh.Tensor(np.ones((1, 1, n, 1)), requires_grad=True)
    options = {"stride": (s, 1), "padding": (p, 0), "dilation": (d, 1)}
    zh.conv2d(x, np.ones((1, 1, k, 1)), **options).sum().backward()
    fig = visualize.windows(n, k, stride=s, padding=p, dilation=d)
    unread = [int(p.get_x()) for p in fig.axes[0].patches if isinstance(p, Rectangle) and p.get_hatch()]
    assert unread == np.flatnonzero(x.grad.ravel() == 0).tolist()


@pytest.mark.parametrize(
    "layers", [[3, 3, 3], [(5, 1), (2, 2), (5, 1), (2, 2)], [(3, 1, 2), (3, 2)], [(3, 3), 2]], ids=str
)
def test_a_receptive_field_is_where_the_gradient_is_not_zero(layers):
    stack = geometry._layers(layers)
    counts = geometry._counts(stack, 3)
    for position in range(3):
        x = zh.Tensor(np.ones((1, 1, counts[0], 1)), requires_grad=True)
        y = x
        for kernel, stride, dilation in stack:
            y = zh.conv2d(y, np.ones((1, 1, kernel, 1)), stride=(stride, 1), dilation=(dilation, 1))
        assert y.shape[2] == 3
        y[0, 0, position, 0].backward()
        seen = geometry._seen(stack, position)[0]
        assert seen == np.flatnonzero(x.grad.ravel()).tolist()
        assert visualize.receptive_field_size(layers) == seen[-1] - seen[0] + 1


def test_a_receptive_field_marks_as_many_cells_as_are_seen():
    fig = visualize.receptive_field([3, (3, 2)], outputs=2, position=0)
    marked = [p for p in fig.axes[0].patches if isinstance(p, Rectangle) and p.get_linewidth() > 1]
    assert len(marked) == 1 + 3 + 5


# ---- learning ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["history", "mapping", "rows"])
def test_curves_draw_the_numbers_of_a_history_in_any_form(form):
    past = history()
    names = ("loss", "accuracy", "val_loss")
    given = {"history": past, "mapping": {n: past.column(n) for n in names}, "rows": past.epochs}[form]
    losses, accuracies = visualize.curves(given).axes
    assert [list(line.get_ydata()) for line in losses.lines] == [past.column("loss"), past.column("val_loss")]
    assert [list(line.get_ydata()) for line in accuracies.lines] == [past.column("accuracy")]
    assert list(losses.lines[0].get_xdata()) == [1, 2, 3]


def test_curves_name_the_best_epoch():
    words = visualize.curves({"loss": [3.0, 2, 1], "val_loss": [3.0, 1, 2], "val_accuracy": [0.1, 0.2, 0.3]}).alt
    assert "validation loss from 3 to 2, lowest in epoch 2" in words
    assert "validation accuracy from 10 % to 30 %, highest in epoch 3" in words


def test_confusion_counts_are_scikit_learns(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    labels, answers = rng.integers(0, 5, (2, 200))
    np.testing.assert_array_equal(
        visualize.confusion_counts(labels, answers), metrics.confusion_matrix(labels, answers)
    )


def test_a_confusion_matrix_shows_rows_of_right_classes():
    fig = visualize.confusion_matrix([0, 0, 0, 1], [0, 1, 1, 1], ["cat", "dog"])
    shown = {text.get_position(): text.get_text() for text in fig.axes[0].texts}
    assert shown == {(0, 0): "1", (1, 0): "2", (0, 1): "·", (1, 1): "1"}  # (column, row)
    assert "cat taken for dog (2)" in fig.alt and fig.axes[0].get_ylabel() == "right class"


def test_the_worst_mistake_comes_first_and_right_answers_never():
    probabilities = np.array([[0.4, 0.6, 0], [0.05, 0.9, 0.05], [0.2, 0.5, 0.3], [0.9, 0.1, 0]])
    fig = visualize.worst_mistakes(np.zeros((4, 8, 8)), [0, 0, 2, 0], probabilities)
    captions = [ax.get_title() for ax in fig.axes]
    assert captions == ["0, taken\nfor 1, at 90 %", "2, taken\nfor 1, at 50 %", "0, taken\nfor 1, at 60 %"]
    assert len(visualize.worst_mistakes(np.zeros((4, 8, 8)), [0, 0, 2, 0], probabilities, 1).axes) == 1


def test_without_mistakes_the_picture_says_so():
    assert visualize.worst_mistakes(np.zeros((2, 8, 8)), [0, 1], np.eye(2)).alt == "No mistakes among 2 images."


def test_a_probability_is_as_long_as_it_is_large():
    ax = visualize.probabilities([0.1, 0.8, 0.2, 0.1], ["cat", "human", "dog", "mouse"]).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [0.1, 0.8, 0.2, 0.1]
    assert [text.get_text() for text in ax.texts] == ["10 %", "80 %", "20 %", "10 %"]


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_intervals_use_students_t(confidence):
    stats = pytest.importorskip("scipy.stats")
    for freedom in (1, 2, 4, 9, 30, 100):
        assert learning._student_t(freedom, confidence) == pytest.approx(
            stats.t.ppf((1 + confidence) / 2, freedom), rel=1e-4
        )


def test_a_mean_interval_is_scipys(rng):
    stats = pytest.importorskip("scipy.stats")
    values = rng.normal(size=5)
    mean, half = visualize.mean_interval(values)
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose([mean - half, mean + half], [low, high], rtol=1e-4)


# ---- the tape ---------------------------------------------------------------------------------------------


def lines_of(fig):
    return [text.get_text() for text in fig.axes[0].texts]


def test_a_graph_shows_every_value_and_gradient():
    loss, tensors = seven_nodes()
    lines = lines_of(visualize.graph(loss, names=tensors, gradients=True))
    for line in (
        "w",
        "value −3",
        "grad 12",
        "w × x",
        "value −6",
        "product + b",
        "value 4",
        "total − t",
        "error ^ 2",
        "value 9",
        "grad 1",
    ):
        assert line in lines
    assert lines.count("grad 6") == 4  # product, b, total, error


def test_the_gradients_of_a_graph_are_those_of_backward():
    x = zh.Tensor([[1.0, -2.0]], requires_grad=True)
    hidden = zh.relu(x * x + x)
    loss = (hidden * x).sum() + (hidden @ np.ones((2, 1))).sum()
    found = graphs.tape_gradients(loss)
    np.testing.assert_allclose(found[id(x)], zh.grad(loss, x))


def test_drawing_a_graph_leaves_the_tape_as_it_was():
    loss, tensors = seven_nodes()
    heard = []
    tensors["total"].register_hook(heard.append)
    visualize.graph(loss, gradients=True)
    assert tensors["w"].grad is None and heard == []
    loss.backward()
    assert tensors["w"].grad == 12 and heard == [6]


def test_after_backward_a_graph_shows_the_gradients_of_leaves():
    loss, _ = seven_nodes()
    loss.backward()
    lines = lines_of(visualize.graph(loss))
    assert "grad 12" in lines and "grad 6" in lines and "grad 1" not in lines
    assert not [line for line in lines_of(visualize.graph(loss, gradients=False)) if line.startswith("grad")]


def skipping(x):
    return (zh.relu(x * x) + x).sum() * (x * 2).sum()


def used_early_and_late(x):
    return (x * 3 + zh.relu(zh.relu(zh.relu(x)))) * x


def wide(x):
    return zh.concat([zh.relu(x * i) for i in range(9)], axis=0).sum()


@pytest.mark.parametrize("make", [skipping, used_early_and_late, wide])
def test_boxes_of_a_graph_stand_apart_and_arrows_point_onwards(make):
    loss = make(zh.Tensor([1.0, 2.0], requires_grad=True, name="x"))
    boxes = graphs._boxes(loss)
    for box in boxes:
        box.lines, box.width, box.height = ["x"], 1.0, 0.5
    graphs._place(graphs._layers(boxes), False, 0.0)
    for index, box in enumerate(boxes):
        assert all(parent.x + 1.0 < box.x for parent in box.parents)
        for other in boxes[index + 1 :]:
            assert abs(box.x - other.x) >= 1.0 or abs(box.y - other.y) >= 0.5


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0.1, 5)), min_size=1, max_size=12))
def test_boxes_are_moved_apart_no_more_than_they_must(wishes_and_sizes):
    wishes, sizes = zip(*wishes_and_sizes, strict=True)
    places = graphs._apart(wishes, sizes)
    for i in range(len(places) - 1):
        assert places[i + 1] - places[i] >= (sizes[i] + sizes[i + 1]) / 2 - 1e-9
    np.testing.assert_allclose(graphs._apart(places, sizes), places, atol=1e-9)
    assert np.mean(places) == pytest.approx(np.mean(wishes), abs=1e-9)


def test_a_deep_graph_runs_downwards_and_stays_narrow():
    y = zh.Tensor(np.ones((2, 30)), requires_grad=True)
    for _ in range(12):
        y = zh.relu(y)
    fig = visualize.graph(y.sum(), gradients=True)
    assert fig.get_figheight() > fig.get_figwidth()
    assert len([p for p in fig.axes[0].patches if isinstance(p, FancyBboxPatch)]) == 14
    assert "grad norm 7.7" in lines_of(fig)  # the square root of 60


# ---- loss surfaces ----------------------------------------------------------------------------------------


def test_a_descent_lies_on_its_loss():
    ax = visualize.descent(lambda w: w**2, {"step": [2.0, 1.0]}).axes[0]
    path = ax.lines[1]
    assert list(path.get_xdata()) == [2, 1] and list(path.get_ydata()) == [4, 1]


def test_a_surface_draws_every_path(rng):
    paths = {"SGD": rng.normal(size=(5, 2)), "Adam": rng.normal(size=(4, 2))}
    ax = visualize.surface(lambda a, b: a**2 + b**2, paths).axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), paths["SGD"])
    np.testing.assert_array_equal(ax.lines[2].get_xydata(), paths["Adam"])


# ---- wrong input ------------------------------------------------------------------------------------------

used = seven_nodes()[0]
used.backward()
many = zh.Tensor(1.0, requires_grad=True)
for _ in range(90):
    many = zh.relu(many)

WRONG = {
    "ragged": (lambda: visualize.number_grid([[1, 2], [3]]), "rows must all have the same length"),
    "words": (lambda: visualize.number_grid([["a"]]), "needs real numbers, but got list"),
    "too large": (lambda: visualize.number_grid(np.zeros((41, 2))), "is 41 by 2, and at most 40 by 40"),
    "three axes": (lambda: visualize.number_grid(np.zeros((2, 2, 2))), "rows and columns"),
    "window outside": (lambda: visualize.number_grid(X, highlight=(4, 4, 3, 3)), r"\(4, 4, 3, 3\) lies outside"),
    "window short": (lambda: visualize.number_grid(X, highlight=(4, 4)), r"\(row, column, height, width\)"),
    "channels last": (lambda: visualize.image(np.zeros((8, 8, 3))), r"channels-last, so transpose"),
    "many images": (lambda: visualize.image(np.zeros((2, 3, 8, 8))), "use image_grid"),
    "colours": (lambda: visualize.image(np.full((3, 4, 4), 7.0)), r"from 0 to 1.*from 7 to 7.*limits="),
    "no images": (lambda: visualize.image_grid([]), "at least one image"),
    "labels": (lambda: visualize.image_grid(np.zeros((2, 4, 4)), ["one"]), "one for each of 2, but got 1"),
    "filters": (lambda: visualize.filter_grid(np.zeros(3)), r"\(out, in, kh, kw\)"),
    "histogram": (lambda: visualize.histogram([1.0, np.nan, np.inf]), "2 numbers that are NaN or infinite"),
    "empty histogram": (lambda: visualize.histogram([]), "at least one number"),
    "channels": (lambda: visualize.convolution_step(np.ones((2, 4, 4)), np.ones((3, 2, 2))), "channels as x, 2"),
    "filter too large": (lambda: visualize.convolution_step(np.ones((2, 2)), np.ones((3, 3))), "spans 3 by 3 cells"),
    "input too large": (lambda: visualize.convolution_step(np.ones((17, 4)), W), "at most 16 by 16"),
    "position": (lambda: visualize.convolution_step(X, W, 4, 0), "rows 0 to 3 and columns 0 to 3"),
    "stride": (lambda: visualize.convolution_step(X, W, stride=0), "convolution_step: stride needs"),
    "pool": (lambda: visualize.pooling_step(X, 7), "larger than x"),
    "pool mode": (lambda: visualize.pooling_step(X, 2, mode="min"), "mode needs one of 'max', 'average'"),
    "windows": (lambda: visualize.windows(3, 5), "no window fits: the kernel spans 5"),
    "many cells": (lambda: visualize.windows(60, 3, padding=3), "at most 64 cells"),
    "layers": (lambda: visualize.receptive_field([(3, 1, 1, 1)]), r"layers\[0\] needs a kernel size"),
    "no layers": (lambda: visualize.receptive_field([]), "at least one layer"),
    "deep": (lambda: visualize.receptive_field([(3, 2)] * 6), "at most 64 can"),
    "history": (lambda: visualize.curves({}), "at least one epoch with a loss"),
    "lengths": (lambda: visualize.curves({"loss": [1, 2], "val_loss": [1]}), "equally long columns"),
    "floats": (lambda: visualize.confusion_counts([0.5], [1]), "take argmax first"),
    "sizes": (lambda: visualize.confusion_counts([0, 1], [1]), "one for each of 2 labels"),
    "classes": (lambda: visualize.confusion_matrix([0, 3], [0, 1], ["a", "b"]), r"\[0, 1\], but 3 occurs"),
    "logits": (lambda: visualize.worst_mistakes(np.zeros((1, 4, 4)), [0], [[3.0, 1.0]]), "zh.softmax"),
    "probability": (lambda: visualize.probabilities([0.5, 1.5]), "from 0 to 1"),
    "names": (lambda: visualize.probabilities([0.5, 0.5], ["a"]), "needs 2 names"),
    "one seed": (lambda: visualize.interval({"a": [1.0]}), "at least 2 numbers"),
    "no tensor": (lambda: visualize.graph(3.0), "needs to be a Tensor, but got float"),
    "used tape": (lambda: visualize.graph(used, gradients=True), "backward was called"),
    "not one number": (lambda: visualize.graph(zh.Tensor([1.0, 2.0], True) * 2, gradients=True), "one number"),
    "many boxes": (lambda: visualize.graph(many), "91 tensors, and at most 80"),
    "path": (lambda: visualize.surface(lambda a, b: a + b, [[1, 2, 3]]), r"\(steps, 2\)"),
    "lost path": (lambda: visualize.descent(lambda w: w, [1.0, np.nan]), "NaN or infinite from step 1"),
    "hole": (lambda: visualize.descent(lambda w: np.where(w > 0, w, np.nan)), "NaN or infinite somewhere"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gets_one_clear_sentence(case):
    call, sentence = WRONG[case]
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value) and str(caught.value)[0].islower()
