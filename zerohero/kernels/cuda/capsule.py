"""Capsules on the GPU: squash, and a capsule layer that never stores the votes, forward and backward.

The votes û = u W of 128 digits take 94 MB at the paper's size. To compute one of their numbers again costs eight
multiplications and no memory beyond u and W, which are small: so each kernel computes the votes that it needs, in
registers, and lets them go. Routing needs no other array over the input capsules: the logits are b_ij = û_ij · V_j,
where V is the sum of all v so far. Here the examples are the last axis of every array, since neighbouring threads are
about neighbouring examples: what a warp reads then lies side by side in memory.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from numba import cuda

from zerohero.kernels.cuda import products
from zerohero.kernels.cuda.launching import SHARED_BYTES, launch, launch_each
from zerohero.operation import array_module
from zerohero.ops.capsule import capsule_layer, capsule_layer_gradient, squash, squash_gradient

# A block has a thread for each (example, output capsule) of so many examples: the first number that fits. 32 is a warp:
# its threads then hold the same output capsule, so that they read the same weights, which comes at the price of one.
EXAMPLES = (32, 16, 8, 4)

# Input capsules that a block goes through: 72 blocks for 1,152, times 4 for 128 examples, keep 132 processors busy.
# Fewer would cost more memory for the partial sums, which are added afterwards (always in the same order).
INPUTS = 16

MOST_THREADS = 1024  # in a block, on every GPU
LONGEST = 64  # numbers in an output capsule: each thread keeps a few vectors of this length in registers


# ---- squash ---------------------------------------------------------------------------------------------


@cuda.jit
def squash_kernel(s, v):
    """v = s · n / (1 + n²) for s (A, L, B), vectors along the middle axis. A thread squashes one vector."""
    outer, length, inner = s.shape
    vector = cuda.grid(1)
    if vector >= outer * inner:
        return
    a, b = vector // inner, vector % inner
    one = s.dtype.type(1)
    squares = s.dtype.type(0)
    for k in range(length):
        squares += s[a, k, b] * s[a, k, b]
    factor = math.sqrt(squares) / (one + squares)
    for k in range(length):
        v[a, k, b] = s[a, k, b] * factor


@cuda.jit
def squash_gradient_kernel(grad, s, d_s):
    """The gradient of `squash_kernel`; at s = 0 it is exactly 0."""
    outer, length, inner = s.shape
    vector = cuda.grid(1)
    if vector >= outer * inner:
        return
    a, b = vector // inner, vector % inner
    one = s.dtype.type(1)
    squares, aligned = s.dtype.type(0), s.dtype.type(0)
    for k in range(length):
        squares += s[a, k, b] * s[a, k, b]
        aligned += s[a, k, b] * grad[a, k, b]
    n = math.sqrt(squares)
    factor = n / (one + squares)
    slope = s.dtype.type(0)  # how the factor changes with the length
    if n > 0:
        slope = (one - squares) / (n * (one + squares) * (one + squares))
    for k in range(length):
        d_s[a, k, b] = grad[a, k, b] * factor + s[a, k, b] * slope * aligned


@squash.kernel("cupy")
def squash_cuda(s, axis):
    vectors, count = _as_vectors(s, axis)
    v = array_module(s).empty_like(vectors)
    launch_each(squash_kernel, count, vectors, v)
    return v.reshape(s.shape)


@squash_gradient.kernel("cupy")
def squash_gradient_cuda(grad, s, axis):
    if grad.dtype != s.dtype:
        return NotImplemented
    vectors, count = _as_vectors(s, axis)
    d_s = array_module(s).empty_like(vectors)
    launch_each(squash_gradient_kernel, count, _as_vectors(grad, axis)[0], vectors, d_s)
    return d_s.reshape(s.shape)


def _as_vectors(s, axis: int) -> tuple[Any, int]:
    """s as (A, L, B) with its vectors along the middle axis, and how many they are."""
    outer, inner = math.prod(s.shape[:axis]), math.prod(s.shape[axis + 1 :])
    return array_module(s).ascontiguousarray(s).reshape(outer, s.shape[axis], inner), outer * inner


# ---- a capsule layer ------------------------------------------------------------------------------------


class LayerKernels(NamedTuple):
    """The three kernels of a capsule layer, for one set of sizes."""

    sums: Any
    pull: Any
    gradients: Any


@functools.cache
def layer_kernels(inside: int, parents: int, outside: int, examples: int, dtype: Any) -> LayerKernels:
    """Kernels for votes of P → (J, Q) numbers, made for these sizes: what a thread keeps in registers, and what a
    block shares, has a size that is known when the kernel is compiled.

    Everywhere N examples, I input capsules of P = `inside` numbers, J = `parents` output capsules of Q = `outside`.
    A block is `examples` × J threads: thread (lane, j) is about one example and one output capsule.
    """
    P, J, Q = inside, parents, outside
    threads, size = examples * J, P * J * Q
    columns = -(-J * Q // threads)  # for d_weight a thread has so many columns of a capsule's weight ...
    groups = max(1, threads // (J * Q))
    rows = -(-P // groups)  # ... and so many rows, one below the other
    width = groups * rows  # P, rounded up
    batch, held = examples * width, columns * rows
    tile = (J * Q, examples + 1)  # an odd width, so that threads that read a column read from different banks

    @cuda.jit(device=True)
    def fetch(weight, i, shared, thread):
        """The weights of input capsule i, for all threads of the block: they are read much more often than once."""
        cuda.syncthreads()  # all are done with those before
        for k in range(thread, size, threads):
            shared[k] = weight[i, k]
        cuda.syncthreads()

    @cuda.jit(device=True)
    def compute_vote(u, weight, n, i, j, vote):
        """û_ij of example n = u_i W_ij, into registers."""
        for q in range(Q):
            vote[q] = 0
        for p in range(P):
            value = u[i, p, n]
            for q in range(Q):
                vote[q] += value * weight[p * J * Q + j * Q + q]

    @cuda.jit(device=True)
    def dot(vote, array, n, j):
        """û · array[j, :, n]."""
        total = dtype(0)
        for q in range(Q):
            total += vote[q] * array[j, q, n]
        return total

    @cuda.jit(device=True)
    def softmax(logit, board, lane, j):
        """The coupling from the logits of the J threads of an example, which see each other's on the board."""
        cuda.syncthreads()  # all have read what stood there
        board[j, lane] = logit
        cuda.syncthreads()
        largest = board[0, lane]
        for k in range(1, J):
            largest = max(largest, board[k, lane])
        total = dtype(0)
        for k in range(J):
            total += math.exp(board[k, lane] - largest)
        return math.exp(logit - largest) / total

    @cuda.jit(device=True)
    def total_over_parents(value, board, lane, j):
        """The sum of the values of the J threads of an example."""
        cuda.syncthreads()
        board[j, lane] = value
        cuda.syncthreads()
        total = dtype(0)
        for k in range(J):
            total += board[k, lane]
        return total

    @cuda.jit(device=True)
    def logit_gradient(vote, c, d_s, board, n, lane, j):
        """How the loss changes with the logit, through the softmax of one iteration: c (dc - Σ c dc)."""
        d_c = dot(vote, d_s, n, j)
        return c * (d_c - total_over_parents(c * d_c, board, lane, j))

    @cuda.jit
    def sums(u, weight, grown, partial):
        """Σ_i c_ij û_ij over INPUTS input capsules, c the softmax of û · grown. partial: (I / INPUTS, J, Q, N)."""
        shared = cuda.shared.array(size, dtype)
        board = cuda.shared.array((J, examples), dtype)
        vote, total = cuda.local.array(Q, dtype), cuda.local.array(Q, dtype)
        lane, j = cuda.threadIdx.x, cuda.threadIdx.y
        example, count = cuda.blockIdx.x * examples + lane, u.shape[2]
        n = min(example, count - 1)  # beyond the batch, threads repeat the last example: a barrier waits for all
        for q in range(Q):
            total[q] = 0
        first = cuda.blockIdx.y * INPUTS
        for i in range(first, min(first + INPUTS, len(u))):
            fetch(weight, i, shared, j * examples + lane)
            compute_vote(u, shared, n, i, j, vote)
            c = softmax(dot(vote, grown, n, j), board, lane, j)
            for q in range(Q):
                total[q] += c * vote[q]
        if example < count:
            for q in range(Q):
                partial[cuda.blockIdx.y, j, q, n] = total[q]

    @cuda.jit
    def pull(u, weight, grown, d_s, last, partial):
        """Σ_i db_ij û_ij over INPUTS input capsules: what v of iteration `last - 1` gets from the logits after it.

        db gathers the gradients of the logits of iterations T - 1 … last; grown and d_s are (T, J, Q, N).
        """
        shared = cuda.shared.array(size, dtype)
        board = cuda.shared.array((J, examples), dtype)
        vote, total = cuda.local.array(Q, dtype), cuda.local.array(Q, dtype)
        lane, j = cuda.threadIdx.x, cuda.threadIdx.y
        example, count = cuda.blockIdx.x * examples + lane, u.shape[2]
        n = min(example, count - 1)
        for q in range(Q):
            total[q] = 0
        first = cuda.blockIdx.y * INPUTS
        for i in range(first, min(first + INPUTS, len(u))):
            fetch(weight, i, shared, j * examples + lane)
            compute_vote(u, shared, n, i, j, vote)
            d_logit = dtype(0)
            for t in range(last, len(grown)):
                c = softmax(dot(vote, grown[t], n, j), board, lane, j)
                d_logit += logit_gradient(vote, c, d_s[t], board, n, lane, j)
            for q in range(Q):
                total[q] += d_logit * vote[q]
        if example < count:
            for q in range(Q):
                partial[cuda.blockIdx.y, j, q, n] = total[q]

    @cuda.jit
    def gradients(u, weight, grown, d_s, v, through, d_u, d_weight):
        """The gradients of u (I, P, N) and weight (I, P·J·Q). A block has one input capsule to itself.

        It goes through the batch tile by tile. The gradients of a tile's votes are shared, so that the threads can
        then change sides: for d_u a thread sums over J·Q for one number of one example, for d_weight it sums over
        the examples for a few weights. Only this block writes there: no atomics.
        """
        shared = cuda.shared.array(size, dtype)
        numbers = cuda.shared.array(batch, dtype)  # u of the tile, example by example
        board = cuda.shared.array((J, examples), dtype)
        d_votes = cuda.shared.array(tile, dtype)
        vote, d_vote = cuda.local.array(Q, dtype), cuda.local.array(Q, dtype)
        mine = cuda.local.array(held, dtype)
        i, lane, j = cuda.blockIdx.x, cuda.threadIdx.x, cuda.threadIdx.y
        count, thread = u.shape[2], j * examples + lane
        group, column = thread // (J * Q), thread % (J * Q)
        for e in range(held):
            mine[e] = 0
        fetch(weight, i, shared, thread)
        for start in range(0, count, examples):
            n = min(start + lane, count - 1)
            inside = min(examples, count - start)  # examples in this tile
            for p in range(j, width, J):
                numbers[lane * width + p] = u[i, min(p, P - 1), n]
            compute_vote(u, shared, n, i, j, vote)
            for q in range(Q):
                d_vote[q] = 0
            d_logit = dtype(0)
            for back in range(len(grown)):  # iterations, last first
                t = len(grown) - 1 - back
                c = softmax(dot(vote, grown[t], n, j), board, lane, j)
                for q in range(Q):
                    d_vote[q] += c * d_s[t, j, q, n]
                if not through or t == 0:
                    break  # the same for all threads of the block, as the barriers need it
                d_logit += logit_gradient(vote, c, d_s[t], board, n, lane, j)
                for q in range(Q):
                    d_vote[q] += d_logit * v[t - 1, j, q, n]  # logits had grown by û · v
            for q in range(Q):
                d_votes[j * Q + q, lane] = d_vote[q]
            cuda.syncthreads()
            for p in range(j, P, J):
                total = dtype(0)
                for k in range(J * Q):
                    total += shared[p * J * Q + k] * d_votes[k, lane]
                if lane < inside:
                    d_u[i, p, n] = total
            if group < groups:
                for a in range(columns):
                    k = min(column + a * threads, J * Q - 1)
                    for other in range(inside):
                        value = d_votes[k, other]
                        for r in range(rows):
                            mine[a * rows + r] += value * numbers[other * width + group * rows + r]
            cuda.syncthreads()  # all have read the tile before the next one is written
        if group < groups:
            for a in range(columns):
                for r in range(rows):
                    p, k = group * rows + r, column + a * threads
                    if p < P and k < J * Q:
                        d_weight[i, p * J * Q + k] = mine[a * rows + r]

    return LayerKernels(sums, pull, gradients)


@capsule_layer.kernel("cupy")
def capsule_layer_cuda(u, weight, bias, iterations, stop_gradient, save=None):
    """The first iteration is one matrix product, since all couplings are 1 / J; each later one is a launch."""
    layer, xp = _Layer.of(u, weight, bias), array_module(u)
    if layer is None:
        return NotImplemented
    (inputs, p, n), (_, _, parents, q) = layer.u.shape, weight.shape
    states = xp.empty((iterations, parents, q, n), u.dtype)
    product = products.matmul(layer.weight.reshape(inputs * p, parents * q).T, layer.u.reshape(inputs * p, n))
    states[0] = product.reshape(parents, q, n) / parents
    grown = xp.zeros((parents, q, n), u.dtype)  # the sum of all v so far
    for t, s in enumerate(states):
        if t:
            layer.over_inputs(layer.kernels.sums, grown, out=s)
        if bias is not None:
            s += bias[..., None]
        v = _squash(s[None])[0]
        if t < iterations - 1:
            grown += v
    if save:
        save(s=states.transpose(0, 3, 1, 2))  # (T, N, J, Q), as everybody saves it
    return xp.ascontiguousarray(v.transpose(2, 0, 1))


@capsule_layer_gradient.kernel("cupy")
def capsule_layer_gradient_cuda(grad, u, weight, bias, s, stop_gradient):
    layer, xp = _Layer.of(u, weight, bias), array_module(u)
    if layer is None:
        return NotImplemented
    s = xp.ascontiguousarray(s.transpose(0, 2, 3, 1))  # (T, J, Q, N), which it was
    v, d_s, grown = _squash(s), xp.zeros_like(s), xp.zeros_like(s)
    for t in range(1, len(s)):
        xp.add(grown[t - 1], v[t - 1], out=grown[t])  # the sum of all v before each iteration
    g = xp.ascontiguousarray(grad.astype(u.dtype, copy=False).transpose(1, 2, 0))
    for t in range(len(s) - 1, -1, -1):
        launch_each(squash_gradient_kernel, g.size // g.shape[1], g, s[t], d_s[t])
        if stop_gradient or t == 0:
            break
        layer.over_inputs(layer.kernels.pull, grown, d_s, t, out=(g := xp.empty_like(s[0])))
    d_u, d_weight = xp.empty_like(layer.u), xp.empty_like(layer.weight)
    launch(layer.kernels.gradients, len(d_weight), layer.threads, layer.u, layer.weight, grown, d_s, v,
           int(not stop_gradient), d_u, d_weight)  # fmt: skip
    d_bias = None if bias is None else d_s.sum((0, 3))
    return xp.ascontiguousarray(d_u.transpose(2, 0, 1)), d_weight.reshape(weight.shape), d_bias


def _squash(s):
    """squash of s (T, J, Q, N) along Q."""
    v = array_module(s).empty_like(s)
    launch_each(squash_kernel, s.size // s.shape[2], s.reshape(-1, *s.shape[2:]), v.reshape(-1, *s.shape[2:]))
    return v


class _Layer(NamedTuple):
    """The arrays of a layer as its kernels take them, and the kernels for their sizes."""

    u: Any  # (I, P, N): neighbouring threads have neighbouring examples, and read neighbouring numbers
    weight: Any  # (I, P·J·Q)
    kernels: LayerKernels
    threads: tuple[int, int]

    @classmethod
    def of(cls, u, weight, bias) -> _Layer | None:
        """None for what the kernels don't take: several dtypes, no examples, or capsules too many or too long."""
        inputs, p, parents, q = weight.shape
        several = len({array.dtype for array in (u, weight, bias) if array is not None}) > 1
        fitting = [e for e in EXAMPLES if _fits(e, p, parents, q, u.dtype.itemsize)]
        if several or not len(u) or q > LONGEST or not fitting:
            return None
        xp = array_module(u)
        kernels = layer_kernels(p, parents, q, fitting[0], u.dtype.type)
        flat = xp.ascontiguousarray(weight).reshape(inputs, p * parents * q)
        return cls(xp.ascontiguousarray(u.transpose(1, 2, 0)), flat, kernels, (fitting[0], parents))

    def over_inputs(self, kernel, *arguments, out):
        """Sums over all input capsules, (J, Q, N): a launch for parts of them, and the parts added up."""
        (inputs, _, n), (examples, _) = self.u.shape, self.threads
        blocks = (-(-n // examples), -(-inputs // INPUTS))
        partial = array_module(self.u).empty((blocks[1], *out.shape), self.u.dtype)
        launch(kernel, blocks, self.threads, self.u, self.weight, *arguments, partial)
        partial.sum(0, out=out)


def _fits(examples: int, p: int, parents: int, q: int, itemsize: int) -> bool:
    """Whether a block of so many examples has threads and shared memory enough."""
    votes, threads = parents * q * (examples + 1), examples * parents
    groups = max(1, threads // (parents * q))
    numbers = examples * groups * -(-p // groups)
    return threads <= MOST_THREADS and (votes + threads + p * parents * q + numbers) * itemsize <= SHARED_BYTES
