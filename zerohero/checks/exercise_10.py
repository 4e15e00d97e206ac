"""The tasks of exercise 10, Capsules and routing. How answers are run and compared is not known here."""

from __future__ import annotations

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.ops.activation import softmax
from zerohero.ops.capsule import dynamic_routing, routing_trace, squash_gradient
from zerohero.ops.capsule import squash as library_squash
from zerohero.tensor import Tensor, grad


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


# --- squash -------------------------------------------------------------------------------------------------


def _vectors(rng: np.random.Generator) -> list[Case]:
    return [
        Case(real([[3, 4]])),
        Case(real([[1, -2, 2], [0, 0, 0]])),
        Case(real(rng.normal(size=(4, 3)))),
        Case(real(rng.normal(size=(2, 3, 4)) * [[[0.1], [1], [5]]])),
    ]


squash = Task(
    name="10.squash",
    title="Squash",
    difficulty=2,
    minutes=15,
    practises="a length below 1 in the same direction, and no division by 0",
    reference=library_squash,
    inputs=_vectors,
    hints=[
        "One vector first: (3, 4) is 5 long. Its squashed length is 25 / 26, its direction is (0.6, 0.8).",
        "The lengths of all vectors: `n = np.sqrt((s * s).sum(axis=-1, keepdims=True))`. With `keepdims=True` the "
        "shapes (N, J, Q) and (N, J, 1) multiply vector by vector.",
        "n² / (1 + n²) · s / n is s · n / (1 + n²), which divides by nothing that can be 0: "
        "`return s * n / (1 + n * n)`.",
    ],
)


def _length(s, axis=-1):
    return np.sqrt((s * s).sum(axis, keepdims=True))


@squash.misconception(
    "length not squared",
    "Your vectors get the length n / (1 + n): the length is not squared. Squash is n² / (1 + n²), which keeps short "
    "vectors much shorter: a length of 0.1 becomes 0.01, not 0.09.",
)
def not_squared(s):
    return s / (1 + _length(s))


@squash.misconception(
    "length not squared",
    "Your vectors get the length n / (1 + n): the length is not squared. And a vector of zeros becomes NaN (not a "
    "number), because 0 is divided by 0. Squash is n² / (1 + n²) times the direction.",
)
def not_squared_and_nan(s):
    n = _length(s)
    return n / (1 + n) * s / n


@squash.misconception(
    "length not squared",
    "Your denominator is 1 + n: the length is not squared there. Squash is n² / (1 + n²), so that no length passes 1.",
)
def denominator_not_squared(s):
    n = _length(s)
    return s * n / (1 + n)


@squash.misconception(
    "length not squared",
    "Your numerator is n instead of n²: your output is s / (1 + n²), and long vectors become short. Squash is "
    "n² / (1 + n²) times the direction s / n.",
)
def numerator_not_squared(s):
    return s / (1 + _length(s) ** 2)


@squash.misconception(
    "one length for the whole array",
    "You use one length for the whole array, the root of the sum of all squares. Every vector has its own length: sum "
    "over the last axis only, `axis=-1, keepdims=True`.",
)
def whole_array(s):
    n = np.sqrt((s * s).sum())
    return s * n / (1 + n * n)


@squash.misconception(
    "NaN at 0",
    "Right, except for a vector of zeros: its length is 0, and 0 / 0 is no number (NaN). Cancel n in "
    "n² / (1 + n²) · s / n, and nothing is divided by 0.",
)
def nan_at_zero(s):
    n = _length(s)
    return n**2 / (1 + n**2) * s / n


@squash.misconception(
    "wrong axis",
    "Your lengths are summed over the first axis: over the examples, not over the numbers of one vector. A vector lies "
    "along the last axis, `axis=-1`.",
)
def over_the_first_axis(s):
    return library_squash(s, axis=0)


@squash.misconception(
    "wrong axis",
    "Your lengths are summed over the last axis but one: over the capsules, not over the numbers of one capsule. A "
    "vector lies along the last axis, `axis=-1`.",
)
def over_the_capsules(s):
    return library_squash(s, axis=-2)


@squash.misconception(
    "direction not of length 1",
    "You multiply n² / (1 + n²) by s itself, so long vectors stay long. It is multiplied by the direction, s / n, "
    "which has length 1.",
)
def times_s(s):
    n = _length(s)
    return n**2 / (1 + n**2) * s


@squash.misconception(
    "no square root",
    "Your length is the sum of the squares: the square root is missing. The length of (3, 4) is 5, not 25.",
)
def no_root(s):
    n = (s * s).sum(axis=-1, keepdims=True)
    return s * n / (1 + n * n)


@squash.misconception(
    "no square root",
    "Your length is the sum of the squares: the square root is missing, the length of (3, 4) is 5, not 25. And a "
    "vector of zeros becomes NaN (not a number), because 0 is divided by 0.",
)
def no_root_and_nan(s):
    n = (s * s).sum(axis=-1, keepdims=True)
    return n**2 / (1 + n**2) * s / n


@squash.misconception(
    "every number by itself",
    "You squash every number by itself, x² / (1 + x²) with its sign. That turns the vector: its direction changes. All "
    "numbers of a vector are multiplied by the same factor.",
)
def number_by_number(s):
    return s * np.abs(s) / (1 + s * s)


@squash.misconception(
    "sum of the sizes as length",
    "Your length is the sum of the numbers' sizes, 3 + 4 = 7. The length of (3, 4) is the root of the sum of the "
    "squares, 5.",
)
def sum_of_sizes(s):
    n = np.abs(s).sum(axis=-1, keepdims=True)
    return s * n / (1 + n * n)


@squash.misconception(
    "length 1",
    "Your vectors all have length 1 (and a vector of zeros is NaN): that is the direction, s / n. Multiply it by "
    "n² / (1 + n²): the length tells how present something is.",
)
def directions(s):
    return s / _length(s)


@squash.misconception(
    "lengths returned",
    "You return the squashed lengths. The vectors are asked for, in the shape of s: length times direction.",
)
def lengths(s):
    n = _length(s)
    return (n**2 / (1 + n**2))[..., 0]


# --- votes of a face's parts --------------------------------------------------------------------------------


def _pose(x, y, degrees=0.0, size=1.0):
    """A 3×3 pose: turned, enlarged, then moved to (x, y)."""
    cosine, sine = size * np.cos(np.radians(degrees)), size * np.sin(np.radians(degrees))
    return np.array([[cosine, 0 - sine, x], [sine, cosine, y], [0, 0, 1]])  # 0 - 0 is shown as 0, and -0 is not


def _random_poses(rng: np.random.Generator, count: int):
    draws = rng.uniform([-3, -3, 20, 0.5], [3, 3, 160, 2], size=(count, 4))  # x, y, degrees, size
    return np.stack([_pose(x, y, degrees, size) for x, y, degrees, size in draws])


def _faces(rng: np.random.Generator) -> list[Case]:
    eyes_nose_mouth = np.stack([_pose(-1, 1), _pose(1, 1), _pose(0, 0, 0, 0.5), _pose(0, -1, 0, 2)])
    faces = np.stack([_pose(5, 3), _pose(2, -1, 90, 2)])
    parts = _random_poses(rng, 3)
    return [
        Case(real(_pose(5, 3)[None, None]), real(_pose(-1, 2)[None])),
        Case(real(faces[:, None] @ eyes_nose_mouth), real(eyes_nose_mouth)),
        Case(real(_random_poses(rng, 2)[:, None] @ parts), real(parts)),
        Case(real(_random_poses(rng, 15).reshape(3, 5, 3, 3)), real(_random_poses(rng, 5))),
    ]


face_votes = Task(
    name="10.face_votes",
    title="The votes of a face's parts",
    difficulty=3,
    minutes=20,
    practises="poses as matrices, and what a vote is before anything is learned",
    reference=lambda poses, part_in_whole: poses @ np.linalg.inv(part_in_whole),
    inputs=_faces,
    returns=("votes",),
    hints=[
        "For one part: pose = face · part_in_whole, three 3×3 matrices. Multiply both sides by a matrix that makes "
        "`part_in_whole` disappear. From which side?",
        "face = pose · (part_in_whole)⁻¹. `np.linalg.inv` inverts each matrix of a stack (I, 3, 3), and `@` multiplies "
        "matrix by matrix along the last two axes.",
        "(N, I, 3, 3) `@` (I, 3, 3) uses the I matrices for every image: `poses @ np.linalg.inv(part_in_whole)`.",
    ],
)


@face_votes.misconception(
    "no inverse",
    "You multiply by `part_in_whole` itself. That matrix leads from the part to the face's frame; a vote goes back "
    "from the part to the face: multiply by its inverse, `np.linalg.inv(part_in_whole)`.",
)
def no_inverse(poses, part_in_whole):
    return poses @ part_in_whole


@face_votes.misconception(
    "no inverse",
    "You multiply by `part_in_whole` itself, and from the left. From pose = face · part_in_whole follows "
    "face = pose · (part_in_whole)⁻¹: its inverse, on the right.",
)
def no_inverse_from_the_left(poses, part_in_whole):
    return part_in_whole @ poses


@face_votes.misconception(
    "order reversed",
    "Your output is (part_in_whole)⁻¹ · pose. The order of a matrix product counts: in pose = face · part_in_whole the "
    "matrix to remove stands on the right, so its inverse comes on the right, too.",
)
def order_reversed(poses, part_in_whole):
    return np.linalg.inv(part_in_whole) @ poses


@face_votes.misconception(
    "one matrix for all parts",
    "All your parts vote with the first part's matrix. A mouth sits elsewhere in a face than an eye: part i has a "
    "matrix of its own, `part_in_whole[i]`.",
)
def first_matrix_for_all(poses, part_in_whole):
    return poses @ np.linalg.inv(part_in_whole[0])


@face_votes.misconception(
    "one matrix for all parts",
    "All your parts vote with the last part's matrix. A mouth sits elsewhere in a face than an eye: part i has a "
    "matrix of its own, `part_in_whole[i]`.",
)
def last_matrix_for_all(poses, part_in_whole):
    return poses @ np.linalg.inv(part_in_whole[-1])


@face_votes.misconception(
    "a matrix for each image",
    "You use the first matrix for all parts of the first image, the second for the second image. The matrices belong "
    "to the parts (axis 1 of `poses`) and are the same in every image.",
)
def matrix_by_image(poses, part_in_whole):
    return poses @ np.linalg.inv(part_in_whole)[: len(poses), None]


@face_votes.misconception(
    "transpose instead of inverse",
    "You multiply by the transposed matrix. That is the inverse only of a pure rotation; with a shift or a change of "
    "size it is not. `np.linalg.inv(part_in_whole)` is the inverse of each.",
)
def transpose(poses, part_in_whole):
    return poses @ part_in_whole.swapaxes(-1, -2)


@face_votes.misconception(
    "inverse transposed",
    "You multiply by the transposed inverse: an index is in the wrong place. Rows of the pose meet columns of the "
    "inverse: `poses @ np.linalg.inv(part_in_whole)`.",
)
def inverse_transposed(poses, part_in_whole):
    return poses @ np.linalg.inv(part_in_whole).swapaxes(-1, -2)


@face_votes.misconception(
    "one over each number",
    "You take one over each number of the matrix, which divides by 0. The inverse of a matrix is another thing, the "
    "matrix that undoes it: `np.linalg.inv(part_in_whole)`.",
)
def reciprocals(poses, part_in_whole):
    return poses @ (1 / part_in_whole)


@face_votes.misconception(
    "one over each number",
    "You divide number by number, with `/`, and so by 0. What undoes a matrix product is the inverse matrix: multiply "
    "by `np.linalg.inv(part_in_whole)` with `@`.",
)
def divided(poses, part_in_whole):
    return poses / part_in_whole


@face_votes.misconception(
    "numbers multiplied one by one",
    "You multiply the matrices number by number, with `*`. Poses are joined by the matrix product, `@`.",
)
def number_times_number(poses, part_in_whole):
    return poses * np.linalg.inv(part_in_whole)


@face_votes.misconception(
    "the wrong matrix inverted",
    "You invert the pose instead of `part_in_whole`. From pose = face · part_in_whole follows "
    "face = pose · (part_in_whole)⁻¹.",
)
def pose_inverted(poses, part_in_whole):
    return np.linalg.inv(poses) @ part_in_whole


@face_votes.misconception(
    "the wrong matrix inverted",
    "Your output is part_in_whole · pose⁻¹, the inverse of the vote: it leads from the image to the face. The vote is "
    "the face's pose, pose · (part_in_whole)⁻¹.",
)
def vote_inverted(poses, part_in_whole):
    return part_in_whole @ np.linalg.inv(poses)


@face_votes.misconception(
    "inverted twice",
    "Your output is the inverse of pose · part_in_whole. Only `part_in_whole` is inverted, before the product.",
)
def product_inverted(poses, part_in_whole):
    return np.linalg.inv(poses @ part_in_whole)


@face_votes.misconception(
    "difference of the poses",
    "You subtract the matrices. Poses are joined by multiplying, and a product is undone by the inverse matrix.",
)
def subtracted(poses, part_in_whole):
    return poses - part_in_whole


@face_votes.misconception(
    "votes averaged",
    "You return the mean of the votes. Each part has a vote of its own, (N, I, 3, 3): whether they agree is what "
    "routing will ask.",
)
def votes_averaged(poses, part_in_whole):
    return (poses @ np.linalg.inv(part_in_whole)).mean(axis=1)


# --- couplings ----------------------------------------------------------------------------------------------


def _logits(rng: np.random.Generator) -> list[Case]:
    return [
        Case(real(np.zeros((1, 2, 3)))),
        Case(real([[[2, 0, -1], [0, 1, 0.5]]])),
        Case(real([[[0.5], [3]]])),
        Case(real(2 * rng.normal(size=(3, 4, 2)))),
        Case(real([[[1000, 998], [-1000, -1001], [0, 3]], [[-5, -2], [1, 1], [2, -2]]])),
    ]


couplings = Task(
    name="10.couplings",
    title="Couplings from logits",
    difficulty=2,
    minutes=10,
    practises="who shares out what among whom: the axis of routing's softmax",
    reference=lambda logits: softmax(logits, axis=2),
    inputs=_logits,
    hints=[
        "An input capsule has exactly 1 to give away, and shares it out among the output capsules. Over which axis of "
        "(N, I, J) do the couplings sum to 1?",
        "It is the softmax of exercise 02, now along axis 2. Subtract each input capsule's largest logit first, so "
        "that `np.exp` stays finite.",
        "`e = np.exp(logits - logits.max(axis=2, keepdims=True))`, then `e / e.sum(axis=2, keepdims=True)`.",
    ],
)


def _naive(logits, axis):
    e = np.exp(logits)
    return e / e.sum(axis=axis, keepdims=True)


@couplings.misconception(
    "softmax over the inputs",
    "Your couplings sum to 1 over the input capsules (axis 1). It is the other way round: each input capsule shares "
    "out its own 1 among the output capsules, so they sum to 1 over J (axis 2).",
)
def over_the_inputs(logits):
    return softmax(logits, axis=1)


@couplings.misconception(
    "softmax over the inputs",
    "Two things: your couplings sum to 1 over the input capsules (axis 1) instead of the output capsules (axis 2), and "
    "large logits give NaN (not a number), because `np.exp(1000)` is infinite: subtract the largest first.",
)
def over_the_inputs_and_overflow(logits):
    return _naive(logits, 1)


@couplings.misconception(
    "softmax over the batch",
    "Your couplings sum to 1 over the examples of the batch (axis 0). An image has nothing to do with the others in "
    "its batch: each input capsule's couplings sum to 1 over the output capsules (axis 2).",
)
def over_the_batch(logits):
    return softmax(logits, axis=0)


@couplings.misconception(
    "softmax over all pairs",
    "All couplings of an image together sum to 1. Each input capsule has its own 1 to share out among the output "
    "capsules: sum over axis 2 only.",
)
def over_all_pairs(logits):
    return softmax(logits.reshape(len(logits), -1), axis=1).reshape(logits.shape)


@couplings.misconception(
    "softmax over everything",
    "All your couplings together sum to 1, over the whole batch. Each input capsule of each image has its own 1 to "
    "share out among the output capsules: `axis=2`.",
)
def over_everything(logits):
    return softmax(logits.ravel(), axis=0).reshape(logits.shape)


@couplings.misconception(
    "sigmoid",
    "Your output is the sigmoid of each logit by itself: every coupling starts at 0.5, and they don't sum to 1. The "
    "output capsules compete for an input capsule: softmax over axis 2.",
)
def sigmoids(logits):
    return 1 / (1 + np.exp(-logits))


@couplings.misconception(
    "starts at 1",
    "Your output is the exponentials themselves: logits of 0 give couplings of 1. Divide by their sum over the output "
    "capsules: then logits of 0 give 1/J each.",
)
def exponentials(logits):
    return np.exp(logits)


@couplings.misconception(
    "starts at 1",
    "Your output is the exponentials themselves: logits of 0 give couplings of 1. Divide by their sum over the output "
    "capsules, `e.sum(axis=2, keepdims=True)`: then logits of 0 give 1/J each.",
)
def stable_exponentials(logits):
    return np.exp(logits - logits.max(axis=2, keepdims=True))


@couplings.misconception(
    "starts at 1",
    "Your couplings are J times too large: logits of 0 give 1 each. An input capsule gives 1 away in all, 1/J to each "
    "output capsule at the start.",
)
def times_the_parents(logits):
    return softmax(logits, axis=2) * logits.shape[2]


@couplings.misconception(
    "overflow",
    "Right for small logits, but `np.exp(1000)` is infinite, and ∞ / ∞ is no number (NaN). Subtract each input "
    "capsule's largest logit first: the couplings stay the same.",
)
def overflow(logits):
    return _naive(logits, 2)


@couplings.misconception(
    "one maximum for all",
    "You subtract the largest logit of the whole array. Where all logits are much smaller every exponential is 0, and "
    "0 / 0 is no number (NaN). Subtract each input capsule's own largest: `logits.max(axis=2, keepdims=True)`.",
)
def global_maximum(logits):
    e = np.exp(logits - logits.max())
    return e / e.sum(axis=2, keepdims=True)


@couplings.misconception(
    "not exponentials",
    "You divide the logits by their sum, which fails for logits of 0 and gives negative shares. Softmax takes the "
    "exponential of each logit first, so that all are positive.",
)
def plain_shares(logits):
    return logits / logits.sum(axis=2, keepdims=True)


@couplings.misconception(
    "winner takes all",
    "You give everything to the output capsule with the largest logit. Softmax is softer: the others get their shares, "
    "and equal logits get equal ones.",
)
def winner_takes_all(logits):
    return (np.arange(logits.shape[2]) == logits.argmax(axis=2)[..., None]).astype(np.float32)


@couplings.misconception(
    "always equal",
    "Your couplings are 1/J always. That is right only for equal logits; otherwise larger logits get larger shares.",
)
def always_equal(logits):
    return np.full(logits.shape, 1 / logits.shape[2])


@couplings.misconception(
    "logarithm", "You return the logarithms of the couplings. The couplings themselves are asked for."
)
def logarithms(logits):
    return np.log(softmax(logits, axis=2))


# --- routing ------------------------------------------------------------------------------------------------

TOWARD_A = [(1, 0.9), (0.9, 1.05), (1.1, 1), (1, 1.1), (-1.2, 0.4), (0.5, -1.3)]
TOWARD_B = [(0.8, -0.9), (-1, 0.3), (0.2, 1), (-0.7, -0.8), (0.9, 0.2), (-0.3, 0.8)]


SMALL_VOTES = [[[[1, 0], [2, 1]], [[0, 1], [2, -1]], [[-1, 0], [1, 1]]]]  # (1, 3, 2, 2): a forgotten axis crashes


def _votes(rng: np.random.Generator) -> list[Case]:
    return [
        Case(real(SMALL_VOTES), 1),
        Case(real(SMALL_VOTES), 2),
        Case(real(np.stack([TOWARD_A, TOWARD_B], axis=1)[None]), 3),
        Case(real(rng.normal(size=(2, 5, 3, 4))), 2),
        Case(real(rng.normal(size=(3, 4, 2, 5))), 4),
        Case(real(rng.normal(size=(2, 3, 3, 3))), 3),
    ]


route = Task(
    name="10.route",
    title="Routing, T iterations",
    difficulty=4,
    minutes=30,
    practises="procedure 1 of the paper, for a whole batch",
    reference=lambda votes, iterations: dynamic_routing(votes, iterations=iterations),
    inputs=_votes,
    returns=("v",),
    hints=[
        "The logits are zeros of shape (N, I, J): every image has its own. An iteration is: couplings, weighted sum "
        "over the input capsules, squash, then the logits grow by the agreement.",
        "c (N, I, J) and votes (N, I, J, Q) multiply as `c[..., None] * votes`; the sum over the input capsules is "
        "over axis 1. v (N, J, Q) meets the votes as `v[:, None]`, and the dot product sums over axis 3.",
        "In the loop: `c = zh.softmax(b, axis=2)`, `s = (c[..., None] * votes).sum(axis=1)`, `v = zh.squash(s)`, "
        "`b = b + (votes * v[:, None]).sum(axis=3)`. After it: `return v`.",
    ],
)


def _shares(b):
    return softmax(b, axis=2)


def _sum(c, votes):
    return (c[..., None] * votes).sum(axis=1)


def _agreement(votes, v):
    return (votes * v[:, None]).sum(axis=3)


def _routed(votes, iterations, *, share=_shares, sum=_sum, squash=library_squash, grow=None):
    """Routing with another rule for a step; `grow` gives the new logits from (b, votes, v, s)."""
    b = np.zeros(votes.shape[:3], np.float32)
    v = np.zeros((len(votes), *votes.shape[2:]), np.float32)
    for _ in range(iterations):
        s = sum(share(b), votes)
        v = squash(s)
        b = grow(b, votes, v, s) if grow else b + _agreement(votes, v)
    return v


@route.misconception(
    "one iteration off",
    "Your output is that of one iteration less than asked. The paper's loop runs T times, and each time through ends "
    "with a new v: `range(iterations)`.",
)
def one_too_few(votes, iterations):
    return _routed(votes, iterations - 1)


@route.misconception(
    "one iteration off",
    "Your output is that of one iteration less than asked; for one iteration there is no v at all. The paper's loop "
    "runs T times: `range(iterations)`.",
)
def one_too_few_and_no_v(votes, iterations):
    if iterations > 1:
        v = _routed(votes, iterations - 1)
    return v  # UnboundLocalError for one iteration


@route.misconception(
    "one iteration off",
    "Your output is that of one iteration more than asked: the first one, with equal couplings, counts too. With T = 1 "
    "v is the squashed plain mix of the votes, 1/J of each.",
)
def one_too_many(votes, iterations):
    return _routed(votes, iterations + 1)


@route.misconception(
    "iterations ignored",
    "Your output is that of three iterations, whatever is asked. T is the argument `iterations`.",
)
def always_three(votes, iterations):
    return _routed(votes, 3)


@route.misconception(
    "logits shared over the batch",
    "Your logits are shared by the images of a batch: the agreement is summed over it. So an image's output depends on "
    "which others are in its batch. Each image has logits of its own: b is (N, I, J).",
)
def shared_by_sum(votes, iterations):
    return _routed(votes, iterations, grow=lambda b, votes, v, s: b + _agreement(votes, v).sum(axis=0))


@route.misconception(
    "logits shared over the batch",
    "Your logits are shared by the images of a batch: the agreement is averaged over it. So an image's output depends "
    "on which others are in its batch. Each image has logits of its own: b is (N, I, J).",
)
def shared_by_mean(votes, iterations):
    return _routed(votes, iterations, grow=lambda b, votes, v, s: b + _agreement(votes, v).mean(axis=0))


@route.misconception(
    "logits not reset",
    "Each image of your batch starts with the logits that the image before it ended with. Logits are not learned: they "
    "start at 0 for every image.",
)
def not_reset(votes, iterations):
    b, outputs = np.zeros((1, *votes.shape[1:3]), np.float32), []
    for image in votes[:, None]:
        for _ in range(iterations):
            v = library_squash(_sum(_shares(b), image))
            b = b + _agreement(image, v)
        outputs.append(v[0])
    return np.stack(outputs)


@route.misconception(
    "logits replaced",
    "Your logits are replaced by the latest agreement. They collect it: b + û · v, so that the agreement of all "
    "iterations so far counts.",
)
def replaced(votes, iterations):
    return _routed(votes, iterations, grow=lambda b, votes, v, s: _agreement(votes, v))


@route.misconception(
    "logits never change",
    "Your output is that of one iteration, whatever is asked: the logits don't grow by the agreement, or they are set "
    "back to 0 in every iteration. Set them to 0 once, before the loop.",
)
def no_update(votes, iterations):
    return _routed(votes, 1)


@route.misconception(
    "disagreement rewarded",
    "You subtract the agreement: input capsules turn away from the output capsules they agree with. The logits grow by "
    "û · v.",
)
def subtracted_agreement(votes, iterations):
    return _routed(votes, iterations, grow=lambda b, votes, v, s: b - _agreement(votes, v))


@route.misconception(
    "softmax over the inputs",
    "Your couplings sum to 1 over the input capsules (axis 1). Each input capsule shares out its own 1 among the "
    "output capsules: softmax over axis 2.",
)
def inputs_compete(votes, iterations):
    return _routed(votes, iterations, share=lambda b: softmax(b, axis=1))


@route.misconception(
    "softmax over the batch",
    "Your couplings sum to 1 over the images of the batch (axis 0). Each input capsule shares out its own 1 among the "
    "output capsules: softmax over axis 2.",
)
def images_compete(votes, iterations):
    return _routed(votes, iterations, share=lambda b: softmax(b, axis=0))


@route.misconception(
    "sigmoid",
    "Your couplings are sigmoids of the logits, 0.5 each at the start, and the output capsules don't compete. Softmax "
    "over axis 2 makes the couplings of an input capsule sum to 1.",
)
def sigmoid_shares(votes, iterations):
    return _routed(votes, iterations, share=lambda b: 1 / (1 + np.exp(-b)))


@route.misconception(
    "couplings start at 1",
    "Your couplings are the exponentials of the logits, 1 each at the start: the division by their sum is missing. "
    "Softmax over axis 2 makes them sum to 1, 1/J each at the start.",
)
def exponential_shares(votes, iterations):
    return _routed(votes, iterations, share=np.exp)


@route.misconception(
    "logits used as couplings",
    "You weigh the votes by the logits themselves, so the first sum is 0 and stays 0. The couplings are the softmax of "
    "the logits over the output capsules.",
)
def no_softmax(votes, iterations):
    return _routed(votes, iterations, share=lambda b: b)


@route.misconception(
    "mean instead of sum",
    "You take the mean over the input capsules. s is the sum of c · û: many votes that agree make a long vector.",
)
def mean_over_inputs(votes, iterations):
    return _routed(votes, iterations, sum=lambda c, votes: (c[..., None] * votes).mean(axis=1))


@route.misconception(
    "agreement with s",
    "Your logits grow by û · s, the sum before squash. Agreement is with the squashed v, whose length stays below 1.",
)
def agreement_with_s(votes, iterations):
    return _routed(votes, iterations, grow=lambda b, votes, v, s: b + _agreement(votes, s))


@route.misconception(
    "not squashed",
    "You never squash: your v are the sums s. v = squash(s) in every iteration, and the logits grow by û · v.",
)
def never_squashed(votes, iterations):
    return _routed(votes, iterations, squash=lambda s: s)


@route.misconception(
    "not squashed",
    "You return s, the sum before squash, of the last iteration. The output is v = squash(s), with lengths below 1.",
)
def last_s(votes, iterations):
    return routing_trace(votes, iterations=iterations).s[-1]


@route.misconception(
    "squash over the wrong axis",
    "You squash over the output capsules (axis 1 of (N, J, Q)). A capsule's vector lies along the last axis, Q.",
)
def squashed_over_capsules(votes, iterations):
    return _routed(votes, iterations, squash=lambda s: library_squash(s, axis=1))


@route.misconception(
    "squash over the wrong axis",
    "Your squash uses one length for the whole array. Every output capsule of every image has its own: sum the squares "
    "over the last axis, Q.",
)
def squashed_by_one_length(votes, iterations):
    return _routed(votes, iterations, squash=whole_array)


@route.misconception(
    "distance instead of dot product",
    "Your logits shrink by the distance between vote and output. Agreement is their dot product, û · v: it is large "
    "where a long vote points the way v does.",
)
def minus_distance(votes, iterations):
    return _routed(
        votes, iterations, grow=lambda b, votes, v, s: b - np.sqrt(((votes - v[:, None]) ** 2).sum(axis=3))
    )


@route.misconception(
    "distance instead of dot product",
    "Your logits shrink by the squared distance between vote and output. Agreement is their dot product, û · v: it is "
    "large where a long vote points the way v does.",
)
def minus_squared_distance(votes, iterations):
    return _routed(votes, iterations, grow=lambda b, votes, v, s: b - ((votes - v[:, None]) ** 2).sum(axis=3))


@route.misconception(
    "agreement as a cosine",
    "Your agreement is the cosine of the angle between û and v. Their plain dot product is meant: long, that is sure, "
    "vectors count more.",
)
def cosine(votes, iterations):
    def cosines(votes, v):
        return _agreement(votes, v) / (_length(votes)[..., 0] * _length(v)[..., 0][:, None])

    return _routed(votes, iterations, grow=lambda b, votes, v, s: b + cosines(votes, v))


@route.misconception(
    "agreement of the weighted votes",
    "Your agreement uses c · û, the votes as weighted in the sum. Agreement is û · v: what the input capsule says, "
    "however much it is listened to.",
)
def weighted_agreement(votes, iterations):
    return _routed(votes, iterations, grow=lambda b, votes, v, s: b + _shares(b) * _agreement(votes, v))


@route.misconception(
    "summed over the output capsules",
    "Your sum runs over the output capsules (axis 2), so there is a vector for each input capsule. s_j adds up the "
    "input capsules' votes for j: sum over axis 1.",
)
def summed_over_outputs(votes, iterations):
    b = np.zeros(votes.shape[:3], np.float32)
    for _ in range(iterations):
        v = library_squash((_shares(b)[..., None] * votes).sum(axis=2))  # (N, I, Q)
        b = b + (votes * v[:, :, None]).sum(axis=3)
    return v


# --- the gradient of routing --------------------------------------------------------------------------------


def _upstream_and_votes(rng: np.random.Generator) -> list[Case]:
    def case(n, i, j, q, iterations):
        return Case(real(rng.normal(size=(n, j, q))), real(rng.normal(size=(n, i, j, q))), iterations)

    return [
        Case(real([[[1, 0], [0, 2]]]), real(SMALL_VOTES), 1),
        Case(real([[[1, 0], [0, 2]]]), real(SMALL_VOTES), 2),
        case(2, 4, 3, 5, 2),
        case(3, 5, 2, 4, 3),
        case(2, 3, 3, 3, 4),
    ]


def _routing_gradient(g, votes, iterations):
    votes = Tensor(votes, requires_grad=True)
    return grad((dynamic_routing(votes, iterations=iterations) * g).sum(), votes)


routing_gradient = Task(
    name="10.routing_gradient",
    title="The gradient through routing",
    difficulty=5,
    minutes=45,
    practises="backpropagation through a loop, as through an RNN",
    reference=_routing_gradient,
    inputs=_upstream_and_votes,
    returns=("d_votes",),
    hints=[
        "Backward, the last iteration comes first. Keep two running sums, `d_votes` and `d_logits`, zeros at the "
        "start. In each iteration: from g through squash to s; from s to the votes and to c; from c through softmax to "
        "the logits.",
        "s = Σ c · û gives two: `d_votes += c[..., None] * d_s[:, None]` and "
        "`d_c = (votes * d_s[:, None]).sum(axis=3)`. Softmax gives "
        "`d_logits += c * (d_c - (c * d_c).sum(axis=2, keepdims=True))`.",
        "The logits had grown by û · v of the iteration before. So if t > 0: "
        "`d_votes += d_logits[..., None] * trace.v[t - 1][:, None]`, and the g of iteration t - 1 is "
        "`(d_logits[..., None] * votes).sum(axis=1)`.",
    ],
)


def _jacobian(c, d_c):
    return c * (d_c - (c * d_c).sum(axis=2, keepdims=True))


def _through_squash(g, s):
    return squash_gradient(g, s, -1)


def _backward(
    g,
    votes,
    iterations,
    *,
    squash=_through_squash,  # from g and s to d_s
    softmax=_jacobian,  # from c and d_c to what the logits get
    direct=True,  # whether c · d_s counts in all iterations, or in the last alone
    agree=True,  # whether d_logits reaches the votes
    carry=1,  # how much of d_logits is carried from iteration t + 1 to t
    updates=99,  # through how many updates of the logits the way back goes
    upstream=0,  # how much of the loss's g enters in each earlier iteration
    seen=-1,  # the logits of iteration t had grown by v of t + seen
):
    """The right way back with one of its parts replaced."""
    trace, of_loss = routing_trace(votes, iterations=iterations), g
    d_votes, d_logits = np.zeros(votes.shape), np.zeros(votes.shape[:3])
    for t in reversed(range(iterations)):
        d_s = squash(g, trace.s[t])
        if direct or t == iterations - 1:
            d_votes += trace.couplings[t][..., None] * d_s[:, None]
        if t == 0 or iterations - t > updates:
            break
        d_logits = carry * d_logits + softmax(trace.couplings[t], (votes * d_s[:, None]).sum(axis=3))
        if agree:
            d_votes += d_logits[..., None] * trace.v[t + seen][:, None]
        g = (d_logits[..., None] * votes).sum(axis=1) + upstream * of_loss
    return d_votes


@routing_gradient.misconception(
    "stop-gradient",
    "Your output is the gradient for constant couplings, c · d_s of the last iteration. That is called stop-gradient, "
    "and it is an approximation: the couplings were made from the votes, so the way back leads through all iterations.",
)
def stop_gradient(g, votes, iterations):
    return _backward(g, votes, iterations, updates=0)


@routing_gradient.misconception(
    "couplings constant, outputs weighted by c",
    "Your output is g times the last couplings: neither the slope of squash nor the way back through the couplings is "
    "in it. First go from g through squash to d_s.",
)
def only_weighted(g, votes, iterations):
    return _backward(g, votes, iterations, updates=0, squash=lambda g, s: g)


@routing_gradient.misconception(
    "softmax slope missing",
    "You add d_c to d_logits as it is: the slope of softmax is missing. Raising one logit lowers the other couplings: "
    "`c * (d_c - (c * d_c).sum(axis=2, keepdims=True))`.",
)
def no_softmax_slope(g, votes, iterations):
    return _backward(g, votes, iterations, softmax=lambda c, d_c: d_c)


@routing_gradient.misconception(
    "softmax slope incomplete",
    "Your slope of softmax is c (1 - c): what a coupling's own logit does to it. Each logit also lowers the other "
    "couplings of its input capsule: `c * (d_c - (c * d_c).sum(axis=2, keepdims=True))`.",
)
def only_the_diagonal(g, votes, iterations):
    return _backward(g, votes, iterations, softmax=lambda c, d_c: c * (1 - c) * d_c)


@routing_gradient.misconception(
    "softmax slope incomplete",
    "Your slope of softmax is c · d_c: what all couplings of an input capsule lose together is not taken off. It is "
    "`c * (d_c - (c * d_c).sum(axis=2, keepdims=True))`.",
)
def nothing_taken_off(g, votes, iterations):
    return _backward(g, votes, iterations, softmax=lambda c, d_c: c * d_c)


@routing_gradient.misconception(
    "softmax slope over the inputs",
    "Your slope of softmax sums over the input capsules (axis 1). The couplings of one input capsule sum to 1 over the "
    "output capsules, so the sum of its slope is over axis 2.",
)
def slope_over_the_inputs(g, votes, iterations):
    return _backward(g, votes, iterations, softmax=lambda c, d_c: c * (d_c - (c * d_c).sum(axis=1, keepdims=True)))


@routing_gradient.misconception(
    "early iterations dropped",
    "Your c · d_s comes from the last iteration only. The votes were weighted and summed in every iteration: add up "
    "c · d_s of all of them.",
)
def direct_part_of_the_last_only(g, votes, iterations):
    return _backward(g, votes, iterations, direct=False)


@routing_gradient.misconception(
    "early iterations dropped",
    "Your way back ends after one update of the logits. It goes on through every iteration, down to the first.",
)
def one_update_back(g, votes, iterations):
    return _backward(g, votes, iterations, updates=1, direct=False)


@routing_gradient.misconception(
    "early iterations dropped",
    "Your way back ends in the last iteration but one. It goes on through every iteration, down to the first.",
)
def two_iterations_back(g, votes, iterations):
    return _backward(g, votes, iterations, updates=1)


@routing_gradient.misconception(
    "d_votes overwritten",
    "Your d_votes is overwritten in every turn of the loop, so only the part of the first iteration is left. The votes "
    "are used in every iteration: add up, `+=`.",
)
def overwritten(g, votes, iterations):
    trace, d_logits = routing_trace(votes, iterations=iterations), np.zeros(votes.shape[:3])
    for t in reversed(range(iterations)):
        c, d_s = trace.couplings[t], _through_squash(g, trace.s[t])
        d_votes = c[..., None] * d_s[:, None]
        d_logits = d_logits + _jacobian(c, (votes * d_s[:, None]).sum(axis=3))
        g = (d_logits[..., None] * votes).sum(axis=1)
    return d_votes


@routing_gradient.misconception(
    "logits not carried back",
    "Your d_logits starts anew in every iteration. The new logits are the old ones plus the agreement, so what arrives "
    "at the new ones goes on to the old ones, too: `d_logits +=`.",
)
def not_carried(g, votes, iterations):
    return _backward(g, votes, iterations, carry=0)


@routing_gradient.misconception(
    "way through v missing",
    "In the agreement û · v you go back to û only. v was made from the votes as well: the g of the iteration before is "
    "`(d_logits[..., None] * votes).sum(axis=1)`.",
)
def v_is_constant(g, votes, iterations):
    trace, d_logits = routing_trace(votes, iterations=iterations), np.zeros(votes.shape[:3])
    d_votes = _backward(g, votes, iterations, updates=0)
    d_s = _through_squash(g, trace.s[-1])
    d_logits = _jacobian(trace.couplings[-1], (votes * d_s[:, None]).sum(axis=3))
    for t in range(iterations - 1):
        d_votes += d_logits[..., None] * trace.v[t][:, None]
    return d_votes


@routing_gradient.misconception(
    "way to the votes missing",
    "In the agreement û · v you go back to v only. û is a factor, too: `d_votes += d_logits[..., None] * v[:, None]`, "
    "with v of the iteration before.",
)
def votes_in_agreement_constant(g, votes, iterations):
    return _backward(g, votes, iterations, agree=False)


@routing_gradient.misconception(
    "squash left out",
    "You take g for d_s: the slope of squash is missing in every iteration. g belongs to v; `squash_backward(g, s)` "
    "brings it to s.",
)
def no_squash_slope(g, votes, iterations):
    return _backward(g, votes, iterations, squash=lambda g, s: g)


@routing_gradient.misconception(
    "squash as a constant factor",
    "You multiply g by n / (1 + n²), as if that factor were constant. It changes with s, too: `squash_backward(g, s)` "
    "has both parts.",
)
def constant_squash_factor(g, votes, iterations):
    return _backward(g, votes, iterations, squash=lambda g, s: g * _length(s) / (1 + _length(s) ** 2))


@routing_gradient.misconception(
    "squash at v instead of s",
    "You take the slope of squash at v. Squash is a function of s: its slope is taken at `trace.s[t]`.",
)
def squash_slope_at_v(g, votes, iterations):
    return _backward(g, votes, iterations, squash=lambda g, s: _through_squash(g, library_squash(s)))


@routing_gradient.misconception(
    "v of the wrong iteration",
    "You multiply d_logits by v of the same iteration. These logits had grown before, by û · v of the iteration "
    "before: `trace.v[t - 1]`.",
)
def v_of_the_same_iteration(g, votes, iterations):
    return _backward(g, votes, iterations, seen=0)


@routing_gradient.misconception(
    "first logits get a part",
    "You go back from the logits of the first iteration, too. They are zeros, made from nothing (and `trace.v[-1]` is "
    "the last v, not one before the first): stop at t = 0.",
)
def past_the_first(g, votes, iterations):
    trace, (d_votes, d_logits) = routing_trace(votes, iterations=iterations), (0, 0)
    for t in reversed(range(iterations)):
        c, d_s = trace.couplings[t], _through_squash(g, trace.s[t])
        d_logits = d_logits + _jacobian(c, (votes * d_s[:, None]).sum(axis=3))
        d_votes = d_votes + c[..., None] * d_s[:, None] + d_logits[..., None] * trace.v[t - 1][:, None]
        g = (d_logits[..., None] * votes).sum(axis=1)
    return d_votes


@routing_gradient.misconception(
    "g of the loss in every iteration",
    "You add the loss's g in every iteration. The loss sees only the last v; the earlier ones are seen by the logits "
    "alone.",
)
def g_every_time(g, votes, iterations):
    return _backward(g, votes, iterations, upstream=1)


@routing_gradient.misconception(
    "the same g in every iteration",
    "You use the loss's g as it is in every iteration. It belongs to the last v; an earlier v is seen by the logits "
    "alone, so its g is `(d_logits[..., None] * votes).sum(axis=1)`.",
)
def the_same_g(g, votes, iterations):
    trace, (d_votes, d_logits) = routing_trace(votes, iterations=iterations), (0, 0)
    for t in reversed(range(iterations)):
        c, d_s = trace.couplings[t], _through_squash(g, trace.s[t])
        d_votes = d_votes + c[..., None] * d_s[:, None]
        d_logits = d_logits + _jacobian(c, (votes * d_s[:, None]).sum(axis=3))
        d_votes = d_votes + d_logits[..., None] * trace.v[t - 1][:, None] * (t > 0)
    return d_votes


@routing_gradient.misconception(
    "g left out",
    "Your gradient is right if g is 1 everywhere. What arrives from the loss is g: start from it.",
)
def g_left_out(g, votes, iterations):
    return _routing_gradient(np.ones_like(g), votes, iterations)


@routing_gradient.misconception(
    "summed over the batch",
    "You add up over the images. Each image's votes have gradients of their own: d_votes has the shape of the votes.",
)
def summed_over_the_batch(g, votes, iterations):
    return _routing_gradient(g, votes, iterations).sum(axis=0)


TASKS = (squash, face_votes, couplings, route, routing_gradient)
