"""The tasks of exercise 12, What routing does. How answers are run and compared is not known here."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.ops.capsule import dynamic_routing, routing_trace


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


# --- mean logit change --------------------------------------------------------------------------------------


def _votes(rng: np.random.Generator) -> list[Case]:
    def case(n, i, j, q, iterations):
        return Case(real(rng.normal(size=(n, i, j, q))), real(rng.normal(size=(j, q)) / 2), iterations)

    two = real([[[[1, 0], [0, 1]], [[0, 2], [1, -1]]]])
    return [
        Case(two, real([[-2, -1], [-1, -1.5]]), 2),
        case(3, 5, 2, 4, 1),
        case(2, 4, 3, 5, 3),
        case(3, 6, 4, 2, 5),
    ]


def _changes(votes, bias, iterations, *, of="logits", size=np.abs, mean=lambda x: x.mean(axis=(1, 2, 3))):
    """What the mean of the changes comes to, with one of its parts replaced."""
    trace = routing_trace(votes, bias, iterations=iterations)
    return mean(size(np.diff(getattr(trace, of), axis=0)))


def _right_changes(votes, bias, iterations):
    return _changes(votes, bias, iterations)


mean_logit_change = Task(
    name="12.mean_logit_change",
    title="Mean logit change",
    difficulty=3,
    minutes=20,
    practises="asking whether routing comes to rest",
    reference=_right_changes,
    inputs=_votes,
    returns=("change",),
    hints=[
        "`zh.routing_trace(votes, bias, iterations=iterations).logits` is (T, N, I, J): the logits that each iteration "
        "starts from. What changes from one to the next?",
        "`np.diff(logits, axis=0)` is (T - 1, N, I, J). A change of -2 is as large as one of +2: sizes first, "
        "`np.abs`, then the mean.",
        "`trace = zh.routing_trace(votes, bias, iterations=iterations)`, then "
        "`np.abs(np.diff(trace.logits, axis=0)).mean(axis=(1, 2, 3))`.",
    ],
)


@mean_logit_change.misconception(
    "signed mean",
    "Your mean keeps the signs, so that logits that rise and logits that fall cancel out. How *large* the changes are "
    "is asked for: take `np.abs` before the mean.",
)
def signed_mean(votes, bias, iterations):
    return _changes(votes, bias, iterations, size=lambda x: x)


@mean_logit_change.misconception(
    "signed mean",
    "You take the size of the mean, after rising and falling logits have cancelled out. Each change's size comes "
    "first, `np.abs`, then the mean.",
)
def size_of_the_mean(votes, bias, iterations):
    return abs(_changes(votes, bias, iterations, size=lambda x: x))


@mean_logit_change.misconception(
    "couplings instead",
    "You follow the couplings c. The logits b are asked for, which softmax turns into couplings: couplings can stand "
    "still, near 0 and 1, while logits still grow.",
)
def couplings_instead(votes, bias, iterations):
    return _changes(votes, bias, iterations, of="couplings")


@mean_logit_change.misconception(
    "capsules instead",
    "You follow the output capsules v. The logits b are asked for, one number for each pair of capsules.",
)
def capsules_instead(votes, bias, iterations):
    return _changes(votes, bias, iterations, of="v")


@mean_logit_change.misconception(
    "capsules instead",
    "You follow s, the sums of the votes. The logits b are asked for, one number for each pair of capsules.",
)
def sums_instead(votes, bias, iterations):
    return _changes(votes, bias, iterations, of="s")


@mean_logit_change.misconception(
    "dead update counted",
    "You count one change too many: the update after the last iteration. Nobody uses those logits: routing is over, "
    "and v is out. T iterations have T - 1 changes.",
)
def dead_update(votes, bias, iterations):
    return _changes(votes, bias, iterations + 1)


@mean_logit_change.misconception(
    "one change missing",
    "You leave out a change: T iterations have T - 1, the first from 0 to the first agreement.",
)
def first_change_missing(votes, bias, iterations):
    return _changes(votes, bias, iterations)[1:]


@mean_logit_change.misconception(
    "one change missing",
    "You leave out the last change: T iterations have T - 1, the last from iteration T - 1 to T.",
)
def last_change_missing(votes, bias, iterations):
    return _changes(votes, bias, iterations)[:-1]


@mean_logit_change.misconception(
    "logits instead of their changes",
    "Your output is the mean size of the logits themselves, which grow with every iteration. The change from one "
    "iteration to the next is asked for.",
)
def logits_themselves(votes, bias, iterations):
    return np.abs(routing_trace(votes, bias, iterations=iterations).logits).mean(axis=(1, 2, 3))


@mean_logit_change.misconception(
    "logits instead of their changes",
    "You compare each iteration with the first, whose logits are 0: that is the size of the logits. Compare it with "
    "the iteration before.",
)
def since_the_start(votes, bias, iterations):
    return logits_themselves(votes, bias, iterations)[1:]


@mean_logit_change.misconception(
    "wrong axis",
    "Your `np.diff` runs along the last axis, its default: from one output capsule to the next. Iterations lie along "
    "the first: `axis=0`.",
)
def last_axis(votes, bias, iterations):
    logits = routing_trace(votes, bias, iterations=iterations).logits
    return np.abs(np.diff(logits)).mean(axis=(1, 2, 3))


@mean_logit_change.misconception(
    "squares instead of sizes",
    "Your output is the mean of the squared changes. The mean of their sizes is asked for, `np.abs`.",
)
def mean_square(votes, bias, iterations):
    return _changes(votes, bias, iterations, size=np.square)


@mean_logit_change.misconception(
    "squares instead of sizes",
    "Your output is the root of the mean of the squares (or the standard deviation's like), which counts large changes "
    "more. The plain mean of the sizes is asked for, `np.abs`.",
)
def root_mean_square(votes, bias, iterations):
    return np.sqrt(mean_square(votes, bias, iterations))


@mean_logit_change.misconception(
    "spread instead of mean",
    "Your output is the standard deviation of the changes. The mean of their sizes is asked for.",
)
def spread(votes, bias, iterations):
    return _changes(votes, bias, iterations, size=lambda x: x, mean=lambda x: x.std(axis=(1, 2, 3)))


@mean_logit_change.misconception(
    "sum instead of mean",
    "You add up the changes of all logits. Their mean is asked for: else a larger network would seem to change more.",
)
def summed(votes, bias, iterations):
    return _changes(votes, bias, iterations, mean=lambda x: x.sum(axis=(1, 2, 3)))


@mean_logit_change.misconception(
    "sum instead of mean",
    "You add up over the output capsules before you take the mean. The mean over all logits is asked for: "
    "`.mean(axis=(1, 2, 3))`.",
)
def summed_over_the_outputs(votes, bias, iterations):
    return _changes(votes, bias, iterations, mean=lambda x: x.sum(axis=3).mean(axis=(1, 2)))


@mean_logit_change.misconception(
    "sum instead of mean",
    "You add up over the capsules and take the mean over the images alone. The mean over all logits is asked for: "
    "`.mean(axis=(1, 2, 3))`.",
)
def summed_over_the_capsules(votes, bias, iterations):
    return _changes(votes, bias, iterations, mean=lambda x: x.sum(axis=(2, 3)).mean(axis=1))


@mean_logit_change.misconception(
    "largest change",
    "Your output is the largest change in each iteration. Their mean is asked for.",
)
def largest(votes, bias, iterations):
    return _changes(votes, bias, iterations, mean=lambda x: x.max(axis=(1, 2, 3), initial=0))


@mean_logit_change.misconception(
    "one number for all",
    "You return one number, the mean over the iterations, too. One number for each change is asked for, (T - 1,): "
    "leave out axis 0, `.mean(axis=(1, 2, 3))`.",
)
def one_number(votes, bias, iterations):
    return _changes(votes, bias, iterations, mean=lambda x: x.mean())


@mean_logit_change.misconception(
    "not a mean over all",
    "You keep the images apart, (T - 1, N). The mean runs over the images, too: `.mean(axis=(1, 2, 3))`.",
)
def images_apart(votes, bias, iterations):
    return _changes(votes, bias, iterations, mean=lambda x: x.mean(axis=(2, 3)))


@mean_logit_change.misconception(
    "not a mean over all",
    "Your mean runs over the images alone and keeps the capsules apart. It runs over everything but the iterations: "
    "`.mean(axis=(1, 2, 3))`.",
)
def capsules_apart(votes, bias, iterations):
    return _changes(votes, bias, iterations, mean=lambda x: x.mean(axis=1))


@mean_logit_change.misconception(
    "not a mean over all",
    "Your mean runs over the iterations. They are what you want to see: the mean runs over everything else, "
    "`.mean(axis=(1, 2, 3))`.",
)
def iterations_averaged(votes, bias, iterations):
    return _changes(votes, bias, iterations, mean=lambda x: x.mean(axis=0))


@mean_logit_change.misconception(
    "first image only",
    "You look at the first image alone. The mean runs over all images.",
)
def first_image(votes, bias, iterations):
    return _changes(votes, bias, iterations, mean=lambda x: x[:, 0].mean(axis=(1, 2)))


@mean_logit_change.misconception(
    "bias forgotten",
    "You route without the bias. It is added in every iteration before squash, so it changes v and with it the logits: "
    "`zh.routing_trace(votes, bias, ...)`.",
)
def no_bias(votes, bias, iterations):
    return _changes(votes, None, iterations)


@mean_logit_change.misconception(
    "iterations ignored",
    "You always route 3 iterations, the default. Pass the number on: `iterations=iterations`.",
)
def three_iterations(votes, bias, iterations):
    return _changes(votes, bias, 3)


@mean_logit_change.misconception(
    "share instead of size",
    "You divide by the size of the logits. The change itself is asked for, not its share.",
)
def relative(votes, bias, iterations):
    logits = routing_trace(votes, bias, iterations=iterations).logits
    return np.abs(np.diff(logits, axis=0)).mean(axis=(1, 2, 3)) / np.abs(logits[1:]).mean(axis=(1, 2, 3))


@mean_logit_change.misconception(
    "logarithm taken",
    "You return the logarithm. A plot may have a log scale; the numbers asked for are the changes themselves.",
)
def logarithm(votes, bias, iterations):
    return np.log(_changes(votes, bias, iterations))


@mean_logit_change.misconception(
    "logarithm taken",
    "You return the logarithm to base 10. A plot may have a log scale; the numbers asked for are the changes "
    "themselves.",
)
def logarithm_of_ten(votes, bias, iterations):
    return np.log10(_changes(votes, bias, iterations))


# --- overlapping digits -------------------------------------------------------------------------------------


def _digits(rng: np.random.Generator) -> list[Case]:
    def case(labels, pairs, shifts, height, width):
        images = rng.uniform(0.1, 1, size=(len(labels), 1, height, width))
        images *= rng.uniform(size=images.shape) < 0.7
        return Case(real(images), np.array(labels), np.array(pairs), np.array(shifts))

    strokes = real([[[[0, 1], [0, 1]]], [[[0.5, 0.75], [0, 0]]]])
    every = [[0, 1], [1, 2], [3, 1], [2, 0], [4, 2], [3, 3], [3, 2]]
    moves = rng.integers(-4, 5, size=(7, 2, 2))
    moves[0], moves[2], moves[4] = [[-4, 4], [1, -2]], [[2, -3], [4, 0]], [[0, 1], [-3, -1]]
    return [
        Case(strokes, np.array([3, 8]), np.array([[0, 1]]), np.array([[[0, 0], [1, 0]]])),
        case([5, 2, 5], [[2, 1], [0, 2], [1, 0]], [[[1, -2], [3, 4]], [[0, 1], [2, 2]], [[-4, -1], [0, 3]]], 5, 3),
        case([7, 4, 4, 0, 4], every, moves, 6, 4),
    ]


def _wider(image, above, below, left, right):
    """The image with zeros around it."""
    return np.pad(image, ((0, 0), (above, below), (left, right)))


def _on_a_canvas(image, down, right):
    return _wider(image, 4 + down, 4 - down, 4 + right, 4 - right)


def _overlaid(
    images, labels, pairs, shifts, *,
    place=_on_a_canvas,
    join=lambda a, b: np.minimum(a + b, 1),
    keep=lambda labels, pairs: labels[pairs[:, 0]] != labels[pairs[:, 1]],
    name=lambda labels, pairs: labels[pairs],
):  # fmt: skip
    """Overlapping digits, with one of the parts replaced."""
    kept = keep(labels, pairs)
    pairs, shifts = pairs[kept], shifts[kept]
    both = []
    for (first, second), (move, other) in zip(pairs, shifts):
        both.append(join(place(images[first], *move), place(images[second], *other)))
    return np.stack(both), name(labels, pairs)


def _right_overlay(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts)


overlap_pairs = Task(
    name="12.overlap_pairs",
    title="Make MultiMNIST",
    difficulty=3,
    minutes=25,
    practises="two digits in one image, and what must not be in the set",
    reference=_right_overlay,
    inputs=_digits,
    returns=("overlapped", "both"),
    hints=[
        "One digit first: a canvas of zeros, 8 rows and 8 columns larger than the image. Without a shift the digit "
        "begins at row 4 and column 4. Where does it begin when it is shifted by (down, right)?",
        "`canvas[:, 4 + down : 4 + down + H, 4 + right : 4 + right + W] = image`. Two canvases are added; where both "
        "digits are bright, the sum passes 1: `np.minimum(a + b, 1)`.",
        "Leave out first what doesn't belong: `kept = labels[pairs[:, 0]] != labels[pairs[:, 1]]`, then "
        "`pairs, shifts = pairs[kept], shifts[kept]`. Build the canvases in a loop over both, `np.stack` them, and "
        "return the labels of the pairs that were kept, `labels[pairs]`.",
    ],
)


@overlap_pairs.misconception(
    "no clip",
    "Your sum passes 1 where both digits are bright (or you clip at 255, as for bytes). An image has numbers from 0 to "
    "1: clip the sum, `np.minimum(a + b, 1)`.",
)
def no_clip(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, join=lambda a, b: a + b)


@overlap_pairs.misconception(
    "mean instead of clipped sum",
    "You take the mean of the two, so each digit alone is half as bright as it was. Ink on ink is a sum, clipped at 1.",
)
def averaged(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, join=lambda a, b: (a + b) / 2)


@overlap_pairs.misconception(
    "maximum instead of clipped sum",
    "You take the brighter of the two. The task, as the paper, adds both and clips at 1: two grey strokes that cross "
    "become brighter.",
)
def brighter(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, join=np.maximum)


@overlap_pairs.misconception(
    "scaled instead of clipped",
    "You divide by the image's maximum, which makes everything darker wherever two strokes cross. Clip: "
    "`np.minimum(a + b, 1)`.",
)
def divided_by_the_maximum(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, join=lambda a, b: (a + b) / (a + b).max())


@overlap_pairs.misconception(
    "begins at 0 again",
    "Your sum begins at 0 again where it passes 1. Clip it: `np.minimum(a + b, 1)`.",
)
def wrapped(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, join=lambda a, b: (a + b) % 1)


@overlap_pairs.misconception(
    "second digit covers the first",
    "Your second digit overwrites the first where it has ink. Overlapping digits are added, and clipped at 1.",
)
def covered(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, join=lambda a, b: np.where(b > 0, b, a))


@overlap_pairs.misconception(
    "same label twice",
    "You keep pairs whose two digits have the same label. A 4 on a 4 asks for two capsules of one class, and there is "
    "one: leave such pairs out, `labels[first] != labels[second]`.",
)
def same_label_twice(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, keep=lambda labels, pairs: np.full(len(pairs), True))


@overlap_pairs.misconception(
    "same label twice",
    "You leave out pairs of an image with itself. Two *different* images of one class are no good, either: compare "
    "their labels, not their numbers.",
)
def same_image_left_out(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, keep=lambda labels, pairs: pairs[:, 0] != pairs[:, 1])


@overlap_pairs.misconception(
    "the wrong pairs left out",
    "You keep the pairs with the same label and leave out the others. It is the other way round.",
)
def only_the_same(images, labels, pairs, shifts):
    return _overlaid(
        images, labels, pairs, shifts, keep=lambda labels, pairs: labels[pairs[:, 0]] == labels[pairs[:, 1]]
    )


@overlap_pairs.misconception(
    "shifts of the wrong pairs",
    "You leave out pairs, but not their shifts, so that later pairs get the shifts of earlier ones. Leave out both "
    "together: `pairs[kept], shifts[kept]`.",
)
def shifts_not_left_out(images, labels, pairs, shifts):
    pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
    return _overlaid(images, labels, pairs, shifts[: len(pairs)])


@overlap_pairs.misconception(
    "labels of all pairs",
    "You leave out images with the same label twice, but not their labels: `both` is longer than `overlapped`.",
)
def labels_of_all(images, labels, pairs, shifts):
    return _right_overlay(images, labels, pairs, shifts)[0], labels[pairs]


@overlap_pairs.misconception(
    "numbers of the images as labels",
    "Your second answer holds the numbers of the images. Their labels are asked for, `labels[pairs]`.",
)
def pairs_as_labels(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, name=lambda labels, pairs: pairs)


@overlap_pairs.misconception(
    "labels exchanged",
    "Your labels stand in the wrong order: the first of each row belongs to the first digit.",
)
def labels_exchanged(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, name=lambda labels, pairs: labels[pairs[:, ::-1]])


@overlap_pairs.misconception(
    "labels sorted",
    "You sort the labels. Keep them in the order of the pair: only so one knows which digit was moved where.",
)
def labels_sorted(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, name=lambda labels, pairs: np.sort(labels[pairs], axis=1))


@overlap_pairs.misconception(
    "labels as ones and zeros",
    "Your second answer is a table of ones and zeros, one column for each class. The two labels are asked for, (K, 2).",
)
def ones_and_zeros(images, labels, pairs, shifts):
    overlapped, both = _right_overlay(images, labels, pairs, shifts)
    return overlapped, (both[..., None] == np.arange(10)).any(axis=1)


@overlap_pairs.misconception(
    "no margin",
    "You shift within the image, and what leaves it on one side is lost or comes back on the other (`np.roll`). First "
    "comes a margin of 4 pixels on every side, which no shift up to 4 can leave.",
)
def rolled(images, labels, pairs, shifts):
    return _overlaid(
        images, labels, pairs, shifts, place=lambda image, down, right: np.roll(image, (down, right), axis=(1, 2))
    )


@overlap_pairs.misconception(
    "no margin",
    "You roll first and add the margin afterwards: what leaves the image on one side comes back on the other. The "
    "margin comes first.",
)
def rolled_before_the_margin(images, labels, pairs, shifts):
    return _overlaid(
        images, labels, pairs, shifts,
        place=lambda image, down, right: _wider(np.roll(image, (down, right), axis=(1, 2)), 4, 4, 4, 4),
    )  # fmt: skip


@overlap_pairs.misconception(
    "no margin",
    "Your image has the old size. With a margin of 4 on every side it is 8 larger: 28 × 28 becomes 36 × 36.",
)
def cropped(images, labels, pairs, shifts):
    return _overlaid(
        images, labels, pairs, shifts, place=lambda image, *move: _on_a_canvas(image, *move)[:, 4:-4, 4:-4]
    )


@overlap_pairs.misconception(
    "margin on two sides",
    "Your margin lies below and on the right only. It is 4 pixels on every side: without a shift the digit begins at "
    "row 4, column 4.",
)
def margin_on_two_sides(images, labels, pairs, shifts):
    def place(image, down, right):
        return np.roll(_wider(image, 0, 8, 0, 8), (down, right), axis=(1, 2))

    return _overlaid(images, labels, pairs, shifts, place=place)


@overlap_pairs.misconception(
    "not shifted",
    "Your digits lie in the middle: the shifts are not used.",
)
def not_shifted(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, 0 * shifts)


@overlap_pairs.misconception(
    "shifted the wrong way",
    "Your digits move up and left where they should move down and right: a shift of +1 down begins one row *later*.",
)
def wrong_way(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, -shifts)


@overlap_pairs.misconception(
    "down and right exchanged",
    "You exchange the directions: the first number of a shift is down (rows), the second right (columns).",
)
def directions_exchanged(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts[:, :, ::-1])


@overlap_pairs.misconception(
    "one shift for both digits",
    "Both digits of your pairs move by the first shift. Each has its own: `shifts[k, 0]` and `shifts[k, 1]`.",
)
def first_shift_for_both(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts[:, [0, 0]])


@overlap_pairs.misconception(
    "one shift for both digits",
    "Both digits of your pairs move by the second shift. Each has its own: `shifts[k, 0]` and `shifts[k, 1]`.",
)
def second_shift_for_both(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts[:, [1, 1]])


@overlap_pairs.misconception(
    "shifts exchanged",
    "Your first digit moves by the second digit's shift, and the other way round.",
)
def shifts_exchanged(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts[:, ::-1])


@overlap_pairs.misconception(
    "one shift for the whole batch",
    "All your pairs move as the first pair does. Each has its own shifts, `shifts[k]`.",
)
def one_shift_for_all(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, np.broadcast_to(shifts[:1], shifts.shape))


@overlap_pairs.misconception(
    "only one digit shifted",
    "Your first digit stays in the middle. Both are shifted, each by its own shift.",
)
def second_shifted(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts * [[0], [1]])


@overlap_pairs.misconception(
    "only one digit shifted",
    "Your second digit stays in the middle. Both are shifted, each by its own shift.",
)
def first_shifted(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts * [[1], [0]])


@overlap_pairs.misconception(
    "digits side by side",
    "Your two digits lie in two channels. They share one image: add them.",
)
def two_channels(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, join=lambda a, b: np.concatenate([a, b]))


@overlap_pairs.misconception(
    "channel axis lost",
    "Your images are (K, H, W). They keep their channel: (K, 1, H, W), as a network wants them.",
)
def no_channel(images, labels, pairs, shifts):
    return _overlaid(images, labels, pairs, shifts, join=lambda a, b: np.minimum(a + b, 1)[0])


# --- both digits right --------------------------------------------------------------------------------------


def _lengths_of_two(rng: np.random.Generator) -> list[Case]:
    def case(classes, **kinds):
        """Images of each kind: which two capsules are the longest, seen from the labels a and b."""
        lengths, labels = [], []
        for kind in [kind for kind, count in kinds.items() for _ in range(count)]:
            a, b, c, d = rng.permutation(classes)[:4]
            if kind == "sums":
                a, b, c, d = rng.permutation([[0, 3], [1, 2]]).ravel() + rng.integers(classes - 3)
            row = rng.uniform(0.05, 0.4, size=classes)
            longest, second = dict(ab=(a, b), ba=(b, a), ac=(a, c), ca=(c, a)).get(kind, (c, d))
            row[second], row[longest] = np.sort(rng.uniform(0.45, 0.98, size=2))
            lengths.append(row)
            labels.append([a, b])
        lengths[-1] = lengths[-1] * 0.45  # too short for a threshold of 0.5
        order = rng.permutation(len(labels))
        return Case(real(lengths)[order], np.array(labels)[order])

    return [
        Case(real([[0.1, 0.9, 0.2, 0.6]]), np.array([[3, 1]])),
        Case(real([[0.5, 0.6, 0.1, 0.9, 0.2], [0.3, 0.1, 0.7, 0.4, 0.8]]), np.array([[0, 1], [2, 4]])),
        Case(real([[0.8, 0.7, 0.1, 0.2], [0.1, 0.3, 0.6, 0.5]]), np.array([[0, 2], [2, 3]])),
        case(6, ab=3, ba=4, ac=1, ca=1, sums=3, cd=1),
        case(10, ab=2, ba=3, ac=1, ca=2, sums=2, cd=2),
    ]


def _top_two(lengths):
    return np.argsort(lengths, axis=1)[:, -2:]  # (N, 2), the longest last


def _both(lengths, labels):
    return np.mean((np.sort(_top_two(lengths), axis=1) == np.sort(labels, axis=1)).all(axis=1))


both_right = Task(
    name="12.both_right",
    title="Score MultiMNIST",
    difficulty=2,
    minutes=15,
    practises="two answers without an order",
    reference=_both,
    inputs=_lengths_of_two,
    returns=("share",),
    hints=[
        "Which two capsules of an image are the longest? `np.argsort(lengths, axis=1)` puts the longest last.",
        "The two longest and the two labels are the same *set*. Two arrays of two are the same set if they are equal "
        "after `np.sort`.",
        "`top = np.argsort(lengths, axis=1)[:, -2:]`, then "
        "`(np.sort(top, axis=1) == np.sort(labels, axis=1)).all(axis=1).mean()`.",
    ],
)


@both_right.misconception(
    "order-sensitive top two",
    "Your two longest must stand in the order of the labels. Nobody knows which digit is the first: an image is right "
    "if the two longest are the two labels in *any* order.",
)
def longest_first(lengths, labels):
    return np.mean((_top_two(lengths)[:, ::-1] == labels).all(axis=1))


@both_right.misconception(
    "order-sensitive top two",
    "Your two longest, the longest last, must stand in the order of the labels. An image is right if they are the two "
    "labels in *any* order.",
)
def longest_last(lengths, labels):
    return np.mean((_top_two(lengths) == labels).all(axis=1))


@both_right.misconception(
    "order-sensitive top two",
    "You sort the two longest, but not the labels. Sort both, `np.sort(..., axis=1)`, and their order is the same.",
)
def labels_not_sorted(lengths, labels):
    return np.mean((np.sort(_top_two(lengths), axis=1) == labels).all(axis=1))


@both_right.misconception(
    "order-sensitive top two",
    "You sort the labels, but not the two longest. Sort both, `np.sort(..., axis=1)`, and their order is the same.",
)
def longest_not_sorted(lengths, labels):
    return np.mean((_top_two(lengths) == np.sort(labels, axis=1)).all(axis=1))


@both_right.misconception(
    "one digit is enough",
    "You count an image as right if one of its digits is found. Both must be: `.all(axis=1)`, not `.any(axis=1)`.",
)
def one_is_enough(lengths, labels):
    return np.mean((_top_two(lengths)[:, :, None] == labels[:, None]).any(axis=(1, 2)))


@both_right.misconception(
    "one digit is enough",
    "You ask whether the longest capsule is one of the labels. Both labels must be the two longest.",
)
def longest_is_a_label(lengths, labels):
    return np.mean((lengths.argmax(axis=1)[:, None] == labels).any(axis=1))


@both_right.misconception(
    "half points",
    "You give half a point for one digit of two: your output is the share of *digits* that are found. The share of "
    "images in which both are is asked for.",
)
def half_points(lengths, labels):
    return np.mean((_top_two(lengths)[:, :, None] == labels[:, None]).any(axis=1))


@both_right.misconception(
    "found anywhere in the batch",
    "You look the labels up among the two longest of *all* images: `np.isin` doesn't go row by row. Compare within "
    "each image.",
)
def anywhere(lengths, labels):
    return np.mean(np.isin(labels, _top_two(lengths)).all(axis=1))


@both_right.misconception(
    "found anywhere in the batch",
    "You look the two longest up among the labels of *all* images: `np.isin` doesn't go row by row. Compare within "
    "each image.",
)
def anywhere_among_the_labels(lengths, labels):
    return np.mean(np.isin(_top_two(lengths), labels).all(axis=1))


@both_right.misconception(
    "shortest two",
    "You take the two shortest: `np.argsort` puts the smallest first. The longest stand at the end, `[:, -2:]`.",
)
def shortest_two(lengths, labels):
    return _both(-lengths, labels)


@both_right.misconception(
    "sorted over the images",
    "Your `argsort` runs over the images, axis 0. Classes lie along axis 1.",
)
def over_the_images(lengths, labels):
    top = np.argsort(lengths, axis=0)[:, -2:]
    return np.mean((np.sort(top, axis=1) == np.sort(labels, axis=1)).all(axis=1))


@both_right.misconception(
    "threshold",
    "You take all capsules longer than 0.5. The two longest are asked for, however long they are.",
)
def threshold(lengths, labels):
    classes = np.arange(lengths.shape[1])
    there = (labels[:, :, None] == classes).any(axis=1)
    return np.mean(((lengths > 0.5) == there).all(axis=1))


@both_right.misconception(
    "sums compared",
    "You compare sums: the labels 0 and 3 have the same sum as 1 and 2. Compare the sorted pairs.",
)
def sums_compared(lengths, labels):
    return np.mean(_top_two(lengths).sum(axis=1) == labels.sum(axis=1))


@both_right.misconception(
    "three guesses",
    "You accept the labels among the three longest. Two digits, two guesses.",
)
def three_guesses(lengths, labels):
    top = np.argsort(lengths, axis=1)[:, -3:]
    return np.mean((top[:, :, None] == labels[:, None]).any(axis=1).all(axis=1))


@both_right.misconception(
    "error instead of accuracy",
    "Your output is the share of images that are *wrong*. The share that is right is asked for.",
)
def share_wrong(lengths, labels):
    return 1 - _both(lengths, labels)


@both_right.misconception(
    "percent",
    "Your output is in percent. A share is asked for, from 0 to 1.",
)
def percent(lengths, labels):
    return 100 * _both(lengths, labels)


@both_right.misconception(
    "count instead of share",
    "Your output is the number of images that are right. Divide by the number of images: `.mean()`.",
)
def count(lengths, labels):
    return len(labels) * _both(lengths, labels)


@both_right.misconception(
    "one answer for each image",
    "You return one answer for each image. The share of images is asked for: take the mean.",
)
def each_image(lengths, labels):
    return (np.sort(_top_two(lengths), axis=1) == np.sort(labels, axis=1)).all(axis=1)


# --- pose from a capsule ------------------------------------------------------------------------------------


def _turned_digits(rng: np.random.Generator) -> list[Case]:
    def case(train, test, classes, dim, label):
        """Capsules whose class `label` follows the angle, and angles in degrees, from 0 to 360."""
        v = 0.6 * rng.uniform(-1, 1, size=(train + test, classes, dim))
        v[:, label] *= 0.7  # so that another capsule is longer in some images
        direction = rng.permutation(np.linspace(1, 2, dim)) * rng.choice([-1, 1], size=dim)
        turn = 90 * v[:, label] @ direction + 20 + rng.normal(size=train + test) * 12
        angles = np.clip(turn, -179.6, 179.6) % 360
        angles[:2] = 179.6, 180.4
        return Case(v[:train], angles[:train], v[train:], angles[train:], label)

    straight = np.array([[[0.1], [0.5]], [[0.3], [-0.2]], [[0.4], [0.1]], [[0.2], [0.3]]])
    return [
        Case(straight[:3], np.array([350.0, 10, 30]), straight[[3, 0]], np.array([5.0, 352]), 0),
        case(14, 9, 3, 2, 2),
        case(40, 25, 4, 3, 1),
        case(60, 50, 10, 5, 4),
    ]


def _halfway(degrees):
    """Angles from -180 to 180."""
    return (degrees + 180) % 360 - 180


def _score(predicted, actual, train):
    """R²: how much of the spread of `actual` the predictions explain."""
    return 1 - ((actual - predicted) ** 2).sum() / ((actual - actual.mean()) ** 2).sum()


def _fitted(
    train_v, train_angles, test_v, test_angles, label, *,
    features=lambda v, label: v[:, label],
    unwrapped=(_halfway, _halfway),
    constant=lambda x: np.ones((len(x), 1)),
    on="test",
    fit_on="train",
    score=_score,
):  # fmt: skip
    """R² of a linear fit, with one of its parts replaced."""
    x, y = {}, {}
    x["train"], x["test"] = (np.hstack([features(v, label), constant(v)]) for v in (train_v, test_v))
    y["train"], y["test"] = unwrapped[0](train_angles), unwrapped[1](test_angles)
    weights = np.linalg.lstsq(x[fit_on], y[fit_on], rcond=None)[0]
    return score(x[on] @ weights, y[on], y["train"])


def _right_r2(train_v, train_angles, test_v, test_angles, label):
    return _fitted(train_v, train_angles, test_v, test_angles, label)


pose_r2 = Task(
    name="12.pose_r2",
    title="R² of a pose from a capsule",
    difficulty=4,
    minutes=30,
    practises="asking a capsule for the pose, and not fooling yourself",
    reference=_right_r2,
    inputs=_turned_digits,
    returns=("r2",),
    hints=[
        "Two preparations. The capsule: of `v`, (N, J, Q), only class `label`, (N, Q). The angles: 350° and 10° are "
        "20° apart, but 350 and 10 are 340 apart; bring all of them to -180 … 180.",
        "A constant is learned, too: a column of ones beside the capsule's numbers, "
        "`np.hstack([v[:, label], np.ones((len(v), 1))])`. Then `np.linalg.lstsq(x, y, rcond=None)[0]` gives the "
        "weights, from the training images alone.",
        "`y = (angles + 180) % 360 - 180`; with the test images' `x` and `y`: "
        "`1 - ((y - x @ weights) ** 2).sum() / ((y - y.mean()) ** 2).sum()`.",
    ],
)


@pose_r2.misconception(
    "training R²",
    "Your R² is that of the training images, which the weights were fitted to. With enough numbers a fit of noise "
    "looks good there. Score on the test images.",
)
def training_r2(*data):
    return _fitted(*data, on="train")


@pose_r2.misconception(
    "fitted on the test images",
    "You fit the weights to the test images and score on the same. Fit on the training images; the test images only "
    "say how well that went.",
)
def fitted_on_test(*data):
    return _fitted(*data, fit_on="test")


@pose_r2.misconception(
    "fitted on the test images",
    "You fit on the test images and score on the training images: the two sets are exchanged.",
)
def sets_exchanged(*data):
    return _fitted(*data, fit_on="test", on="train")


@pose_r2.misconception(
    "wrong capsule",
    "You read the longest capsule of each image. Which class it is differs from image to image, and each class writes "
    "its pose in its own way: read the capsule of `label`.",
)
def longest_capsule(*data):
    def features(v, label):
        return v[np.arange(len(v)), (v * v).sum(axis=2).argmax(axis=1)]

    return _fitted(*data, features=features)


@pose_r2.misconception(
    "wrong capsule",
    "You read the first capsule. The one to read is `v[:, label]`.",
)
def first_capsule(*data):
    return _fitted(*data, features=lambda v, label: v[:, 0] if label else v[:, 1])


@pose_r2.misconception(
    "wrong capsule",
    "You read all capsules at once. What class `label` says of the pose is asked for: `v[:, label]`.",
)
def all_capsules(*data):
    return _fitted(*data, features=lambda v, label: v.reshape(len(v), -1))


@pose_r2.misconception(
    "wrong capsule",
    "You read number `label` of every capsule. Classes lie along axis 1: `v[:, label]`, not `v[:, :, label]`.",
)
def number_of_every_capsule(*data):
    return _fitted(*data, features=lambda v, label: v[:, :, label])


@pose_r2.misconception(
    "length instead of the numbers",
    "You fit the capsule's length alone. The pose is in its numbers: use all Q of them.",
)
def length_alone(*data):
    return _fitted(*data, features=lambda v, label: np.linalg.norm(v[:, label], axis=1, keepdims=True))


@pose_r2.misconception(
    "one number of the capsule",
    "You fit the capsule's first number alone. Use all Q of them.",
)
def one_number_alone(*data):
    return _fitted(*data, features=lambda v, label: v[:, label, :1])


@pose_r2.misconception(
    "angle not unwrapped",
    "Your angles jump: 359° and 1° are neighbours, but far apart as numbers. Bring them to -180 … 180 before the fit: "
    "`(angles + 180) % 360 - 180`.",
)
def not_unwrapped(*data):
    return _fitted(*data, unwrapped=(lambda a: a, lambda a: a))


@pose_r2.misconception(
    "angle not unwrapped",
    "You unwrap the training angles, but not those of the test. Both jump at 0°.",
)
def only_training_unwrapped(*data):
    return _fitted(*data, unwrapped=(_halfway, lambda a: a))


@pose_r2.misconception(
    "angle not unwrapped",
    "You unwrap the test angles, but not those of the training. Both jump at 0°.",
)
def only_test_unwrapped(*data):
    return _fitted(*data, unwrapped=(lambda a: a, _halfway))


@pose_r2.misconception(
    "unwrapped along the images",
    "`np.unwrap` follows a curve: it takes each angle as the successor of the one before. Your images stand in no "
    "order, so it adds whole turns at random. Bring each angle to -180 … 180 by itself.",
)
def unwrapped_along_the_images(*data):
    return _fitted(*data, unwrapped=(lambda a: np.unwrap(a, period=360), lambda a: np.unwrap(a, period=360)))


@pose_r2.misconception(
    "unwrapped along the images",
    "`np.unwrap` follows a curve, and takes your degrees for radians. Bring each angle to -180 … 180 by itself: "
    "`(angles + 180) % 360 - 180`.",
)
def unwrapped_as_radians(*data):
    return _fitted(*data, unwrapped=(np.unwrap, np.unwrap))


@pose_r2.misconception(
    "half turns thrown away",
    "You take the angles modulo 180: then a digit turned by -10° and one turned by 170° count as alike. Bring them to "
    "-180 … 180: `(angles + 180) % 360 - 180`.",
)
def half_turns(*data):
    return _fitted(*data, unwrapped=(lambda a: a % 180, lambda a: a % 180))


@pose_r2.misconception(
    "sign of the angle lost",
    "Your angles have lost their sign: 350° is -10°, not 10°.",
)
def sign_lost(*data):
    return _fitted(*data, unwrapped=(lambda a: abs(_halfway(a)), lambda a: abs(_halfway(a))))


@pose_r2.misconception(
    "sine instead of the angle",
    "You fit the sine of the angle. The angle itself is asked for, from -180 to 180.",
)
def sine(*data):
    return _fitted(*data, unwrapped=(lambda a: np.sin(np.radians(a)), lambda a: np.sin(np.radians(a))))


@pose_r2.misconception(
    "no constant",
    "Your fit goes through 0: it says angle 0 for a capsule of zeros. Learn a constant, too: a column of ones beside "
    "the capsule's numbers.",
)
def no_constant(*data):
    return _fitted(*data, constant=lambda x: np.ones((len(x), 0)))


@pose_r2.misconception(
    "correlation instead of R²",
    "Your output is the correlation of prediction and angle. R² compares squared errors: 1 - Σ(y - ŷ)² / Σ(y - ȳ)².",
)
def correlation(*data):
    return _fitted(*data, score=lambda p, y, train: np.corrcoef(p, y)[0, 1])


@pose_r2.misconception(
    "correlation instead of R²",
    "Your output is the squared correlation of prediction and angle, which forgives predictions that are all too small "
    "or too large. On test images the two differ: 1 - Σ(y - ŷ)² / Σ(y - ȳ)².",
)
def squared_correlation(*data):
    return _fitted(*data, score=lambda p, y, train: np.corrcoef(p, y)[0, 1] ** 2)


@pose_r2.misconception(
    "spread about 0",
    "You compare with Σy². R² compares with the spread about the mean, Σ(y - ȳ)²: that is how much better it is than "
    "always saying the mean.",
)
def spread_about_zero(*data):
    return _fitted(*data, score=lambda p, y, train: 1 - ((y - p) ** 2).sum() / (y**2).sum())


@pose_r2.misconception(
    "spread about the training mean",
    "You compare with the spread about the mean of the *training* angles. Take the mean of those that are scored, the "
    "test's.",
)
def spread_about_the_training_mean(*data):
    return _fitted(*data, score=lambda p, y, train: 1 - ((y - p) ** 2).sum() / ((y - train.mean()) ** 2).sum())


@pose_r2.misconception(
    "spread of the predictions",
    "You divide the spread of your predictions by that of the angles. That is R² only on the images that were fitted: "
    "on others compare the errors, 1 - Σ(y - ŷ)² / Σ(y - ȳ)².",
)
def spread_of_predictions(*data):
    return _fitted(*data, score=lambda p, y, train: p.var() / y.var())


@pose_r2.misconception(
    "spread of the predictions",
    "You divide by the spread of your predictions. Divide by that of the angles, Σ(y - ȳ)².",
)
def divided_by_the_predictions(*data):
    return _fitted(*data, score=lambda p, y, train: 1 - ((y - p) ** 2).sum() / ((p - p.mean()) ** 2).sum())


@pose_r2.misconception(
    "share not explained",
    "Your output is the share that is *not* explained. R² is 1 minus that.",
)
def not_explained(*data):
    return 1 - _right_r2(*data)


@pose_r2.misconception(
    "mean for one sum only",
    "You divide a mean by a sum (or the other way round). Both are sums, or both are means.",
)
def mean_by_sum(*data):
    return _fitted(*data, score=lambda p, y, train: 1 - ((y - p) ** 2).mean() / ((y - y.mean()) ** 2).sum())


@pose_r2.misconception(
    "root taken",
    "You compare roots, the typical error with the typical spread. R² compares the squares.",
)
def roots(*data):
    return _fitted(*data, score=lambda p, y, train: 1 - (y - p).std() / y.std())


@pose_r2.misconception(
    "error instead of R²",
    "Your output is the mean squared error, in squared degrees. R² puts it in proportion: 1 - Σ(y - ŷ)² / Σ(y - ȳ)².",
)
def mean_squared_error(*data):
    return _fitted(*data, score=lambda p, y, train: ((y - p) ** 2).mean())


@pose_r2.misconception(
    "error instead of R²",
    "Your output is the typical error in degrees. R² puts the squares in proportion: 1 - Σ(y - ŷ)² / Σ(y - ȳ)².",
)
def root_mean_squared_error(*data):
    return np.sqrt(mean_squared_error(*data))


# --- a fair comparison --------------------------------------------------------------------------------------


def _trainings(rng: np.random.Generator) -> list[Case]:
    def runs(reached, epochs, base):
        """Curves of several seeds; `reached` says at which epoch each first reaches 0.99, -1 for never."""
        clean = np.sort(rng.uniform(0.93, 0.985, size=(len(reached), epochs)), axis=1)
        for curve, first in zip(clean, reached):
            if first >= 0:
                curve[first:] = rng.uniform(0.988, 0.996, size=epochs - first)
                curve[first] = rng.choice([0.99, 0.9915])
                curve[first + 1 :: 2] = np.minimum(curve[first + 1 :: 2], 0.9895)  # and falls below it again
        affine = base + rng.normal(size=clean.shape) * 0.03
        return {"clean": clean, "affine": affine}

    tiny = {"clean": np.array([[0.9, 0.99, 0.98], [0.99, 0.98, 0.995]])}
    return [
        Case(
            {**tiny, "affine": np.array([[0.7, 0.75, 0.8], [0.65, 0.9, 0.7]])},
            {**tiny, "affine": np.array([[0.5, 0.55, 0.7], [0.6, 0.5, 0.4]])},
            0.99,
        ),
        Case(runs([2, 0, 3], 6, 0.75), runs([1, 2, 0, 4], 6, 0.7), 0.99),
        Case(runs([4, -1, 2, 1], 7, 0.6), runs([3, 3, -1], 8, 0.75), 0.99),
        Case(runs([1, 2], 5, 0.8), runs([2, -1, 1, 0, 3], 5, 0.6), 0.99),
    ]


def _first_reaching(run, target):
    """The epoch of each seed at which the clean accuracy first reaches the target."""
    return (run["clean"] >= target).argmax(axis=1)


def _that_reach(run, target):
    return (run["clean"] >= target).any(axis=1)


def _compared(
    capsnet, cnn, target, *,
    epoch=_first_reaching,
    kept=_that_reach,
    read="affine",
    middle=np.mean,
    error=lambda a, b: np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)),
):  # fmt: skip
    """Difference and its standard error, with one of the parts replaced."""
    chosen = []
    for run in (capsnet, cnn):
        values = run[read][np.arange(len(run[read])), epoch(run, target)]
        chosen.append(values[kept(run, target)])
    return middle(chosen[0]) - middle(chosen[1]), error(*chosen)


def _right_comparison(capsnet, cnn, target):
    return _compared(capsnet, cnn, target)


fair_comparison = Task(
    name="12.fair_comparison",
    title="A fair comparison",
    difficulty=3,
    minutes=25,
    practises="comparing two networks when everything that isn't asked about is equal",
    reference=_right_comparison,
    inputs=_trainings,
    returns=("difference", "standard_error"),
    hints=[
        'For each seed of one network: `reached = run["clean"] >= target` is (S, E). `reached.argmax(axis=1)` is the '
        "first epoch at which it is true; `reached.any(axis=1)` says whether there is one.",
        '`run["affine"][np.arange(S), first]` picks one number for each seed. Leave out the seeds that never reach '
        "the target: `argmax` gives 0 for them, which means nothing.",
        "With the arrays `a` and `b` of the two networks: `a.mean() - b.mean()` and "
        "`np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))`.",
    ],
)


@fair_comparison.misconception(
    "unequal clean accuracy",
    "You compare the networks at their last epoch, where one may be better on clean images, too. The question is what "
    "happens at *equal* clean accuracy: take each seed where it first reaches the target.",
)
def last_epochs(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, epoch=lambda run, target: -1, kept=lambda run, target: slice(None))


@fair_comparison.misconception(
    "unequal clean accuracy",
    "You leave out seeds that never reach the target, but compare the others at their last epoch. Take each where it "
    "first reaches the target, so that clean accuracy is equal.",
)
def last_epochs_of_the_kept(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, epoch=lambda run, target: -1)


@fair_comparison.misconception(
    "unequal clean accuracy",
    "You take the epoch of the best clean accuracy, and that differs between the networks. Take each seed where it "
    "first reaches the target.",
)
def best_clean_epoch(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, epoch=lambda run, target: run["clean"].argmax(axis=1))


@fair_comparison.misconception(
    "unequal clean accuracy",
    "You take the epoch of the best clean accuracy, also of seeds that never reach the target. Take each seed where it "
    "first reaches the target, and leave out those that never do.",
)
def best_clean_epoch_of_all(capsnet, cnn, target):
    return _compared(
        capsnet, cnn, target,
        epoch=lambda run, target: run["clean"].argmax(axis=1), kept=lambda run, target: slice(None),
    )  # fmt: skip


@fair_comparison.misconception(
    "best test epoch",
    "You take the epoch with the best accuracy on the moved images: the very numbers that are compared choose "
    "themselves. The clean accuracy chooses, before anyone looks at the test.",
)
def best_test_epoch(capsnet, cnn, target):
    return _compared(
        capsnet, cnn, target,
        epoch=lambda run, target: run["affine"].argmax(axis=1), kept=lambda run, target: slice(None),
    )  # fmt: skip


@fair_comparison.misconception(
    "best test epoch",
    "You leave out seeds that never reach the target, and then take each one's best accuracy on the moved images: the "
    "very numbers that are compared choose themselves. The clean accuracy chooses the epoch.",
)
def best_test_epoch_of_the_kept(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, epoch=lambda run, target: run["affine"].argmax(axis=1))


@fair_comparison.misconception(
    "best test epoch",
    "Among the epochs that reach the target you take the one that is best on the moved images. The test must not "
    "choose: take the first that reaches it.",
)
def best_test_epoch_of_those_that_reach(capsnet, cnn, target):
    def epoch(run, target):
        return np.where(run["clean"] >= target, run["affine"], -np.inf).argmax(axis=1)

    return _compared(capsnet, cnn, target, epoch=epoch)


@fair_comparison.misconception(
    "one seed",
    "You compare the first seed of each alone. Another seed, another difference: take the mean over all seeds that "
    "reach the target.",
)
def one_seed(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, middle=lambda values: values[0])


@fair_comparison.misconception(
    "one seed",
    "You take the best seed of each. That is the luckiest, and more seeds make it luckier: take the mean over all "
    "seeds that reach the target.",
)
def best_seed(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, middle=np.max)


@fair_comparison.misconception(
    "median",
    "You compare the medians. The means are asked for.",
)
def medians(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, middle=np.median)


@fair_comparison.misconception(
    "seeds that never reach the target",
    "You keep seeds that never reach the target. For them `argmax` finds no true value and says 0, the first epoch: an "
    "untrained network enters the mean. Leave them out, `reached.any(axis=1)`.",
)
def unreached_kept(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, kept=lambda run, target: slice(None))


@fair_comparison.misconception(
    "seeds that never reach the target",
    "You take seeds that never reach the target at their last epoch. They are not equal to the others on clean images: "
    "leave them out.",
)
def unreached_at_the_end(capsnet, cnn, target):
    def epoch(run, target):
        return np.where(_that_reach(run, target), _first_reaching(run, target), -1)

    return _compared(capsnet, cnn, target, epoch=epoch, kept=lambda run, target: slice(None))


@fair_comparison.misconception(
    "seeds that reach it at once",
    "You leave out seeds that reach the target in the first epoch: their number is 0, but that is an epoch like any "
    "other. Ask `reached.any(axis=1)`.",
)
def epoch_zero_left_out(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, kept=lambda run, target: _first_reaching(run, target) > 0)


@fair_comparison.misconception(
    "target excluded",
    "You ask for *more* than the target. A seed that is exactly there has reached it: `>=`.",
)
def strictly_above(capsnet, cnn, target):
    return _compared(
        capsnet, cnn, target,
        epoch=lambda run, target: (run["clean"] > target).argmax(axis=1),
        kept=lambda run, target: (run["clean"] > target).any(axis=1),
    )  # fmt: skip


@fair_comparison.misconception(
    "last epoch that reaches it",
    "You take the last epoch at or above the target. The first is asked for.",
)
def last_reaching(capsnet, cnn, target):
    def epoch(run, target):
        return run["clean"].shape[1] - 1 - (run["clean"] >= target)[:, ::-1].argmax(axis=1)

    return _compared(capsnet, cnn, target, epoch=epoch)


@fair_comparison.misconception(
    "mean of all epochs that reach it",
    "You average over all epochs at or above the target. The first is asked for, one epoch for each seed.",
)
def mean_of_reaching(capsnet, cnn, target):
    chosen = []
    for run in (capsnet, cnn):
        reached = (run["clean"] >= target)[_that_reach(run, target)]
        affine = run["affine"][_that_reach(run, target)]
        chosen.append((affine * reached).sum(axis=1) / reached.sum(axis=1))
    a, b = chosen
    return a.mean() - b.mean(), np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))


@fair_comparison.misconception(
    "epoch after",
    "You take the epoch after the one that reaches the target.",
)
def epoch_after(capsnet, cnn, target):
    def epoch(run, target):
        return np.minimum(_first_reaching(run, target) + 1, run["clean"].shape[1] - 1)

    return _compared(capsnet, cnn, target, epoch=epoch)


@fair_comparison.misconception(
    "nearest to the target",
    "You take the epoch whose clean accuracy is nearest to the target, which may be below it. The first that reaches "
    "it is asked for.",
)
def nearest(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, epoch=lambda run, target: np.abs(run["clean"] - target).argmin(axis=1))


@fair_comparison.misconception(
    "one epoch for all seeds",
    "You average the curves over the seeds first and look where the mean reaches the target. Each seed has its own "
    "epoch.",
)
def epoch_of_the_mean(capsnet, cnn, target):
    def epoch(run, target):
        return (run["clean"].mean(axis=0) >= target).argmax()

    return _compared(capsnet, cnn, target, epoch=epoch, kept=lambda run, target: slice(None))


@fair_comparison.misconception(
    "clean accuracy compared",
    "You compare the clean accuracies, which were made equal. The accuracies on the moved images are asked for, "
    '`run["affine"]`.',
)
def clean_compared(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, read="clean")


@fair_comparison.misconception(
    "order of the networks",
    "Your difference is the CNN minus the CapsNet. CapsNet comes first: it is positive where the CapsNet is better.",
)
def exchanged(capsnet, cnn, target):
    difference, error = _right_comparison(capsnet, cnn, target)
    return -difference, error


@fair_comparison.misconception(
    "size of the difference",
    "Your difference has lost its sign: one can't see who is better.",
)
def unsigned(capsnet, cnn, target):
    difference, error = _right_comparison(capsnet, cnn, target)
    return abs(difference), error


@fair_comparison.misconception(
    "N instead of N - 1",
    "Your difference is right, but your variances divide by S, which makes few seeds look too sure. Divide by S - 1: "
    "`.var(ddof=1)`.",
)
def without_ddof(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, error=lambda a, b: np.sqrt(a.var() / len(a) + b.var() / len(b)))


@fair_comparison.misconception(
    "spread of the seeds",
    "Your difference is right, but your second number is the spread of the seeds: it doesn't shrink with more of them. "
    "Divide each variance by its number of seeds.",
)
def undivided(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, error=lambda a, b: np.sqrt(a.var(ddof=1) + b.var(ddof=1)))


@fair_comparison.misconception(
    "standard errors added",
    "Your difference is right, but you add the two standard errors. Independent errors add as squares: "
    "√(s₁²/n₁ + s₂²/n₂).",
)
def errors_added(capsnet, cnn, target):
    return _compared(
        capsnet, cnn, target,
        error=lambda a, b: a.std(ddof=1) / np.sqrt(len(a)) + b.std(ddof=1) / np.sqrt(len(b)),
    )  # fmt: skip


@fair_comparison.misconception(
    "square root forgotten",
    "Your difference is right, but your second number is the variance of the difference. Its square root is asked for.",
)
def not_rooted(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, error=lambda a, b: a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))


@fair_comparison.misconception(
    "variances subtracted",
    "You subtract the variances. The difference of two uncertain numbers is *more* uncertain than each: add them.",
)
def variances_subtracted(capsnet, cnn, target):
    return _compared(
        capsnet, cnn, target, error=lambda a, b: np.sqrt(abs(a.var(ddof=1) / len(a) - b.var(ddof=1) / len(b)))
    )


@fair_comparison.misconception(
    "CapsNet's error alone",
    "Your difference is right, but your second number counts the CapsNet's seeds alone. The CNN's vary, too.",
)
def first_error_alone(capsnet, cnn, target):
    return _compared(capsnet, cnn, target, error=lambda a, b: a.std(ddof=1) / np.sqrt(len(a)))


@fair_comparison.misconception(
    "seeds taken as pairs",
    "You subtract seed by seed. The seeds of two networks are no pairs: a training has nothing in common with the one "
    "of the same number, and there may be more of one.",
)
def paired(capsnet, cnn, target):
    def error(a, b):
        few = min(len(a), len(b))
        return (a[:few] - b[:few]).std(ddof=1) / np.sqrt(few)

    return _compared(capsnet, cnn, target, error=error)


# --- an audit -----------------------------------------------------------------------------------------------

BUGS = (
    "softmax over the inputs",
    "logits shared over the batch",
    "iterations off by one",
    "places mixed into capsules",
    "squash over the wrong axis",
    "NaN at a zero vector",
    "loss not squared",
    "softmax before the loss",
    "mean instead of sum",
    "masked by the prediction",
    "prediction over the batch",
)
# In how many ways a network's parts can be built, in the order of `built`; the last three are a matter of taste.
WAYS = (4, 2, 5, 3, 2, 2, 2, 2, 2, 97)


def built(number):
    """The network of this number: its sizes, six functions, and arrays to measure them with."""
    squashing, reading, routing, losing, weighing, masking, predicting, order, grouping, size = np.unravel_index(
        number, WAYS
    )
    rng = np.random.default_rng(size)
    types, dim, parents, out = (int(n) for n in rng.integers([2, 2, 3, 3], [4, 4, 6, 6]))
    bias = rng.normal(size=(parents, out)) / 4
    arrays = _to_measure(rng, types * dim, parents, out)
    capsules = _capsule_functions(types, dim, bias, squashing, reading, routing, order, grouping)
    losses = _loss_functions(losing, weighing, masking, predicting)
    return SimpleNamespace(types=types, dim=dim, bias=bias, **capsules, **losses, **arrays)


def _to_measure(rng, channels, parents, out):
    """Maps, votes, class capsules v, labels that are no image's longest capsule, drawings and images."""
    length = rng.uniform(0.15, 0.25, size=(4, parents))
    length[:, 1], length[3, 0] = 0.75, 0.6
    longest = np.array([1, 2, 2, 1])
    length[np.arange(4), longest] = [0.85, 0.9, 0.95, 0.8]
    direction = rng.normal(size=(4, parents, out))
    return dict(
        maps=rng.normal(size=(4, channels, 3, 4)),
        votes=rng.normal(size=(4, 6, parents, out)),
        v=direction / np.linalg.norm(direction, axis=2, keepdims=True) * length[..., None],
        labels=(longest + [1, 1, 2, 2]) % parents,
        drawn=rng.uniform(size=(4, 20)),
        images=rng.uniform(size=(4, 20)),
    )


def _share(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _capsule_functions(types, dim, bias, squashing, reading, routing, order, grouping):
    def squash(s, other):
        n = np.sqrt((s * s).sum(axis=2 if squashing < 2 else other, keepdims=True))
        with np.errstate(invalid="ignore"):
            return n * n / (1 + n * n) * (s / n) if squashing == 1 else s * n / (1 + n * n)

    def primary(maps):
        n, _, h, w = maps.shape
        if reading:
            return squash(maps.reshape(n, -1, dim), 3 - squashing)
        split = maps.reshape(n, dim, types, h, w).swapaxes(1, 2) if grouping else maps.reshape(n, types, dim, h, w)
        places = split.transpose((0, 3, 4, 1, 2) if order else (0, 1, 3, 4, 2))
        return squash(places.reshape(n, -1, dim), 3 - squashing)

    def route(votes, iterations):
        logits = np.zeros(votes.shape[:3])
        for _ in range(max(iterations + (0, 0, 0, 1, -1)[routing], 1)):
            c = _share(logits, 1 if routing == 1 else 2)
            v = squash(np.einsum("nij,nijq->njq", c, votes) + bias, 1)
            agreement = np.einsum("nijq,njq->nij", votes, v)
            logits = logits + (agreement.mean(axis=0) if routing == 2 else agreement)
        return v

    return dict(primary=primary, route=route)


def _loss_functions(losing, weighing, masking, predicting):
    def loss(v, labels):
        length = np.sqrt((v * v).sum(axis=2))
        length = _share(length, 1) if losing == 2 else length
        there = np.arange(v.shape[1]) == labels[:, None]
        wrong = np.where(there, np.maximum(0, 0.9 - length), np.maximum(0, length - 0.1))
        return (np.where(there, 1, 0.5) * (wrong if losing == 1 else wrong**2)).sum(axis=1).mean()

    def total(v, labels, drawn, images):
        squares = (drawn - images) ** 2
        return loss(v, labels) + 0.0005 * (squares.mean() if weighing else squares.sum(axis=1).mean())

    def mask(v, labels):
        kept = (v * v).sum(axis=2).argmax(axis=1) if masking else labels
        return (v * (np.arange(v.shape[1]) == kept[:, None])[..., None]).reshape(len(v), -1)

    def predict(v):
        length = np.sqrt((v * v).sum(axis=2))
        return (_share(length, 0) if predicting else length).argmax(axis=1)

    return dict(loss=loss, total=total, mask=mask, predict=predict)


def audited(audit, network):
    """What `audit` says of the network of this number: for each bug, whether it is there."""
    found = audit(built(network))
    if not isinstance(found, (list, tuple, set, frozenset, str)):
        raise TypeError(f"audit needs to return a list of names, but returned {type(found).__name__}")
    found = [found] if isinstance(found, str) else list(found)
    for bug in found:
        if bug not in BUGS:
            raise ValueError(f"audit needs to return names of the table, but returned {str(bug)[:60]!r}")
    return tuple(bug in found for bug in BUGS)


# Which part a bug sits in, and the ways to build that part that have it.
PLANTED = {
    "softmax over the inputs": (2, [1]),
    "logits shared over the batch": (2, [2]),
    "iterations off by one": (2, [3, 4]),
    "places mixed into capsules": (1, [1]),
    "squash over the wrong axis": (0, [2, 3]),
    "NaN at a zero vector": (0, [1]),
    "loss not squared": (3, [1]),
    "softmax before the loss": (3, [2]),
    "mean instead of sum": (4, [1]),
    "masked by the prediction": (5, [1]),
    "prediction over the batch": (6, [1]),
}


def number_of(rng, *bugs, way=None):
    """The number of a network that has these bugs and is a matter of chance otherwise.

    Raises
    ------
    ValueError
        If there is no such bug, or two of them sit in one part.
    """
    ways = [0] * 7
    for bug in bugs:
        if bug not in PLANTED:
            raise ValueError(f"suspect: bug needs to be one of {', '.join(BUGS)}, but got {bug!r}")
        part, having = PLANTED[bug]
        if ways[part]:
            raise ValueError(f"suspect: a part has one bug at most, but {bug!r} sits in the same part as another")
        ways[part] = int(rng.choice(having)) if way is None else having[way]
    taste = [int(rng.integers(count)) for count in WAYS[7:]]
    return int(np.ravel_multi_index([*ways, *taste], WAYS))


def suspect(*bugs, seed=0):
    """A network to practise on, with these bugs planted in it, at most one in each of its parts.

    Examples
    --------
    >>> network = suspect("loss not squared")
    >>> round(float(network.loss(0 * network.v, network.labels)), 2)
    0.9
    """
    return built(number_of(np.random.default_rng(seed), *bugs))


def _suspects(rng: np.random.Generator) -> list[Case]:
    several = [
        ("logits shared over the batch", "squash over the wrong axis"),
        ("places mixed into capsules", "NaN at a zero vector", "iterations off by one"),
        ("loss not squared", "mean instead of sum", "masked by the prediction"),
        ("softmax over the inputs", "softmax before the loss", "prediction over the batch"),
        ("places mixed into capsules", "squash over the wrong axis"),
        ("iterations off by one", "squash over the wrong axis"),
        ("softmax before the loss", "mean instead of sum", "NaN at a zero vector"),
    ]
    numbers = [number_of(rng) for _ in range(3)]
    for bug in BUGS:
        numbers += [number_of(rng, bug, way=way) for way in range(len(PLANTED[bug][1]))]
    return [Case(number) for number in numbers + [number_of(rng, *bugs) for bugs in several]]


def _differ(a, b):
    """Whether two arrays differ by more than rounding."""
    return not np.allclose(a, b, rtol=1e-3, atol=1e-5)


def _alone(route, votes, iterations):
    return _differ(route(votes, iterations)[:1], route(votes[:1], iterations))


def _of_the_mean(network, iterations):
    """Whether it matters which capsule says what: in the first iteration it must not."""
    mean = 0 * network.votes + network.votes.mean(axis=1, keepdims=True)
    return _differ(network.route(network.votes, iterations), network.route(mean, iterations))


def _silent_capsules_matter(network):
    more = np.concatenate([network.votes, 0 * network.votes], axis=1)
    return _differ(network.route(network.votes, 3), network.route(more, 3))


def _answering(network):
    """How many capsules answer, in each image, where all places but one are silent."""
    maps = 0 * network.maps
    maps[..., 0, 0] = network.maps[..., 0, 0]
    return np.nan_to_num(network.primary(maps)).any(axis=2).sum(axis=1)


def _perfect(network):
    """Class capsules of length 1 for the labels, 0 for the others."""
    direction = network.v / np.linalg.norm(network.v, axis=2, keepdims=True)
    return direction * (np.arange(len(network.bias)) == network.labels[:, None])[..., None]


def _weight_of_the_drawing(network):
    v, labels, drawn, images = network.v, network.labels, network.drawn, network.images
    part = network.total(v, labels, drawn, images) - network.total(v, labels, images, images)
    return part / ((drawn - images) ** 2).sum(axis=1).mean()


def _kept(network, labels):
    masked = network.mask(network.v, labels).reshape(network.v.shape)
    return np.abs(masked).sum(axis=2).argmax(axis=1)


def _longest(network):
    return np.linalg.norm(network.v, axis=2).argmax(axis=1)


MEASURED: dict[str, Callable] = {
    "softmax over the inputs": _silent_capsules_matter,
    "logits shared over the batch": lambda network: _alone(network.route, network.votes, 3),
    "iterations off by one": lambda network: _of_the_mean(network, 1) or not _of_the_mean(network, 2),
    "places mixed into capsules": lambda network: (_answering(network) != network.types).any(),
    "squash over the wrong axis": lambda network: _differ(
        np.linalg.norm(network.primary(1e6 * network.maps), axis=2), 1
    ),
    "NaN at a zero vector": lambda network: np.isnan(network.primary(0 * network.maps)).any(),
    "loss not squared": lambda network: (
        not MEASURED["softmax before the loss"](network)
        and _differ(network.loss(_perfect(network) / 2, network.labels), 0.4**2)
    ),
    "softmax before the loss": lambda network: network.loss(_perfect(network), network.labels) > 1e-3,
    "mean instead of sum": lambda network: _weight_of_the_drawing(network) < 0.0004,
    "masked by the prediction": lambda network: (_kept(network, network.labels) != network.labels).any(),
    "prediction over the batch": lambda network: (network.predict(network.v) != _longest(network)).any(),
}


def _audit(network, **replaced):
    """The bugs that are measured, with the measurements of some replaced."""
    measured = MEASURED | {bug.replace("_", " "): measure for bug, measure in replaced.items()}
    return [bug for bug in BUGS if measured[bug](network)]


def _right_audit(network):
    return _audit(network)


audit = Task(
    name="12.audit",
    title="Audit a CapsNet",
    difficulty=5,
    minutes=45,
    practises="finding out what a program does by measuring it: symptoms, and their causes",
    reference=_right_audit,
    inputs=_suspects,
    use=audited,
    returns=tuple(f"answer on “{bug}”" for bug in BUGS),
    hints=[
        "For each bug: what does a sound network leave unchanged that this bug changes, and *only* this bug? The other "
        "images of a batch: `route(votes, 3)[:1]` against `route(votes[:1], 3)`. Capsules that say nothing, "
        "`np.concatenate([votes, 0 * votes], axis=1)`. In the first iteration, which capsule says what: only the mean "
        "of the votes counts. Another order of capsules, or the bias, is no bug.",
        "Capsules: in maps that are 0 but at one place, as many capsules answer as there are types; "
        "`primary` makes vectors of length 1 from maps of 1e6; `primary(0 * maps)` is a number. Decoder: `mask` keeps "
        "the label's capsule, even if another is longer. The drawing: what `total` grows by, divided by the sum of the "
        "squares, is 0.0005, whatever the margin loss is.",
        "Loss: capsules of length 1 for the labels and 0 for the others, `perfect`, cost 0, or lengths have gone "
        "through a softmax; if they do cost 0, `loss(perfect / 2, labels)` is 0.4², or it isn't squared. Iterations, "
        "with `mean = 0 * votes + votes.mean(axis=1, keepdims=True)`: `route(votes, 1)` and `route(mean, 1)` agree, "
        "and with 2 iterations they don't. NaN spoils other measurements: `np.nan_to_num`.",
    ],
)

MISSED = {
    "softmax over the inputs": "In the first iteration couplings are alike under both, and with as many inputs as "
    "outputs they even have the same size. But 1 / inputs shrinks when capsules are added that say nothing, and "
    "1 / outputs doesn't.",
    "logits shared over the batch": "It can't be seen with one image, nor with copies of one, nor in the first "
    "iteration, where all logits are 0. Route several different images, and one of them alone.",
    "iterations off by one": "Compare what must differ in the first iteration only: there all couplings are alike, so "
    "nothing but the mean of the votes counts. With 2 iterations it does matter which capsule says what.",
    "places mixed into capsules": "It can't be seen in shapes, nor in lengths. Let one place of the maps speak and all "
    "others be silent: count the capsules that answer.",
    "squash over the wrong axis": "With small numbers all lengths are below 1 anyway. Make the maps very loud: a "
    "squashed vector is nearly 1 long.",
    "NaN at a zero vector": "Random numbers are never exactly 0. Give maps of zeros, as the black margin of an image "
    "does.",
    "loss not squared": "Capsules that cost nothing cost nothing either way. Take capsules of the labels that are half "
    "as long as they should be: 0.4² or 0.4.",
    "softmax before the loss": "Take capsules that are perfect, 1 long for the label and 0 for the others: they cost "
    "nothing, unless a softmax has made their lengths alike.",
    "mean instead of sum": "If you draw the image itself, sum and mean are both 0. Look how `total` grows with the "
    "sum of the squares.",
    "masked by the prediction": "Where label and longest capsule are the same, both keep the same. Give labels that "
    "aren't the longest: `network.labels`.",
    "prediction over the batch": "Where all classes are about as long in the batch, both say the same. Compare with "
    "the longest capsules of `network.v`.",
}


def _never(bug):
    def wrong(network):
        return _audit(network, **{bug.replace(" ", "_"): lambda network: False})

    wrong.__name__ = "never_" + bug.replace(" ", "_")
    return wrong


for _bug, _why in MISSED.items():
    _name = "batch-shared logits missed" if _bug == "logits shared over the batch" else f"missed: {_bug}"
    _sentence = f"Your audit never names “{_bug}”; all its other answers are right. {_why}"
    audit.misconception(_name, _sentence)(_never(_bug))


@audit.misconception(
    "iterations: too few missed",
    "Your audit finds one iteration too many, but not one too few. Then 2 iterations give what 1 should: it doesn't "
    "matter which capsule says what, as long as the mean is the same.",
)
def too_few_missed(network):
    return _audit(network, iterations_off_by_one=lambda network: _of_the_mean(network, 1))


@audit.misconception(
    "iterations: too many missed",
    "Your audit finds one iteration too few, but not one too many. Then already `route(votes, 1)` uses logits: it "
    "matters which capsule says what, even if the mean is the same.",
)
def too_many_missed(network):
    return _audit(network, iterations_off_by_one=lambda network: not _of_the_mean(network, 2))


def _unlike_the_library(network, iterations=3):
    return _differ(
        network.route(network.votes, iterations), dynamic_routing(network.votes, network.bias, iterations=iterations)
    )


@audit.misconception(
    "symptom named, not cause",
    "You name all three bugs of routing wherever its output isn't the library's. That is the symptom of each of them, "
    "and of a wrong squash, too. Measure what only *one* of them changes.",
)
def all_routing_bugs(network):
    return _audit(
        network,
        softmax_over_the_inputs=_unlike_the_library,
        logits_shared_over_the_batch=_unlike_the_library,
        iterations_off_by_one=_unlike_the_library,
    )


@audit.misconception(
    "symptom named, not cause",
    "You say “softmax over the inputs” wherever routing's output isn't the library's. Other bugs change it, too. What "
    "only this one does: capsules that say nothing change the output.",
)
def any_difference_is_the_softmax(network):
    return _audit(network, softmax_over_the_inputs=_unlike_the_library)


@audit.misconception(
    "symptom named, not cause",
    "You say “softmax over the inputs” wherever the *first* iteration isn't the library's. One iteration too many and "
    "a wrong squash change it, too. What only this bug does: capsules that say nothing change the output.",
)
def first_iteration_differs(network):
    return _audit(network, softmax_over_the_inputs=lambda network: _unlike_the_library(network, 1))


@audit.misconception(
    "symptom named, not cause",
    "You say “logits shared over the batch” wherever routing's output isn't the library's. Other bugs change it, too. "
    "What only this one does: an image's output depends on the others of its batch.",
)
def any_difference_is_the_batch(network):
    return _audit(network, logits_shared_over_the_batch=_unlike_the_library)


@audit.misconception(
    "symptom named, not cause",
    "You say “iterations off by one” wherever routing's output isn't the library's. Other bugs change it, too. What "
    "only this one does: one capsule's vote counts more than another's in the first iteration already, or not even in "
    "the second.",
)
def any_difference_is_the_iterations(network):
    return _audit(network, iterations_off_by_one=_unlike_the_library)


@audit.misconception(
    "symptom named, not cause",
    "You say “iterations off by one” wherever `route(votes, 3)` is what the library gives for 2 or 4. That is not so "
    "if squash is wrong, too. Measure by the first iteration: nothing but the mean of the votes counts in it.",
)
def like_another_number_of_iterations(network):
    def measured(network):
        mine = network.route(network.votes, 3)
        others = [dynamic_routing(network.votes, network.bias, iterations=t) for t in (2, 4)]
        return any(not _differ(mine, other) for other in others)

    return _audit(network, iterations_off_by_one=measured)


def _margin(network, v, labels):
    length = np.linalg.norm(v, axis=2)
    there = np.arange(v.shape[1]) == labels[:, None]
    parts = np.where(there, np.maximum(0, 0.9 - length) ** 2, 0.5 * np.maximum(0, length - 0.1) ** 2)
    return parts.sum(axis=1).mean()


def _loss_differs(network):
    return _differ(network.loss(network.v, network.labels), _margin(network, network.v, network.labels))


@audit.misconception(
    "symptom named, not cause",
    "You name both bugs of the loss wherever it isn't the library's. A part has one bug at most: which of the two is "
    "it? Perfect capsules cost 0, unless there is a softmax.",
)
def both_losses(network):
    return _audit(network, loss_not_squared=_loss_differs, softmax_before_the_loss=_loss_differs)


@audit.misconception(
    "symptom named, not cause",
    "You say “loss not squared” also where a softmax stands before the loss: it changes the value, too. Look first "
    "whether perfect capsules cost 0; only then is the value of others a sign of missing squares.",
)
def unsquared_where_softmaxed(network):
    return _audit(network, loss_not_squared=_loss_differs)


@audit.misconception(
    "symptom named, not cause",
    "You say “softmax before the loss” wherever the loss isn't the library's, also where it isn't squared. What only "
    "the softmax does: perfect capsules cost something.",
)
def softmaxed_where_unsquared(network):
    return _audit(network, softmax_before_the_loss=_loss_differs)


@audit.misconception(
    "symptom named, not cause",
    "You say “mean instead of sum” wherever `total` isn't margin loss + 0.0005 · sum. If the network's *margin loss* "
    "is wrong, so is `total`. Look at what a drawing alone changes: `total` for one drawing minus `total` for another.",
)
def total_differs(network):
    def measured(network):
        squares = ((network.drawn - network.images) ** 2).sum(axis=1).mean()
        right = _margin(network, network.v, network.labels) + 0.0005 * squares
        return _differ(network.total(network.v, network.labels, network.drawn, network.images), right)

    return _audit(network, mean_instead_of_sum=measured)


@audit.misconception(
    "symptom named, not cause",
    "You say “places mixed into capsules” also where squash gives NaN for silent capsules: NaN is not 0, so they seem "
    "to answer. Take NaN for silence in this measurement: `np.nan_to_num`.",
)
def nan_taken_for_an_answer(network):
    def measured(network):
        maps = 0 * network.maps
        maps[..., 0, 0] = network.maps[..., 0, 0]
        return (network.primary(maps).any(axis=2).sum(axis=1) != network.types).any()

    return _audit(network, places_mixed_into_capsules=measured)


@audit.misconception(
    "symptom named, not cause",
    "You change one place and count the capsules that change. If squash runs over the wrong axis, they all do, though "
    "no place is mixed. Let all other places be silent, and count the capsules that answer: squash, even a wrong one, "
    "leaves 0 at 0.",
)
def changing_capsules_counted(network):
    def measured(network):
        maps = network.maps.copy()
        maps[..., 0, 0] += 1
        changed = np.abs(network.primary(maps) - network.primary(network.maps)) > 1e-9
        return (changed.any(axis=2).sum(axis=1) != network.types).any()

    return _audit(network, places_mixed_into_capsules=measured)


@audit.misconception(
    "symptom named, not cause",
    "You say “squash over the wrong axis” also where the lengths are NaN. A vector of zeros alone is the trouble "
    "there, and it has a name of its own.",
)
def nan_taken_for_a_wrong_axis(network):
    def measured(network):
        return MEASURED["squash over the wrong axis"](network) or MEASURED["NaN at a zero vector"](network)

    return _audit(network, squash_over_the_wrong_axis=measured)


def _in_the_library(network, maps):
    """Primary capsules in the order of lecture 11."""
    n, _, h, w = maps.shape
    s = maps.reshape(n, network.types, network.dim, h, w).transpose(0, 1, 3, 4, 2).reshape(n, -1, network.dim)
    length = np.linalg.norm(s, axis=2, keepdims=True)
    return s * length / (1 + length**2)


def _capsules_differ(network):
    return _differ(network.primary(network.maps), _in_the_library(network, network.maps))


@audit.misconception(
    "sound code accused",
    "You accuse networks whose primary capsules come in another order, or that take a capsule's channels from "
    "elsewhere, than the library's do. Both are a matter of taste. A bug is only that *places* are mixed: let one "
    "place speak and count the capsules that answer.",
)
def order_accused(network):
    return _audit(network, places_mixed_into_capsules=_capsules_differ)


@audit.misconception(
    "sound code accused",
    "You say “squash over the wrong axis” wherever the primary capsules aren't the library's, also where only their "
    "order is another. Look at lengths: loud capsules are 1 long.",
)
def order_taken_for_a_wrong_axis(network):
    return _audit(network, squash_over_the_wrong_axis=_capsules_differ)


@audit.misconception(
    "sound code accused",
    "You compare with routing without a bias, so every network looks wrong. These have one, `network.bias`. And "
    "compare what a single bug changes, not outputs.",
)
def bias_forgotten(network):
    def measured(network):
        return _differ(network.route(network.votes, 3), dynamic_routing(network.votes, iterations=3))

    return _audit(network, softmax_over_the_inputs=measured)


@audit.misconception(
    "sound code accused",
    "You compare the first iteration of two inputs with `==`, and sums in another order differ in their last digits. "
    "Allow for rounding: `np.allclose`.",
)
def rounding_accused(network):
    def measured(network):
        mean = 0 * network.votes + network.votes.mean(axis=1, keepdims=True)
        first = (network.route(network.votes, 1) != network.route(mean, 1)).any()
        return first or not _of_the_mean(network, 2)

    return _audit(network, iterations_off_by_one=measured)


@audit.misconception(
    "sound code accused",
    "Your audit names every bug for every network. Sound networks are among them, and a part has one bug at most.",
)
def everything_named(network):
    return list(BUGS)


@audit.misconception(
    "nothing found",
    "Your audit finds nothing in any network, and most have a bug. Return the names, a list; measure one bug first, "
    "with `suspect` to practise on.",
)
def nothing_found(network):
    return []


def _only(bug, measure):
    """An audit in which one measurement is written, and no other."""

    def wrong(network):
        return [bug] if measure(network) else []

    wrong.__name__ = f"only_{bug.replace(' ', '_')}_by_{getattr(measure, '__name__', '')}".replace(
        "<lambda>", "measuring"
    )
    return wrong


for _bug in BUGS:
    _sentence = f"“{_bug}” is measured rightly, and nothing else yet: on you go, ten are left."
    audit.misconception("ten to go", _sentence)(_only(_bug, MEASURED[_bug]))
for _bug in BUGS[:3]:
    _sentence = (
        f"You say “{_bug}” wherever routing's output isn't the library's. That is a symptom of four bugs. Measure what "
        "only this one changes. The other ten are still to be written."
    )
    audit.misconception("symptom named, not cause", _sentence)(_only(_bug, _unlike_the_library))


@audit.misconception(
    "only the first bug",
    "Your audit stops at the first bug that it finds (`return` or `elif` too early). A network may have several, one "
    "in each part: measure all, and collect the names in a list.",
)
def first_bug(network):
    return _audit(network)[:1]


@audit.misconception(
    "only the last bug",
    "Your audit names one bug, the last that it finds: each finding overwrites the one before. Collect the names in a "
    "list.",
)
def last_bug(network):
    return _audit(network)[-1:]


TASKS = (mean_logit_change, overlap_pairs, both_right, pose_r2, fair_comparison, audit)
