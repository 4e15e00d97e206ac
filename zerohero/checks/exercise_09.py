"""The tasks of exercise 09, Where CNNs fail. How answers are run and compared is not known here."""

from __future__ import annotations

import numpy as np

from zerohero.checks.definition import Case, Task


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


# --- two bands of a picture change places -------------------------------------------------------------------


def _pictures(rng: np.random.Generator) -> list[Case]:
    return [
        Case(real(np.arange(1, 9)[:, None] * [1, 10])[None, None], 1, 5, 2),
        Case(real(rng.random((1, 1, 7, 5))), 4, 0, 3),
        Case(real(rng.random((3, 2, 8, 9))), 1, 5, 2),
        Case(real(rng.random((2, 3, 11, 12))), 0, 7, 4),
    ]


def _slices(first, second, height):
    return np.s_[:, :, first : first + height], np.s_[:, :, second : second + height]


def _swapped(images, a, b):
    result = images.copy()
    result[a], result[b] = images[b], images[a]
    return result


swap_bands = Task(
    name="09.swap_bands",
    title="Eyes and mouth change places",
    difficulty=2,
    minutes=10,
    practises="slices of rows, and the difference between a view and a copy",
    reference=lambda images, first, second, height: _swapped(images, *_slices(first, second, height)),
    inputs=_pictures,
    hints=[
        "A band is `images[:, :, first:first + height]`: all images, all channels, some rows, all columns. Two "
        "assignments exchange two bands. What does the second one read?",
        "A slice is a *view*: once the first band is overwritten, its old numbers are gone. Work on a copy, and read "
        "from the images you were given.",
        "`swapped = images.copy()`, then `swapped[:, :, first:first + height] = images[:, :, second:second + height]` "
        "and the same with first and second exchanged.",
    ],
)


@swap_bands.misconception(
    "one band twice",
    "Both places hold the *second* band: when you wrote to the second place, the first band was gone. A slice is a "
    "view, not a copy. Read both bands from the images you were given, and write into a copy.",
)
def second_band_twice(images, first, second, height):
    a, b = _slices(first, second, height)
    result = images.copy()
    result[a] = images[b]
    return result


@swap_bands.misconception(
    "one band twice",
    "Both places hold the *first* band: when you wrote to the first place, the second band was gone. A slice is a "
    "view, not a copy. Read both bands from the images you were given, and write into a copy.",
)
def first_band_twice(images, first, second, height):
    a, b = _slices(first, second, height)
    result = images.copy()
    result[b] = images[a]
    return result


@swap_bands.misconception(
    "nothing changes places",
    "You return the images as they came. Assign to the two slices of a copy, and return the copy.",
)
def nothing(images, first, second, height):
    return images.copy()


@swap_bands.misconception(
    "columns instead of rows",
    "You exchange columns, the last axis. In (N, C, H, W) rows are axis 2: `images[:, :, first:first + height]`.",
)
def columns(images, first, second, height):
    a, b = (np.s_[..., place : place + height] for place in (first, second))
    if first + height > images.shape[3] or second + height > images.shape[3]:
        raise ValueError("could not broadcast")
    return _swapped(images, a, b)


@swap_bands.misconception(
    "channels instead of rows",
    "You take your bands from axis 1, the channels. In (N, C, H, W) rows are axis 2, so one more `:` comes first: "
    "`images[:, :, first:first + height]`.",
)
def channels(images, first, second, height):
    return _swapped(images, *(np.s_[:, place : place + height] for place in (first, second)))


@swap_bands.misconception(
    "bands a row short",
    "Your bands are a row too short. A slice leaves its end out: `first:first + height` has `height` rows.",
)
def a_row_short(images, first, second, height):
    return _swapped(images, *_slices(first, second, height - 1))


@swap_bands.misconception(
    "bands a row too long",
    "Your bands are a row too long. A slice leaves its end out, so no 1 is added: `first:first + height`.",
)
def a_row_long(images, first, second, height):
    result = images.copy()
    a, b = _slices(first, second, height + 1)
    rows = min(images[a].shape[2], images[b].shape[2])  # the last one may hang over the edge
    return _swapped(result, *_slices(first, second, rows))


@swap_bands.misconception(
    "single rows swapped",
    "You exchange single rows, `first` and `second`. Each band is `height` rows tall.",
)
def single_rows(images, first, second, height):
    return _swapped(images, *_slices(first, second, 1))


@swap_bands.misconception(
    "only the first image",
    "Only the first image is changed. The first axis of (N, C, H, W) counts the images: take all of them, `:`.",
)
def first_image(images, first, second, height):
    result = images.copy()
    result[:1] = _swapped(images[:1], *_slices(first, second, height))
    return result


@swap_bands.misconception(
    "only the first channel",
    "Only the first channel is changed. The second axis of (N, C, H, W) counts the channels: take all of them, `:`.",
)
def first_channel(images, first, second, height):
    result = images.copy()
    result[:, :1] = _swapped(images[:, :1], *_slices(first, second, height))
    return result


@swap_bands.misconception(
    "bands upside down",
    "Your bands changed places and were turned upside down. The rows inside a band stay in their order.",
)
def upside_down(images, first, second, height):
    a, b = _slices(first, second, height)
    result = images.copy()
    result[a], result[b] = images[b][:, :, ::-1], images[a][:, :, ::-1]
    return result


@swap_bands.misconception(
    "bands emptied",
    "Both bands are filled with zeros. Put the other band there.",
)
def emptied(images, first, second, height):
    a, b = _slices(first, second, height)
    result = images.copy()
    result[a] = result[b] = 0
    return result


# --- the fast gradient sign method ----------------------------------------------------------------------------


def _images_and_gradients(rng: np.random.Generator) -> list[Case]:
    return [
        Case(real([[[[0.5, 0.5], [0.98, 0.02]]]]), real([[[[3, -0.2], [0.1, -2]]]]), 0.1),
        Case(real([[[[0.3, 0.6, 0.4]]]]), real([[[[0, -5, 0.001]]]]), 0.25),
        Case(
            real(rng.random((3, 2, 4, 5))), real(rng.normal(size=(3, 2, 4, 5)) * [[[[2.0]]], [[[0.1]]], [[[30]]]]), 0.2
        ),
    ]


def _stepped(images, gradient, epsilon):
    return np.clip(images + epsilon * np.sign(gradient), 0, 1)


fgsm_step = Task(
    name="09.fgsm_step",
    title="The fast gradient sign method",
    difficulty=2,
    minutes=10,
    practises="the sign of a gradient as a direction, and pixels that stay pixels",
    reference=_stepped,
    inputs=_images_and_gradients,
    hints=[
        "Which way does each pixel go? Where the gradient is positive, more of that pixel means more loss. And the "
        "loss shall grow.",
        "`np.sign(gradient)` is +1, −1 or 0: every pixel takes a step of the same size, however small its gradient.",
        "`np.clip(images + epsilon * np.sign(gradient), 0, 1)`.",
    ],
)


@fgsm_step.misconception(
    "no sign",
    "You step by ε times the gradient itself: pixels with a small gradient hardly move. The method takes the *sign*: "
    "each pixel moves by ε.",
)
def no_sign(images, gradient, epsilon):
    return np.clip(images + epsilon * gradient, 0, 1)


@fgsm_step.misconception(
    "no sign",
    "Two things: you step by ε times the gradient itself instead of its sign, and pixels leave the range from 0 to 1.",
)
def no_sign_unclipped(images, gradient, epsilon):
    return images + epsilon * gradient


@fgsm_step.misconception(
    "towards the true label",
    "You step *down* the loss: that makes the network surer of the right answer. Training goes down; an attack goes "
    "up, so the sign is added.",
)
def downhill(images, gradient, epsilon):
    return np.clip(images - epsilon * np.sign(gradient), 0, 1)


@fgsm_step.misconception(
    "towards the true label",
    "Two things: you step *down* the loss, which makes the network surer, and pixels leave the range from 0 to 1.",
)
def downhill_unclipped(images, gradient, epsilon):
    return images - epsilon * np.sign(gradient)


@fgsm_step.misconception(
    "not clipped",
    "Right, except that some pixels leave the range from 0 to 1: there is no picture with such pixels. "
    "`np.clip(..., 0, 1)`.",
)
def unclipped(images, gradient, epsilon):
    return images + epsilon * np.sign(gradient)


@fgsm_step.misconception(
    "not clipped",
    "Your pixels are cut at 1 but not at 0 (as clipping to [−1, 1] would do). Both ends count: `np.clip(..., 0, 1)`.",
)
def clipped_above(images, gradient, epsilon):
    return np.minimum(images + epsilon * np.sign(gradient), 1)


@fgsm_step.misconception(
    "not clipped",
    "Your pixels are cut at 0 but not at 1 (as clipping to 255 would do). Both ends of the range count: "
    "`np.clip(..., 0, 1)`.",
)
def clipped_below(images, gradient, epsilon):
    return np.maximum(images + epsilon * np.sign(gradient), 0)


@fgsm_step.misconception(
    "clipped to another range",
    "You clip the result to [−ε, ε]. The *step* is at most ε; the picture goes from 0 to 1.",
)
def clipped_to_epsilon(images, gradient, epsilon):
    return np.clip(images + epsilon * np.sign(gradient), -epsilon, epsilon)


@fgsm_step.misconception(
    "clipped before the step",
    "You clip before the step instead of after it, so pixels still leave the range from 0 to 1 (the images were in it "
    "anyway).",
)
def clipped_gradient(images, gradient, epsilon):
    return images + np.clip(epsilon * gradient, -epsilon, epsilon)


@fgsm_step.misconception(
    "gradient divided by its size",
    "You divide the gradient by its length. The sum of squares is then fixed, and pixels with a small gradient hardly "
    "move. FGSM bounds each pixel's change instead: take the sign.",
)
def by_length(images, gradient, epsilon):
    length = np.sqrt((gradient**2).sum(axis=(1, 2, 3), keepdims=True))
    return np.clip(images + epsilon * gradient / length, 0, 1)


@fgsm_step.misconception(
    "gradient divided by its size",
    "You divide the gradient by the length of all images' gradients together. Take the sign: each pixel moves by ε.",
)
def by_whole_length(images, gradient, epsilon):
    return np.clip(images + epsilon * gradient / np.linalg.norm(gradient), 0, 1)


@fgsm_step.misconception(
    "gradient divided by its size",
    "You divide the gradient by its largest entry: only one pixel moves by ε. Take the sign, and each does.",
)
def by_largest(images, gradient, epsilon):
    return np.clip(images + epsilon * gradient / np.abs(gradient).max(), 0, 1)


@fgsm_step.misconception(
    "NaN at 0",
    "Right, except where the gradient is 0: 0 / |0| is no number (NaN). `np.sign(0)` is 0, and the pixel stays.",
)
def zero_over_zero(images, gradient, epsilon):
    with np.errstate(invalid="ignore"):
        return np.clip(images + epsilon * gradient / np.abs(gradient), 0, 1)


@fgsm_step.misconception(
    "a step where the gradient is 0",
    "Right, except where the gradient is 0: that pixel takes a step up. Nothing is known there; `np.sign(0)` is 0.",
)
def zero_goes_up(images, gradient, epsilon):
    return np.clip(images + epsilon * np.where(gradient >= 0, 1, -1), 0, 1)


@fgsm_step.misconception(
    "a step where the gradient is 0",
    "Right, except where the gradient is 0: that pixel takes a step down. Nothing is known there; `np.sign(0)` is 0.",
)
def zero_goes_down(images, gradient, epsilon):
    return np.clip(images + epsilon * np.where(gradient > 0, 1, -1), 0, 1)


@fgsm_step.misconception(
    "every pixel up",
    "All your pixels go up: the absolute value is in the way. Where the gradient is negative, less of the pixel means "
    "more loss, so it goes down.",
)
def all_up(images, gradient, epsilon):
    return np.clip(images + epsilon * np.abs(np.sign(gradient)), 0, 1)


@fgsm_step.misconception(
    "absolute value instead of sign",
    "You step by ε times the *absolute value* of the gradient: all pixels go up, and each by another amount. The sign "
    "is what is left when the size is taken away: `np.sign(gradient)`, +1, −1 or 0.",
)
def absolute_gradient(images, gradient, epsilon):
    return np.clip(images + epsilon * np.abs(gradient), 0, 1)


@fgsm_step.misconception(
    "absolute value instead of sign",
    "Two things: you step by ε times the *absolute value* of the gradient instead of its sign, and pixels leave the "
    "range from 0 to 1.",
)
def absolute_gradient_unclipped(images, gradient, epsilon):
    return images + epsilon * np.abs(gradient)


@fgsm_step.misconception(
    "ε divided by 255",
    "Your step is 255 times too small: you divide `epsilon` by 255. That is right for pixels from 0 to 255; these go "
    "from 0 to 1, and so does ε.",
)
def epsilon_of_bytes(images, gradient, epsilon):
    return _stepped(images, gradient, epsilon / 255)


@fgsm_step.misconception(
    "ε divided by 255",
    "You divide the images by 255 first. These pixels go from 0 to 1 already: such an image is nearly black.",
)
def images_of_bytes(images, gradient, epsilon):
    return _stepped(images / 255, gradient, epsilon)


@fgsm_step.misconception(
    "the step instead of the image",
    "You return the step, ε · sign. The changed image is asked for: add it to `images`, and clip.",
)
def only_the_step(images, gradient, epsilon):
    return epsilon * np.sign(gradient)


@fgsm_step.misconception(
    "sign of the images",
    "You take the sign of the images. It is the gradient that knows where the loss grows.",
)
def sign_of_images(images, gradient, epsilon):
    return np.clip(images + epsilon * np.sign(images), 0, 1)


@fgsm_step.misconception(
    "no ε",
    "Your pixels move by 1, not by ε: black becomes white. Multiply the sign by `epsilon`.",
)
def no_epsilon(images, gradient, epsilon):
    return np.clip(images + np.sign(gradient), 0, 1)


@fgsm_step.misconception(
    "one direction for all images",
    "You average the gradient over the images first. Every image has a gradient, and a direction, of its own.",
)
def same_for_all(images, gradient, epsilon):
    return np.clip(images + epsilon * np.sign(gradient.mean(axis=0, keepdims=True)), 0, 1)


# --- scoring candidates of a one-pixel attack ------------------------------------------------------------------


def greyness(images):
    """A toy classifier of (N, C, H, W): 0 if the left half is brighter, 1 if the right is, 2 if a colour stands out."""
    half = images.shape[3] // 2
    left, right = images[..., :half].sum(axis=(1, 2, 3)), images[..., -half:].sum(axis=(1, 2, 3))
    by_channel = images.mean(axis=(2, 3))
    coloured = np.ptp(by_channel, axis=1) > 0.1
    return np.where(coloured, 2, (right > left).astype(int))


def _candidates(rng: np.random.Generator) -> list[Case]:
    def case(n, height, width, k):
        grey = rng.integers(3, 8, size=(n, 1, height, width)) / 10
        images = real(np.repeat(grey, 3, axis=1))
        images[::4, 1] += 0.3  # some are coloured
        labels = greyness(images)
        labels[::3] = (labels[::3] + 1) % 3  # the classifier is wrong on every third
        places = np.column_stack([rng.integers(0, height, k), rng.integers(0, width, k)])
        values = rng.random((k, 3)).round() * np.array([1, 1, 1])
        values[::2] = values[::2, :1]  # every second one is black or white
        return Case(greyness, images, labels, real(np.column_stack([places, values])))

    two = real(np.full((2, 3, 2, 4), 0.5))
    two[0, :, 0, 0] = 0.6  # left is brighter
    two[1, :, 1, 3] = 0.9
    return [
        Case(greyness, two, np.array([0, 1]), real([[0, 3, 1, 1, 1], [1, 0, 0, 0, 0], [1, 0, 1, 1, 1]])),
        case(12, 3, 4, 9),
        case(31, 2, 6, 12),
        case(14, 5, 2, 15),
    ]


def _changed(images, candidate):
    """All images with one pixel replaced in all channels."""
    row, column = candidate[:2].astype(int)
    changed = images.copy()
    changed[:, :, row, column] = candidate[2:]
    return changed


def _scored(predict, images, labels, candidates, *, change=_changed, count=None):
    """The right scores with one of the steps replaced; `count(before, after, labels)` gives one score."""
    before = predict(images)
    count = count or (lambda before, after, labels: (after != labels)[before == labels].mean())
    return np.array([count(before, predict(change(images, candidate)), labels) for candidate in candidates])


pixel_scores = Task(
    name="09.pixel_scores",
    title="How good is each candidate pixel?",
    difficulty=3,
    minutes=20,
    practises="changing one pixel in all its channels, and counting only what the attack has done",
    reference=lambda predict, images, labels, candidates: _scored(predict, images, labels, candidates),
    inputs=_candidates,
    returns=("scores",),
    hints=[
        "First ask for the answers without any change: `right = predict(images) == labels`. An image that was wrong "
        "before is no success of the attack; it isn't counted, neither above nor below the line.",
        "For each candidate start from a new copy of the images. `changed[:, :, row, column] = values` sets all "
        "channels of one pixel in all images; row and column have to be integers.",
        "In a loop over the candidates: `changed = images.copy()`, `changed[:, :, int(row), int(column)] = values`, "
        "then `(predict(changed)[right] != labels[right]).mean()` is the score.",
    ],
)


@pixel_scores.misconception(
    "one channel only",
    "You change the pixel in its first channel only. A pixel has as many values as there are channels: set all of "
    "them, `changed[:, :, row, column] = values`.",
)
def first_channel_only(predict, images, labels, candidates):
    def change(images, candidate):
        changed = images.copy()
        changed[:, 0, int(candidate[0]), int(candidate[1])] = candidate[2]
        return changed

    return _scored(predict, images, labels, candidates, change=change)


@pixel_scores.misconception(
    "one value for all channels",
    "You set all channels to the first value. Each channel has its own: `changed[:, :, row, column] = values`.",
)
def first_value_everywhere(predict, images, labels, candidates):
    def change(images, candidate):
        return _changed(images, np.append(candidate[:2], [candidate[2]] * images.shape[1]))

    return _scored(predict, images, labels, candidates, change=change)


@pixel_scores.misconception(
    "changes add up",
    "Your changes add up: the second candidate is tried on images that still have the first one's pixel. Start each "
    "time from a new copy of the images.",
)
def accumulated(predict, images, labels, candidates):
    changed, right, scores = images.copy(), predict(images) == labels, []
    for candidate in candidates:
        changed = _changed(changed, candidate)
        scores.append((predict(changed) != labels)[right].mean())
    return np.array(scores)


@pixel_scores.misconception(
    "changes add up",
    "Two things: your changes add up, since each candidate is tried on images that still have the earlier ones' "
    "pixels; and images that were wrong before are counted.",
)
def accumulated_and_wrong_ones(predict, images, labels, candidates):
    changed, scores = images.copy(), []
    for candidate in candidates:
        changed = _changed(changed, candidate)
        scores.append((predict(changed) != labels).mean())
    return np.array(scores)


@pixel_scores.misconception(
    "images that were wrong before",
    "You count all images whose answer is wrong, also those that were wrong before anybody touched them. Only images "
    "that were right can be fooled: leave out the others.",
)
def wrong_ones_counted(predict, images, labels, candidates):
    return _scored(predict, images, labels, candidates, count=lambda before, after, labels: (after != labels).mean())


@pixel_scores.misconception(
    "images that were wrong before",
    "You count rightly what was fooled, and divide by the number of *all* images. The images that were wrong before "
    "can't be fooled: divide by the number of those that were right.",
)
def divided_by_all(predict, images, labels, candidates):
    return _scored(
        predict, images, labels, candidates,
        count=lambda before, after, labels: ((before == labels) & (after != labels)).mean(),
    )  # fmt: skip


@pixel_scores.misconception(
    "images that were wrong before",
    "You count every answer that changed, also of images that were wrong before: among them, a change may even be for "
    "the better. Look only at images that were right.",
)
def any_change(predict, images, labels, candidates):
    return _scored(predict, images, labels, candidates, count=lambda before, after, labels: (after != before).mean())


@pixel_scores.misconception(
    "images that were wrong before",
    "You divide by the images that were right, but count all that are wrong afterwards. An image that was wrong before "
    "is no success: leave it out above the line, too.",
)
def wrong_ones_above_the_line(predict, images, labels, candidates):
    return _scored(
        predict, images, labels, candidates,
        count=lambda before, after, labels: (after != labels).sum() / (before == labels).sum(),
    )  # fmt: skip


@pixel_scores.misconception(
    "share that stays right",
    "You return the share that stays right. A good candidate fools many: one minus that.",
)
def stays_right(predict, images, labels, candidates):
    return 1 - _scored(predict, images, labels, candidates)


@pixel_scores.misconception(
    "accuracy after the change",
    "You return the accuracy after the change, over all images. Asked for is the share of the images that were right "
    "before and are wrong now.",
)
def accuracy_after(predict, images, labels, candidates):
    return _scored(predict, images, labels, candidates, count=lambda before, after, labels: (after == labels).mean())


@pixel_scores.misconception(
    "number instead of share",
    "You return how many images are fooled. Divide by how many were right before.",
)
def number_fooled(predict, images, labels, candidates):
    return _scored(
        predict, images, labels, candidates,
        count=lambda before, after, labels: ((before == labels) & (after != labels)).sum(),
    )  # fmt: skip


@pixel_scores.misconception(
    "row and column exchanged",
    "Row and column are exchanged: `changed[:, :, row, column]`. In a picture that isn't square some places then lie "
    "outside.",
)
def exchanged(predict, images, labels, candidates):
    return _scored(predict, images, labels, candidates[:, [1, 0, *range(2, candidates.shape[1])]])


@pixel_scores.misconception(
    "added instead of set",
    "You add the values to the pixel. A candidate says what the pixel becomes: set it.",
)
def added(predict, images, labels, candidates):
    def change(images, candidate):
        changed = images.copy()
        changed[:, :, int(candidate[0]), int(candidate[1])] += candidate[2:]
        return changed

    return _scored(predict, images, labels, candidates, change=change)


@pixel_scores.misconception(
    "a whole row changed",
    "You change the whole row. One pixel is one row *and* one column: `changed[:, :, row, column]`.",
)
def whole_row(predict, images, labels, candidates):
    def change(images, candidate):
        changed = images.copy()
        changed[:, :, int(candidate[0])] = candidate[2:, None]
        return changed

    return _scored(predict, images, labels, candidates, change=change)


@pixel_scores.misconception(
    "one score for all",
    "You return the share of images that *some* candidate fools. Each candidate gets a score of its own, (K,).",
)
def some_candidate(predict, images, labels, candidates):
    before = predict(images)
    fooled = np.logical_or.reduce([predict(_changed(images, candidate)) != labels for candidate in candidates])
    return fooled[before == labels].mean()


@pixel_scores.misconception(
    "one score for all",
    "You return the best score. Each candidate gets a score of its own, (K,).",
)
def best_candidate(predict, images, labels, candidates):
    return _scored(predict, images, labels, candidates).max()


# --- composing poses --------------------------------------------------------------------------------------------


def _pose(x, y, degrees=0.0, size=1.0):
    """A 3×3 pose: turned, enlarged, then moved to (x, y)."""
    cosine, sine = size * np.cos(np.radians(degrees)), size * np.sin(np.radians(degrees))
    return np.array([[cosine, 0 - sine, x], [sine, cosine, y], [0, 0, 1]])  # 0 - 0 is shown as 0, and -0 is not


def _wholes(rng: np.random.Generator) -> list[Case]:
    def parts(count):
        draws = rng.uniform([-3, -3, 20, 0.5], [3, 3, 160, 2], size=(count, 4))
        return real(np.stack([_pose(*each) for each in draws]))

    return [
        Case(real(_pose(4, 2)[None]), (3, 2), 90, 1),
        Case(real(np.stack([_pose(-1, 1), _pose(1, 1, 30), _pose(0, 0, 0, 0.5)])), (0, 0), 90, 2),
        Case(parts(4), (2, -1), 35, 1.5),
        Case(parts(5), (-3, 0.5), -110, 0.7),
    ]


def _whole_turned(poses, centre, degrees, size, *, turn=None, join=None):
    """The right poses with the turn, or how it is joined with the poses, replaced."""
    x, y = centre
    turn = _pose(0, 0, degrees, size) if turn is None else turn
    about = _pose(x, y) @ turn @ _pose(-x, -y) if join is None else join(_pose(x, y), turn, _pose(-x, -y))
    return about @ poses


turn_whole = Task(
    name="09.turn_whole",
    title="Turn a whole face",
    difficulty=3,
    minutes=25,
    practises="poses as matrices, the order of their product, and turning about a point",
    reference=lambda poses, centre, degrees, size: _whole_turned(poses, centre, degrees, size),
    inputs=_wholes,
    returns=("poses",),
    hints=[
        "A matrix that turns leaves the point (0, 0) where it is. To turn about another point: move that point to "
        "(0, 0), turn, move it back. Each is a 3×3 matrix; `pose` in the cell above makes them.",
        "In A @ B @ p it is B that acts first. So what is done first stands on the right, next to the poses.",
        "`about = pose(x, y) @ pose(0, 0, degrees, size) @ pose(-x, -y)`, and `about @ poses` does it to all parts: "
        "(3, 3) `@` (I, 3, 3) is (I, 3, 3).",
    ],
)


@turn_whole.misconception(
    "order reversed",
    "Your output is poses @ about: each part is turned in its own frame. What is done to the whole picture comes "
    "last, so it stands on the left: `about @ poses`.",
)
def poses_first(poses, centre, degrees, size):
    x, y = centre
    return poses @ (_pose(x, y) @ _pose(0, 0, degrees, size) @ _pose(-x, -y))


@turn_whole.misconception(
    "order reversed",
    "You move to the centre, turn, and move back in the reverse order. In A @ B @ p it is B that acts first: the move "
    "to (0, 0), `pose(-x, -y)`, stands on the right.",
)
def moves_exchanged(poses, centre, degrees, size):
    return _whole_turned(poses, centre, degrees, size, join=lambda there, turn, back: back @ turn @ there)


@turn_whole.misconception(
    "turned about the corner",
    "You turn about the point (0, 0), not about the centre: the whole face swings around the corner. Move the centre "
    "to (0, 0) first, and back afterwards.",
)
def about_the_corner(poses, centre, degrees, size):
    return _whole_turned(poses, centre, degrees, size, join=lambda there, turn, back: turn)


@turn_whole.misconception(
    "turned about the corner",
    "You turn about (0, 0) and then move by the centre. The centre has to come to (0, 0) *before* the turn: "
    "`pose(-x, -y)` is missing on the right.",
)
def turned_then_moved(poses, centre, degrees, size):
    return _whole_turned(poses, centre, degrees, size, join=lambda there, turn, back: there @ turn)


@turn_whole.misconception(
    "not moved back",
    "You move the centre to (0, 0) and turn, but the face stays there. Move it back: `pose(x, y)` is missing on the "
    "left.",
)
def not_moved_back(poses, centre, degrees, size):
    return _whole_turned(poses, centre, degrees, size, join=lambda there, turn, back: turn @ back)


@turn_whole.misconception(
    "each part about itself",
    "Each of your parts turns in its place: the places don't change. A part of a face that is turned goes around the "
    "face's centre, too.",
)
def each_in_its_place(poses, centre, degrees, size):
    result = _pose(0, 0, degrees, size) @ poses
    result[:, :2, 2] = poses[:, :2, 2]
    return result


@turn_whole.misconception(
    "parts don't turn themselves",
    "Your parts go to the right places, but keep their old direction and size: in a face on its side the mouth is on "
    "its side, too. Multiply the whole pose, not its place only.",
)
def only_the_places(poses, centre, degrees, size):
    result = poses.copy()
    result[:, :2, 2] = _whole_turned(poses, centre, degrees, size)[:, :2, 2]
    return result


@turn_whole.misconception(
    "degrees as radians",
    "Your angle is taken for radians: `np.cos` and `np.sin` want radians. `np.radians(degrees)` converts.",
)
def degrees_as_radians(poses, centre, degrees, size):
    return _whole_turned(poses, centre, np.degrees(degrees), size)


@turn_whole.misconception(
    "turned clockwise",
    "You turn the other way. Here y points up, and positive degrees turn counter-clockwise.",
)
def clockwise(poses, centre, degrees, size):
    return _whole_turned(poses, centre, -degrees, size)


@turn_whole.misconception(
    "inverse turn",
    "You undo the turn: your matrix is the inverse of the right one. Turn by `degrees`, enlarge by `size`.",
)
def inverted(poses, centre, degrees, size):
    x, y = centre
    return np.linalg.inv(_pose(x, y) @ _pose(0, 0, degrees, size) @ _pose(-x, -y)) @ poses


@turn_whole.misconception(
    "size forgotten",
    "You turn but don't enlarge: `size` is not used.",
)
def not_enlarged(poses, centre, degrees, size):
    return _whole_turned(poses, centre, degrees, 1)


@turn_whole.misconception(
    "turn forgotten",
    "You enlarge but don't turn: `degrees` is not used.",
)
def not_turned(poses, centre, degrees, size):
    return _whole_turned(poses, centre, 0, size)


@turn_whole.misconception(
    "size on the whole matrix",
    "You multiply the whole 3×3 matrix by `size`, also its lower right 1. Only the 2×2 part that turns is enlarged: "
    "use `pose(0, 0, degrees, size)`.",
)
def whole_matrix_enlarged(poses, centre, degrees, size):
    return _whole_turned(poses, centre, degrees, size, turn=size * _pose(0, 0, degrees))


@turn_whole.misconception(
    "numbers multiplied one by one",
    "You multiply the matrices number by number, with `*`. Poses are joined by the matrix product, `@`.",
)
def number_times_number(poses, centre, degrees, size):
    x, y = centre
    return (_pose(x, y) @ _pose(0, 0, degrees, size) @ _pose(-x, -y)) * poses


@turn_whole.misconception(
    "x and y exchanged",
    "x and y of the centre are exchanged: `centre` is (x, y).",
)
def centre_exchanged(poses, centre, degrees, size):
    return _whole_turned(poses, centre[::-1], degrees, size)


@turn_whole.misconception(
    "the turn itself returned",
    "You return the matrix of the turn. Asked for are the parts' new poses: multiply it with each of them.",
)
def only_the_turn(poses, centre, degrees, size):
    x, y = centre
    return _pose(x, y) @ _pose(0, 0, degrees, size) @ _pose(-x, -y)


# --- the equivariance error ---------------------------------------------------------------------------------------


def slanted(images):
    """A 3×3 filter without symmetry on (N, C, H, W), the same for all channels, with zeros around: (N, C, H, W)."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = images.shape[2:]
    weights = [[0.5, -1, 0.2], [2, 0.3, -0.7], [1, -0.4, 0.6]]
    return sum(
        weights[i][j] * padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)
    )  # fmt: skip


def by_place(images):
    """Every pixel times a number that depends on its place."""
    return images * np.linspace(1, 3, images.shape[3]) * np.linspace(2, 1, images.shape[2])[:, None]


def blocks(images):
    """The largest of each 2×2 block, in all four places of the block: max pooling, stretched to the old size."""
    n, c, h, w = images.shape
    largest = images.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))
    return largest.repeat(2, axis=2).repeat(2, axis=3)


def _layers(rng: np.random.Generator) -> list[Case]:
    ramp = np.arange(1, 31).reshape(1, 1, 5, 6) / 10
    return [
        Case(by_place, real(ramp), 0, 1, 1),
        Case(slanted, real(rng.random((2, 3, 7, 8)) + 0.2), 1, 0, 0),
        Case(slanted, real(rng.random((2, 3, 8, 9)) + 0.2), 1, -1, 2),
        Case(blocks, real(rng.normal(size=(3, 2, 8, 10))), 1, 1, 2),
        Case(by_place, real(rng.normal(size=(4, 2, 8, 9)) * [[[[1.0]]], [[[3]]], [[[0.2]]], [[[6]]]]), -2, 1, 1),
        Case(blocks, real(rng.random((2, 1, 10, 8))), -2, 2, 2),
    ]


def _shifted(images, down, right):
    """Images (N, C, H, W) moved by pixels, zeros coming in."""
    moved = np.zeros_like(images)
    height, width = images.shape[2:]
    moved[:, :, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = images[
        :, :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return moved


def _inner(outputs, border):
    height, width = outputs.shape[2:]
    return outputs[:, :, border : height - border, border : width - border]


def _norm(array):
    return np.sqrt((array.astype(float) ** 2).sum())


def _error(layer, images, down, right, border, *, shift=_shifted, then=None, inner=_inner, ratio=None):
    """The right error with one of the steps replaced."""
    then = then or (lambda y: _shifted(y, down, right))
    ratio = ratio or (lambda a, b: _norm(a - b) / _norm(b))
    return ratio(inner(layer(shift(images, down, right)), border), inner(then(layer(images)), border))


equivariance_error = Task(
    name="09.equivariance_error",
    title="How equivariant is a layer?",
    difficulty=4,
    minutes=30,
    practises="a definition turned into a number: two paths, a border, a scale",
    reference=lambda layer, images, down, right, border: _error(layer, images, down, right, border),
    inputs=_layers,
    hints=[
        "Two paths lead from the images to an output. One: shift, then the layer. The other: the layer, then shift. An "
        "equivariant layer gives the same on both.",
        "At the border the layer saw zeros that the shift brought in, so the paths differ there for any layer. Cut "
        "`border` rows and columns off on all four sides, of both outputs: `y[:, :, border:H - border, border:W - "
        "border]`.",
        "With `a` and `b` the two outputs without their borders: `np.sqrt(((a - b) ** 2).sum()) / "
        "np.sqrt((b**2).sum())`, where b is the one that was shifted *after* the layer. Sums over all images together.",
    ],
)


@equivariance_error.misconception(
    "tests invariance",
    "You compare with the output that was not shifted: f(T x) against f(x). That is the error of *invariance*. "
    "Equivariance asks whether the output moved along: compare with T f(x).",
)
def invariance(layer, images, down, right, border):
    return _error(layer, images, down, right, border, then=lambda y: y)


@equivariance_error.misconception(
    "tests invariance",
    "You compare f(T x) with f(x), so you measure invariance, and your borders are in it, too. Equivariance compares "
    "with T f(x), away from the border.",
)
def invariance_with_borders(layer, images, down, right, border):
    return _error(layer, images, down, right, border, then=lambda y: y, inner=lambda y, border: y)


@equivariance_error.misconception(
    "borders included",
    "Your borders are included. There the layer saw zeros that came in from outside, so even a convolution looks as "
    "if it were not equivariant. Cut `border` rows and columns off on all four sides.",
)
def borders_included(layer, images, down, right, border):
    return _error(layer, images, down, right, border, inner=lambda y, border: y)


@equivariance_error.misconception(
    "borders included",
    "Your border is cut off above and left only. Cut it below and on the right, too.",
)
def two_sides_only(layer, images, down, right, border):
    return _error(layer, images, down, right, border, inner=lambda y, border: y[:, :, border:, border:])


@equivariance_error.misconception(
    "borders included",
    "Your border is cut off below and right only. Cut it above and on the left, too.",
)
def other_two_sides_only(layer, images, down, right, border):
    def inner(y, border):
        return y[:, :, : y.shape[2] - border, : y.shape[3] - border]

    return _error(layer, images, down, right, border, inner=inner)


@equivariance_error.misconception(
    "borders included",
    "You cut off rows only. The border has columns, too: axis 3 of (N, C, H, W).",
)
def rows_only(layer, images, down, right, border):
    return _error(layer, images, down, right, border, inner=lambda y, border: y[:, :, border : y.shape[2] - border])


@equivariance_error.misconception(
    "borders included",
    "You cut off columns only. The border has rows, too: axis 2 of (N, C, H, W).",
)
def columns_only(layer, images, down, right, border):
    return _error(layer, images, down, right, border, inner=lambda y, border: y[..., border : y.shape[3] - border])


@equivariance_error.misconception(
    "borders of the images",
    "You cut the border off the images before the layer. The layer then sees a new border, of its own making. Cut it "
    "off the two outputs.",
)
def cut_before(layer, images, down, right, border):
    inside = _inner(images, border)
    a, b = layer(_inner(_shifted(images, down, right), border)), _shifted(layer(inside), down, right)
    return _norm(a - b) / _norm(b)


@equivariance_error.misconception(
    "empty at border 0",
    "Right, except for `border` 0: `y[:, :, 0:-0]` is empty, since −0 is 0. Write the end as `H - border`.",
)
def minus_zero(layer, images, down, right, border):
    return _error(layer, images, down, right, border, inner=lambda y, border: y[:, :, border:-border, border:-border])


@equivariance_error.misconception(
    "not normalised",
    "Your error is not divided by anything: it doubles when the layer's outputs double. Divide by the norm of T f(x), "
    "without its border.",
)
def not_normalised(layer, images, down, right, border):
    return _error(layer, images, down, right, border, ratio=lambda a, b: _norm(a - b))


@equivariance_error.misconception(
    "not normalised",
    "You take the root of the *mean* squared difference. It still doubles when the layer's outputs double: divide by "
    "the norm of T f(x).",
)
def root_mean_square(layer, images, down, right, border):
    return _error(layer, images, down, right, border, ratio=lambda a, b: np.sqrt(((a - b) ** 2).mean()))


@equivariance_error.misconception(
    "not normalised",
    "You take the mean absolute difference. Asked for is the norm of the difference, relative to the norm of T f(x).",
)
def mean_absolute(layer, images, down, right, border):
    return _error(layer, images, down, right, border, ratio=lambda a, b: np.abs(a - b).mean())


@equivariance_error.misconception(
    "divided by something else",
    "You divide by the norm of f(T x). By definition it is T f(x), the output that was shifted after the layer.",
)
def by_the_other_path(layer, images, down, right, border):
    return _error(layer, images, down, right, border, ratio=lambda a, b: _norm(a - b) / _norm(a))


@equivariance_error.misconception(
    "divided by something else",
    "You divide by the norm of the *images*. The error is relative to the size of the outputs: divide by the norm of "
    "T f(x), without its border.",
)
def by_the_images(layer, images, down, right, border):
    return _error(layer, images, down, right, border, ratio=lambda a, b: _norm(a - b) / _norm(images))


@equivariance_error.misconception(
    "divided by something else",
    "Above the line your border is cut off, below it isn't: you divide by the norm of the whole output. Cut both.",
)
def by_the_whole_output(layer, images, down, right, border):
    whole = _norm(_shifted(layer(images), down, right))
    return _error(layer, images, down, right, border, ratio=lambda a, b: _norm(a - b) / whole)


@equivariance_error.misconception(
    "divided by something else",
    "You divide by the norm of f(x), which was not shifted. By definition it is T f(x), without its border.",
)
def by_the_unshifted(layer, images, down, right, border):
    size = _norm(_inner(layer(images), border))
    return _error(layer, images, down, right, border, ratio=lambda a, b: _norm(a - b) / size)


@equivariance_error.misconception(
    "no square root",
    "Your number is the square of the right one: the square roots are missing.",
)
def squared(layer, images, down, right, border):
    return _error(layer, images, down, right, border) ** 2


@equivariance_error.misconception(
    "largest difference",
    "You take the largest difference. Asked for is a norm over all numbers: the root of the sum of squares.",
)
def largest(layer, images, down, right, border):
    return _error(layer, images, down, right, border, ratio=lambda a, b: np.abs(a - b).max() / np.abs(b).max())


@equivariance_error.misconception(
    "sum of absolute values",
    "You add up absolute values, above and below the line. Asked for is the root of the sum of *squares*.",
)
def absolute_values(layer, images, down, right, border):
    return _error(layer, images, down, right, border, ratio=lambda a, b: np.abs(a - b).sum() / np.abs(b).sum())


@equivariance_error.misconception(
    "mean over the images",
    "You compute an error for each image and average. By definition the norms are over all images together, so that a "
    "faint image doesn't count as much as a strong one.",
)
def image_by_image(layer, images, down, right, border):
    return np.mean([_error(layer, images[i : i + 1], down, right, border) for i in range(len(images))])


@equivariance_error.misconception(
    "an error for each image",
    "You return an error for each image. Asked for is one number, with norms over all images together.",
)
def one_for_each(layer, images, down, right, border):
    return np.array([_error(layer, images[i : i + 1], down, right, border) for i in range(len(images))])


@equivariance_error.misconception(
    "output shifted the other way",
    "You shift the output back instead of along. If the input goes down, an equivariant output goes down, too.",
)
def other_way(layer, images, down, right, border):
    return _error(layer, images, down, right, border, then=lambda y: _shifted(y, -down, -right))


@equivariance_error.misconception(
    "down and right exchanged",
    "You shift down by `right` and right by `down`.",
)
def down_and_right_exchanged(layer, images, down, right, border):
    return _error(layer, images, right, down, border)


@equivariance_error.misconception(
    "pixels wrap around",
    "Your pixels that leave on one side come in on the other, as `np.roll` does. Use `shifted`, which brings in zeros.",
)
def rolled(layer, images, down, right, border):
    return _error(layer, images, down, right, border, shift=_rolled, then=lambda y: _rolled(y, down, right))


def _rolled(images, down, right):
    return np.roll(images, (down, right), axis=(2, 3))


@equivariance_error.misconception(
    "pixels wrap around",
    "You move the images with `np.roll`: what leaves on one side comes in on the other. Use `shifted`, which brings in "
    "zeros.",
)
def images_rolled(layer, images, down, right, border):
    return _error(layer, images, down, right, border, shift=_rolled)


@equivariance_error.misconception(
    "pixels wrap around",
    "You move the outputs with `np.roll`: what leaves on one side comes in on the other. Use `shifted`, which brings "
    "in zeros.",
)
def outputs_rolled(layer, images, down, right, border):
    return _error(layer, images, down, right, border, then=lambda y: _rolled(y, down, right))


@equivariance_error.misconception(
    "layer left out",
    "Your second path leaves the layer out: you compare f(T x) with T x. It is T f(x).",
)
def without_the_layer(layer, images, down, right, border):
    a, b = layer(_shifted(images, down, right)), _shifted(images, down, right)
    return _norm(_inner(a - b, border)) / _norm(_inner(b, border))


TASKS = (swap_bands, fgsm_step, pixel_scores, turn_whole, equivariance_error)
