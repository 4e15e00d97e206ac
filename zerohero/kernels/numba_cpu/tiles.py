"""The product of two matrices, one tile of registers at a time; what is cut into tiles, and why, is in the callers."""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from zerohero.kernels.numba_cpu.compiling import compiled

_features = binding.get_host_cpu_features()
REGISTER = 64 if _features.get("avx512f") else 32 if _features.get("avx") else 16  # bytes in a vector register
# A tile of HEIGHT × WIDTH registers must leave room for one row of WIDTH vectors and a number to multiply it with;
# there are 32 registers of 16 or 64 bytes, but only 16 of 32 bytes.
HEIGHT, WIDTH = (4, 2) if REGISTER == 32 else (8, 3)


@intrinsic(prefer_literal=True)
def _multiply(context, height, width, out, start, pitch, wide, wide_start, wide_steps, thin, thin_pitch, thin_start,
              thin_steps, depth, add):  # fmt: skip
    """Out of numba's reach in plain Python: height × width vectors that stay in registers through a loop."""
    rows, vectors = height.literal_value, width.literal_value
    lanes = REGISTER * 8 // out.dtype.bitwidth
    intp = types.intp
    signature = types.void(
        height, width, out, intp, intp, wide, intp, wide_steps, thin, intp, intp, thin_steps, intp, types.boolean
    )
    return signature, lambda *given: _emit(rows, vectors, lanes, *given)


def _emit(rows: int, vectors: int, lanes: int, context: Any, build: Any, signature: Any, values: Any) -> Any:
    """Write the loop `for r: tile[q, v] += thin[q, r] * wide[r, v]` with one LLVM value for each tile[q, v]."""
    (_, _, out, start, pitch, wide, wide_start, wide_steps, thin, thin_pitch, thin_start, thin_steps, depth, add) = (
        context.make_array(type_)(context, build, value).data if isinstance(type_, types.Array) else value
        for type_, value in zip(signature.args, values)
    )
    element = context.get_data_type(signature.args[2].dtype)
    vector, index, lane = ir.VectorType(element, lanes), ir.IntType(64), ir.IntType(32)
    bytes_each = signature.args[2].dtype.bitwidth // 8
    tile = [(q, v) for q in range(rows) for v in range(vectors)]

    def number(value):
        return ir.Constant(index, value)

    def at(array, *offsets):
        for offset in offsets:
            array = build.gep(array, [offset])
        return array

    def load(place):
        return build.load(build.bitcast(place, vector.as_pointer()), align=bytes_each)

    places = {
        (q, v): at(out, start, build.mul(number(q), pitch), number(v * lanes)) for q, v in tile
    }  # where the tile ends
    rows_of_thin = [at(thin, thin_start, build.mul(number(q), thin_pitch)) for q in range(rows)]
    before = build.block
    with build.if_then(add):
        found = {each: load(places[each]) for each in tile}
        adding = build.block
    entry = build.block
    first = {}
    for each in tile:
        first[each] = build.phi(vector)
        first[each].add_incoming(ir.Constant(vector, None), before)
        first[each].add_incoming(found[each], adding)
    head, body, done = (build.append_basic_block(name) for name in ("tile.head", "tile.body", "tile.done"))
    build.branch(head)

    build.position_at_end(head)
    r = build.phi(index)
    r.add_incoming(number(0), entry)
    sums = {}
    for each in tile:
        sums[each] = build.phi(vector)
        sums[each].add_incoming(first[each], entry)
    build.cbranch(build.icmp_signed("<", r, depth), body, done)

    build.position_at_end(body)
    row = at(wide, wide_start, build.load(at(wide_steps, r)))
    columns = [load(at(row, number(v * lanes))) for v in range(vectors)]
    step = build.load(at(thin_steps, r))
    for q in range(rows):
        one = build.load(at(rows_of_thin[q], step))
        spread = build.insert_element(ir.Constant(vector, ir.Undefined), one, ir.Constant(lane, 0))
        spread = build.shuffle_vector(
            spread, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(lane, lanes), None)
        )
        for v in range(vectors):  # the two flags let LLVM make one fused multiply-add of the pair
            product = build.fmul(spread, columns[v], flags=("contract",))
            sums[q, v].add_incoming(build.fadd(sums[q, v], product, flags=("contract",)), body)
    r.add_incoming(build.add(r, number(1)), body)
    build.branch(head)

    build.position_at_end(done)
    for each in tile:
        build.store(sums[each], build.bitcast(places[each], vector.as_pointer()), align=bytes_each)
    return context.get_dummy_value()


@compiled
def multiply(rows, vectors, out, start, pitch, wide, wide_start, wide_steps, thin, thin_pitch, thin_start, thin_steps,
             depth, add):  # fmt: skip
    """out[q, :] (+)= Σ_r thin[q, r] · wide[r, :] for `rows` rows q and `vectors` registers of columns, ≤ WIDTH.

    All arrays are flat. out[q, 0] lies at start + q · pitch; thin[q, r] at thin_start + q · thin_pitch +
    thin_steps[r]; wide[r, 0] at wide_start + wide_steps[r]. Of out and wide whole registers are written and read.
    """
    done = 0
    while done < rows:
        to, of = start + done * pitch, thin_start + done * thin_pitch
        left = rows - done
        if left >= HEIGHT:
            if vectors == 3:
                _multiply(HEIGHT, 3, out, to, pitch, wide, wide_start, wide_steps, thin, thin_pitch, of, thin_steps,
                          depth, add)  # fmt: skip
            elif vectors == 2:
                _multiply(HEIGHT, 2, out, to, pitch, wide, wide_start, wide_steps, thin, thin_pitch, of, thin_steps,
                          depth, add)  # fmt: skip
            else:
                _multiply(HEIGHT, 1, out, to, pitch, wide, wide_start, wide_steps, thin, thin_pitch, of, thin_steps,
                          depth, add)  # fmt: skip
            done += HEIGHT
        elif left >= 4:
            if vectors == 3:
                _multiply(4, 3, out, to, pitch, wide, wide_start, wide_steps, thin, thin_pitch, of, thin_steps,
                          depth, add)  # fmt: skip
            elif vectors == 2:
                _multiply(4, 2, out, to, pitch, wide, wide_start, wide_steps, thin, thin_pitch, of, thin_steps,
                          depth, add)  # fmt: skip
            else:
                _multiply(4, 1, out, to, pitch, wide, wide_start, wide_steps, thin, thin_pitch, of, thin_steps,
                          depth, add)  # fmt: skip
            done += 4
        else:
            if vectors == 3:
                _multiply(1, 3, out, to, pitch, wide, wide_start, wide_steps, thin, thin_pitch, of, thin_steps,
                          depth, add)  # fmt: skip
            elif vectors == 2:
                _multiply(1, 2, out, to, pitch, wide, wide_start, wide_steps, thin, thin_pitch, of, thin_steps,
                          depth, add)  # fmt: skip
            else:
                _multiply(1, 1, out, to, pitch, wide, wide_start, wide_steps, thin, thin_pitch, of, thin_steps,
                          depth, add)  # fmt: skip
            done += 1
