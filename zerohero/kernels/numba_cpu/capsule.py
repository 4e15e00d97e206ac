"""The capsule layer, forward and backward, without votes in memory: they are made anew, in cache, whenever needed.

The votes of 128 digits weigh 94 MB, but what makes them weighs 11: û_ij = u_i W_ij. So every iteration sweeps once
over the input capsules and makes the votes of one capsule i for as many examples as a register has lanes (16): 10 kB,
which stay in the first-level cache beside W_i. Their logits need no memory either: after the outputs v⁰ … vᵗ⁻¹ they
are bᵗ_ij = û_ij · (v⁰_j + … + vᵗ⁻¹_j). In memory are only u, W, one state s for each iteration, and for the gradient
a few numbers for each pair (i, j).

All arrays in this file end in an axis of lanes: neighbouring examples, zeros after the last. A tile is that many
examples. Sums over i are made in a fixed number of shares, and these are added in their order: the same bits for any
number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero.kernels.numba_cpu.compiling import compiled
from zerohero.kernels.numba_cpu.lanes import (
    empty_lanes,
    exponential,
    in_lanes,
    lanes_of,
    maximum,
    root,
    scratch,
    total,
    zero,
)
from zerohero.kernels.numba_cpu.threads import share
from zerohero.ops.capsule import capsule_layer, capsule_layer_gradient

SHARES = 16  # of the input capsules
LEAST = 8  # capsules in a share
BLOCK = 64  # examples whose gradients are made together: what is kept for each pair (i, j) stays below 12 MB


@capsule_layer.kernel("numba")
def capsule_layer_numba(u, weight, bias, iterations, stop_gradient, save):
    if not _takes(u, weight, bias):
        return NotImplemented
    (n, capsules, numbers), (parents, size) = u.shape, weight.shape[2:]
    layer = _plain(weight)
    x = _to_lanes(_plain(u).reshape(n, capsules * numbers)).reshape(-1, capsules, numbers, lanes_of(u.dtype))
    sums = empty_lanes((_shares(capsules), len(x), parents, size), u.dtype)
    s, v, agreed = empty_lanes((3, len(x), parents, size), u.dtype)
    agreed[:] = 0  # v⁰ + … + vᵗ⁻¹
    shift = np.zeros((parents, size), u.dtype) if bias is None else _plain(bias)
    states = np.empty((iterations, n, parents, size), u.dtype)
    for t in range(iterations):
        if t == 0:
            share(_all_votes, sums.shape[0] * len(x), x, layer, sums)
        else:
            share(_routed_votes, sums.shape[0] * len(x), x, layer, agreed, sums)
        _output(sums, shift, 1 / parents if t == 0 else 1.0, s, v, agreed)
        _from_lanes(s.reshape(len(x), parents * size, -1), states[t].reshape(n, parents * size))
    if save:
        save(s=states)
    outputs = np.empty((n, parents, size), u.dtype)
    _from_lanes(v.reshape(len(x), parents * size, -1), outputs.reshape(n, parents * size))
    return outputs


@capsule_layer_gradient.kernel("numba")
def capsule_layer_gradient_numba(grad, u, weight, bias, s, stop_gradient, needs):
    if not _takes(u, weight, bias, grad):
        return NotImplemented
    grad, u, layer = _plain(grad), _plain(u), _plain(weight)
    d_u = np.empty_like(u)
    d_weight = np.zeros_like(layer) if "weight" in needs else np.empty((0, *layer.shape[1:]), layer.dtype)
    d_bias = np.zeros(weight.shape[2:], u.dtype)
    for start in range(0, len(u), BLOCK):
        block = slice(start, start + BLOCK)
        d_bias += _block_gradient(grad[block], u[block], layer, s[:, block], stop_gradient, d_u[block], d_weight)
    return d_u, d_weight if "weight" in needs else None, None if bias is None else d_bias


def _block_gradient(grad, u, weight, s, stop_gradient, d_u, d_weight):
    """The gradient of some examples: that of u is written, that of weight added to, that of bias returned."""
    (n, capsules, numbers), (parents, size) = u.shape, weight.shape[2:]
    last, dtype = len(s) - 1, u.dtype
    x = _to_lanes(u.reshape(n, capsules * numbers)).reshape(-1, capsules, numbers, lanes_of(dtype))
    tiles = len(x)
    grid = tiles, parents, size
    g = _to_lanes(grad.reshape(n, parents * size)).reshape(*grid, -1)
    first = last if stop_gradient else 0  # the earliest iteration that the gradient reaches
    # ∂û_ij = Σₜ cᵗ_ij ∂sᵗ_j + ∂bᵗ_ij vᵗ⁻¹_j: all of it is kept as these factors, in pairs, the latest iteration first
    pairs = 1 if stop_gradient and last else last
    vectors, factors = empty_lanes((pairs, 2, *grid), dtype), empty_lanes((pairs, 2, tiles, capsules, parents), dtype)
    sums = empty_lanes((_shares(capsules), *grid), dtype)
    d_bias = np.zeros((parents, size), dtype)
    states, outputs, d_s, agreed, rest = *empty_lanes((2, last + 1, *grid), dtype), *empty_lanes((3, *grid), dtype)
    for t in range(last + 1):
        states[t] = _to_lanes(s[t].reshape(n, parents * size)).reshape(*grid, -1)
        _squash(states[t], outputs[t])
    for t in reversed(range(first, last + 1)):
        _squash_gradient(g, states[t], d_s)
        d_bias += d_s.sum((0, 3))
        if t == 0:
            break
        outputs[:t].sum(0, out=agreed)
        pair, before = last - t, max(last - t - 1, 0)
        vectors[pair, 0], vectors[pair, 1] = d_s, outputs[t - 1]
        share(_route_back, sums.shape[0] * tiles, x, weight, agreed, d_s, factors[pair], factors[before, 1], sums,
              t == last)  # fmt: skip
        sums.sum(0, out=g)
    if first:  # couplings are constants, and so are all earlier outputs
        vectors[0, 1], rest[:] = 0, 0
    else:  # of the first iteration, whose couplings are constants
        np.divide(d_s, parents, out=rest)
    d_x = empty_lanes((tiles, capsules, numbers), dtype)
    share(_votes_back, _shares(capsules), x, weight, rest, vectors, factors, d_x, d_weight)
    _from_lanes(d_x.reshape(tiles, capsules * numbers, -1), d_u.reshape(n, capsules * numbers))
    return d_bias


def _takes(u, *others) -> bool:
    """Whether there are examples, and one dtype; a mixture is left to NumPy's rules."""
    return len(u) > 0 and all(other is None or other.dtype == u.dtype for other in others)


def _plain(array) -> Any:
    """As the kernels are compiled for: contiguous, aligned, and of a type that might be written to."""
    return np.require(array, requirements=("C", "A", "W"))


def _shares(capsules: int) -> int:
    return max(1, min(SHARES, capsules // LEAST))


# ---- into lanes and back ----------------------------------------------------------------------------------


def _to_lanes(rows):
    """(N, K) → (tiles, K, lanes)."""
    n, columns = rows.shape
    lanes = lanes_of(rows.dtype)
    full = n // lanes
    tiled = empty_lanes((-(-n // lanes), columns), rows.dtype)
    tiled[full:] = 0

    def copy(start, stop):
        whole = rows[: full * lanes, start:stop]
        tiled[:full, start:stop] = whole.reshape(full, lanes, stop - start).swapaxes(1, 2)

    share(copy, columns)
    if full < len(tiled):
        tiled[full, :, : n - full * lanes] = rows[full * lanes :].T
    return tiled


def _from_lanes(tiled, rows):
    """(tiles, K, lanes) → (N, K), written to `rows`."""
    n, columns = rows.shape
    lanes = tiled.shape[2]
    full = n // lanes

    def copy(start, stop):
        whole = rows[: full * lanes, start:stop].reshape(full, lanes, stop - start)
        whole[:] = tiled[:full, start:stop].swapaxes(1, 2)

    share(copy, columns)
    if full < len(tiled):
        rows[full * lanes :] = tiled[full, :, : n - full * lanes].T


# ---- forward ----------------------------------------------------------------------------------------------


@compiled
def _all_votes(start, stop, u, weight, sums):
    """The first iteration, where all couplings are equal: Σ_i û_ij is a product of matrices, J·Q × I·P × lanes."""
    shares, tiles = sums.shape[:2]
    capsules, numbers, parents, size = weight.shape
    columns = parents * size
    table = weight.reshape(capsules * numbers, columns)
    for unit in range(start, stop):
        part, tile = unit // tiles, unit % tiles
        begin, end = capsules * part // shares * numbers, capsules * (part + 1) // shares * numbers
        x = in_lanes(u.reshape(tiles, capsules * numbers, -1)[tile, begin:end])
        rows = table[begin:end]
        s = in_lanes(sums.reshape(shares, tiles, columns, -1)[part, tile])
        for k in range(0, columns - 7, 8):  # eight sums in registers share each x that is read
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero(x[0])
            for r in range(len(x)):
                one = x[r]
                s0 += rows[r, k] * one
                s1 += rows[r, k + 1] * one
                s2 += rows[r, k + 2] * one
                s3 += rows[r, k + 3] * one
                s4 += rows[r, k + 4] * one
                s5 += rows[r, k + 5] * one
                s6 += rows[r, k + 6] * one
                s7 += rows[r, k + 7] * one
            s[k], s[k + 1], s[k + 2], s[k + 3] = s0, s1, s2, s3
            s[k + 4], s[k + 5], s[k + 6], s[k + 7] = s4, s5, s6, s7
        for k in range(columns - columns % 8, columns):
            s0 = zero(x[0])
            for r in range(len(x)):
                s0 += rows[r, k] * x[r]
            s[k] = s0


@compiled
def _routed_votes(start, stop, u, weight, agreed, sums):
    """A later iteration: Σ_i c_ij û_ij with c = softmax of b_ij = û_ij · agreed_j."""
    shares, tiles = sums.shape[:2]
    capsules, numbers, parents, size = weight.shape
    room = scratch(parents * size + parents, u)
    votes, couplings = in_lanes(room[: parents * size].reshape(parents, size, -1)), in_lanes(room[parents * size :])
    for unit in range(start, stop):
        part, tile = unit // tiles, unit % tiles
        x, direction, s = in_lanes(u)[tile], in_lanes(agreed)[tile], in_lanes(sums)[part, tile]
        _clear(s)
        for i in range(capsules * part // shares, capsules * (part + 1) // shares):
            _vote(x[i], weight[i], votes)
            _agree(votes, direction, couplings)
            _softmax(couplings)
            _add_weighted(couplings, votes, s)


@compiled
def _vote(u, weight, votes):
    """û_jq = Σ_p W_pjq u_p. Eight u stay in registers, and each W is read once for all lanes."""
    numbers, parents, size = weight.shape
    for p in range(0, numbers - 7, 8):
        u0, u1, u2, u3, u4, u5, u6, u7 = u[p], u[p + 1], u[p + 2], u[p + 3], u[p + 4], u[p + 5], u[p + 6], u[p + 7]
        for j in range(parents):
            for q in range(size):
                vote = weight[p, j, q] * u0 + weight[p + 1, j, q] * u1
                vote += weight[p + 2, j, q] * u2 + weight[p + 3, j, q] * u3
                vote += weight[p + 4, j, q] * u4 + weight[p + 5, j, q] * u5
                vote += weight[p + 6, j, q] * u6 + weight[p + 7, j, q] * u7
                votes[j, q] = vote + votes[j, q] if p else vote
    for p in range(numbers - numbers % 8, numbers):
        u0 = u[p]
        for j in range(parents):
            for q in range(size):
                votes[j, q] = weight[p, j, q] * u0 + votes[j, q] if p else weight[p, j, q] * u0


@compiled
def _agree(votes, direction, logits):
    """b_j = û_j · direction_j."""
    parents, size = votes.shape
    for j in range(parents):
        b = votes[j, 0] * direction[j, 0]
        for q in range(1, size):
            b += votes[j, q] * direction[j, q]
        logits[j] = b


@compiled
def _softmax(c):
    top = c[0]
    for j in range(1, len(c)):
        top = maximum(top, c[j])
    norm = zero(top)
    for j in range(len(c)):
        c[j] = exponential(c[j] - top)
        norm += c[j]
    norm = 1.0 / norm
    for j in range(len(c)):
        c[j] = c[j] * norm


@compiled
def _add_weighted(c, votes, s):
    """s_j += c_j û_j."""
    parents, size = votes.shape
    for j in range(parents):
        c_j = c[j]
        for q in range(size):
            s[j, q] += c_j * votes[j, q]


@compiled
def _clear(s):
    nothing = zero(s[0, 0])
    for j in range(len(s)):
        for q in range(s.shape[1]):
            s[j, q] = nothing


@compiled
def _output(sums, bias, scale, s, v, agreed):
    """The end of an iteration: s from its shares, v from s, and v added to what logits are made with."""
    shares, tiles, parents, size, lanes = sums.shape
    for tile in range(tiles):
        parts, state = in_lanes(sums), in_lanes(s)[tile]
        for j in range(parents):
            for q in range(size):
                each = parts[0, tile, j, q]
                for part in range(1, shares):
                    each += parts[part, tile, j, q]
                state[j, q] = each * scale + bias[j, q]
    _squash(s, v)
    for tile in range(tiles):
        direction, output = in_lanes(agreed)[tile], in_lanes(v)[tile]
        for j in range(parents):
            for q in range(size):
                direction[j, q] += output[j, q]


@compiled
def _squash(s, v):
    """As `squash`, with the vectors along the axis before the last."""
    tiles, parents, size, lanes = s.shape
    for tile in range(tiles):
        vector, shrunk = in_lanes(s)[tile], in_lanes(v)[tile]
        for j in range(parents):
            square = vector[j, 0] * vector[j, 0]
            for q in range(1, size):
                square += vector[j, q] * vector[j, q]
            factor = root(square) / (square + 1.0)
            for q in range(size):
                shrunk[j, q] = vector[j, q] * factor


# ---- backward ---------------------------------------------------------------------------------------------


@compiled
def _squash_gradient(grad, s, d_s):
    tiles, parents, size, lanes = s.shape
    for tile in range(tiles):
        g, vector, d = in_lanes(grad)[tile], in_lanes(s)[tile], in_lanes(d_s)[tile]
        for j in range(parents):
            square = vector[j, 0] * vector[j, 0]
            aligned = vector[j, 0] * g[j, 0]
            for q in range(1, size):
                square += vector[j, q] * vector[j, q]
                aligned += vector[j, q] * g[j, q]
            n = root(square)
            spread = square + 1.0
            nonzero = maximum(n, zero(n) + 1e-30)  # where n is 0, s is, too
            slope = (1.0 - square) / (nonzero * spread * spread) * aligned
            for q in range(size):
                d[j, q] = g[j, q] * (n / spread) + vector[j, q] * slope


@compiled
def _route_back(start, stop, u, weight, agreed, d_s, factors, d_after, sums, is_last):
    """Back through one iteration: its couplings c, ∂b from ∂c_ij = û_ij · ∂s_j, and Σ_i ∂b_ij û_ij, the gradient of the
    output before it. ∂b flows on to all earlier iterations, so that of the one after is added."""
    shares, tiles = sums.shape[:2]
    capsules, numbers, parents, size = weight.shape
    room = scratch(parents * size + parents, u)
    votes, d_c = in_lanes(room[: parents * size].reshape(parents, size, -1)), in_lanes(room[parents * size :])
    for unit in range(start, stop):
        part, tile = unit // tiles, unit % tiles
        x, direction, d_state = in_lanes(u)[tile], in_lanes(agreed)[tile], in_lanes(d_s)[tile]
        all_c, all_d_logits, after = in_lanes(factors)[0, tile], in_lanes(factors)[1, tile], in_lanes(d_after)[tile]
        g = in_lanes(sums)[part, tile]
        _clear(g)
        for i in range(capsules * part // shares, capsules * (part + 1) // shares):
            c, d_logits = all_c[i], all_d_logits[i]
            _vote(x[i], weight[i], votes)
            _agree(votes, direction, c)
            _softmax(c)
            _agree(votes, d_state, d_c)
            mean = c[0] * d_c[0]
            for j in range(1, parents):
                mean += c[j] * d_c[j]
            for j in range(parents):
                d = c[j] * (d_c[j] - mean)
                d_logits[j] = d if is_last else d + after[i, j]
            _add_weighted(d_logits, votes, g)


@compiled
def _votes_back(start, stop, u, weight, rest, vectors, factors, d_u, d_weight):
    """∂û from its factors, for one input capsule and all tiles; from it ∂u_p = Σ_jq W_pjq ∂û_jq, and ∂W_pjq, the sum
    of u_p ∂û_jq over the examples. A thread has input capsules of its own, so that no two add to the same ∂W."""
    capsules, numbers, parents, size = weight.shape
    tiles, pairs, shares = len(u), len(vectors), max(1, min(SHARES, capsules // LEAST))
    d_votes = in_lanes(scratch(tiles * parents * size, u).reshape(tiles, parents, size, -1))
    x, base, vector, factor, d_x = in_lanes(u), in_lanes(rest), in_lanes(vectors), in_lanes(factors), in_lanes(d_u)
    for i in range(capsules * start // shares, capsules * stop // shares):
        for tile in range(tiles):
            for pair in range(pairs):
                _add_pair(base[tile] if pair == 0 else d_votes[tile], factor[pair, 0, tile, i], vector[pair, 0, tile],
                          factor[pair, 1, tile, i], vector[pair, 1, tile], d_votes[tile])  # fmt: skip
            if pairs == 0:
                d_votes[tile] = base[tile]
            _d_u(weight[i], d_votes[tile], d_x[tile, i])
        if len(d_weight):
            _d_weight(x[:, i], d_votes, d_weight[i])


@compiled
def _add_pair(base, c, x, d, y, out):
    parents, size = out.shape
    for j in range(parents):
        c_j, d_j = c[j], d[j]
        for q in range(size):
            out[j, q] = base[j, q] + c_j * x[j, q] + d_j * y[j, q]


@compiled
def _d_u(weight, d_votes, d_u):
    numbers, parents, size = weight.shape
    for p in range(0, numbers - 7, 8):
        u0 = u1 = u2 = u3 = u4 = u5 = u6 = u7 = zero(d_votes[0, 0])
        for j in range(parents):
            for q in range(size):
                d = d_votes[j, q]
                u0 += weight[p, j, q] * d
                u1 += weight[p + 1, j, q] * d
                u2 += weight[p + 2, j, q] * d
                u3 += weight[p + 3, j, q] * d
                u4 += weight[p + 4, j, q] * d
                u5 += weight[p + 5, j, q] * d
                u6 += weight[p + 6, j, q] * d
                u7 += weight[p + 7, j, q] * d
        d_u[p], d_u[p + 1], d_u[p + 2], d_u[p + 3] = u0, u1, u2, u3
        d_u[p + 4], d_u[p + 5], d_u[p + 6], d_u[p + 7] = u4, u5, u6, u7
    for p in range(numbers - numbers % 8, numbers):
        u0 = zero(d_votes[0, 0])
        for j in range(parents):
            for q in range(size):
                u0 += weight[p, j, q] * d_votes[j, q]
        d_u[p] = u0


@compiled
def _d_weight(u, d_votes, d_weight):
    """Tiles of 4 × 2 entries of W, so that what is read serves several of the sums in registers; their lanes are
    summed at the end, after all examples of the block."""
    numbers, parents, size = d_weight.shape
    fours, twos = numbers - numbers % 4, size - size % 2
    for p in range(0, numbers - 3, 4):
        for j in range(parents):
            for q in range(0, size - 1, 2):
                a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero(u[0, 0])
                for tile in range(len(u)):
                    u0, u1, u2, u3 = u[tile, p], u[tile, p + 1], u[tile, p + 2], u[tile, p + 3]
                    a, b = d_votes[tile, j, q], d_votes[tile, j, q + 1]
                    a0 += u0 * a
                    a1 += u1 * a
                    a2 += u2 * a
                    a3 += u3 * a
                    b0 += u0 * b
                    b1 += u1 * b
                    b2 += u2 * b
                    b3 += u3 * b
                d_weight[p, j, q] += total(a0)
                d_weight[p + 1, j, q] += total(a1)
                d_weight[p + 2, j, q] += total(a2)
                d_weight[p + 3, j, q] += total(a3)
                d_weight[p, j, q + 1] += total(b0)
                d_weight[p + 1, j, q + 1] += total(b1)
                d_weight[p + 2, j, q + 1] += total(b2)
                d_weight[p + 3, j, q + 1] += total(b3)
    for p in range(numbers):
        for j in range(parents):
            for q in range(twos if p < fours else 0, size):  # what no tile covers
                a0 = zero(u[0, 0])
                for tile in range(len(u)):
                    a0 += u[tile, p] * d_votes[tile, j, q]
                d_weight[p, j, q] += total(a0)
