"""What numba can't say in Python: sums that stay in vector registers, and moves of whole registers.

Each function here is one short piece of machine code, written in LLVM's language. All arrays are flat and contiguous,
places in them are counted in numbers, and a register is read or written whole: the caller leaves room for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

_features = binding.get_host_cpu_features()
REGISTER = 64 if _features.get("avx512f") else 32 if _features.get("avx") else 16  # bytes
# A tile of sums is HEIGHT × WIDTH registers. With WIDTH for a row of the one factor it just fits into the 32 registers
# (16, where they have 32 bytes: 12 sums, 2 of that row, 1 of the other factor). 5 rows and 4 are best to take 9.
HEIGHTS, WIDTH = ((6, 5, 4, 2, 1), 2) if REGISTER == 32 else ((8, 5, 4, 2, 1), 3)
HEIGHT = HEIGHTS[0]

_index, _lane = ir.IntType(64), ir.IntType(32)


class _Writer:
    """Writes instructions on the registers of one dtype."""

    def __init__(self, context: Any, build: Any, dtype: Any):
        self.build, self.bytes = build, dtype.bitwidth // 8
        self.lanes = REGISTER // self.bytes
        self.vector = ir.VectorType(context.get_data_type(dtype), self.lanes)

    def at(self, array: Any, *offsets: Any) -> Any:
        for offset in offsets:
            array = self.build.gep(array, [_index(offset) if isinstance(offset, int) else offset])
        return array

    def load(self, place: Any) -> Any:
        return self.build.load(self.build.bitcast(place, self.vector.as_pointer()), align=self.bytes)

    def store(self, value: Any, place: Any) -> None:
        self.build.store(value, self.build.bitcast(place, self.vector.as_pointer()), align=self.bytes)

    def fetch(self, place: Any, writing: int) -> None:
        pointer = ir.IntType(8).as_pointer()
        prefetch = self.build.module.declare_intrinsic(
            "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, _lane, _lane, _lane])
        )
        self.build.call(prefetch, [self.build.bitcast(place, pointer), _lane(writing), _lane(3), _lane(1)])

    def spread(self, one: Any) -> Any:
        """The same number in every lane."""
        nothing = ir.VectorType(one.type, self.lanes)(ir.Undefined)
        filled = self.build.insert_element(nothing, one, _lane(0))
        return self.build.shuffle_vector(filled, nothing, ir.VectorType(_lane, self.lanes)(None))


def _written(result: Any, *parameters: Any) -> Callable:
    """Decorator: make a compiled function of one that writes its instructions.

    parameters are the types of the arguments; "array" stands for a flat array, of whichever dtype. The instructions are
    written for the dtype of the first array.
    """

    def decorator(write: Callable) -> Any:
        def typing(context, *given):
            arguments = [got if wanted == "array" else wanted for got, wanted in zip(given, parameters, strict=True)]
            return result(*arguments), generate

        def generate(context, build, signature, values):
            plain = [
                context.make_array(kind)(context, build, value).data if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, values)
            ]
            write(_Writer(context, build, signature.args[0].dtype), *plain)
            return context.get_dummy_value()

        names = ", ".join(f"a{i}" for i in range(len(parameters)))  # an intrinsic needs a signature of its own
        made = eval(f"lambda context, {names}: typing(context, {names})", {"typing": typing})
        made.__name__, made.__doc__ = write.__name__, write.__doc__
        return intrinsic(made)

    return decorator


N = types.intp


@_written(types.void, "array", N, "array", N)
def copy(write, to, to_start, source, source_start):
    """Copy one register's numbers."""
    write.store(write.load(write.at(source, source_start)), write.at(to, to_start))


@_written(types.void, "array", N, "array", N, N)
def add(write, to, to_start, source, source_start, count):
    """Add the first `count` of one register's numbers; the others are written back as they were."""
    place = write.at(to, to_start)
    before = write.load(place)
    after = write.build.fadd(before, write.load(write.at(source, source_start)))
    numbers = ir.VectorType(_lane, write.lanes)(list(range(write.lanes)))
    inside = write.build.icmp_signed("<", numbers, write.spread(write.build.trunc(count, _lane)))
    write.store(write.build.select(inside, after, before), place)


@_written(types.void, "array", N)
def expect(write, array, place):
    """Fetch the numbers at a place, which may lie outside the array, into the first-level cache in the background."""
    write.fetch(write.at(array, place), 0)


@_written(types.void, "array", N, N, "array", N, N)
def transpose(write, to, to_start, to_pitch, source, source_start, source_pitch):
    """Transpose a square of numbers, as wide as a register: swap its halves, then the quarters in these, and so on."""
    lanes = write.lanes
    pitched = [write.build.mul(_index(q), source_pitch) for q in range(lanes)]
    rows = [write.load(write.at(source, source_start, offset)) for offset in pitched]
    size = lanes // 2
    while size:
        for q in range(lanes):
            if not q & size:
                above, below = rows[q], rows[q + size]
                left = [i if not i & size else i - size + lanes for i in range(lanes)]
                right = [i + size if not i & size else i + lanes for i in range(lanes)]
                picks = [ir.VectorType(_lane, lanes)(each) for each in (left, right)]
                rows[q], rows[q + size] = (write.build.shuffle_vector(above, below, pick) for pick in picks)
        size //= 2
    for q, row in enumerate(rows):
        write.store(row, write.at(to, to_start, write.build.mul(_index(q), to_pitch)))


@_written(types.void, "array", N, N, "array", N, N, "array", N, "array", N, "array", N, "array", N, types.boolean,
          N, N)  # fmt: skip
def multiply(write, out, start, pitch, wide, wide_start, wide_pitch, thin, thin_start, thin_rows, first_row, thin_steps,
             depth, shift, first_shift, adding, height, width):  # fmt: skip
    """out[q, :] = shift[q] + Σ_r thin[q, r] · wide[r, :] for `height` (of HEIGHTS) rows and `width` registers.

    If adding, the sum goes on from out[q, :] instead of shift[first_shift + q]. out[q, 0] lies at start + q · pitch
    and wide[r, 0] at wide_start + r · wide_pitch; thin[q, r] lies at thin_start + thin_rows[first_row + q] +
    thin_steps[r], wherever that is: so windows of an image can be read where they are.
    """
    build = write.build
    shapes = [(rows, vectors) for rows in HEIGHTS for vectors in range(1, WIDTH + 1)]
    end = build.append_basic_block("end")
    which = build.switch(build.add(build.mul(height, _index(WIDTH + 1)), width), end)
    for rows, vectors in shapes:
        block = build.append_basic_block(f"tile.{rows}.{vectors}")
        which.add_case(_index(rows * (WIDTH + 1) + vectors), block)
        build.position_at_end(block)
        places = [
            [write.at(out, start, build.mul(_index(q), pitch), v * write.lanes) for v in range(vectors)]
            for q in range(rows)
        ]
        beginnings = [write.at(thin, thin_start, build.load(write.at(thin_rows, first_row, q))) for q in range(rows)]
        _tile(write, places, write.at(wide, wide_start), wide_pitch, beginnings, thin_steps, depth,
              write.at(shift, first_shift), adding)  # fmt: skip
        build.branch(end)
    build.position_at_end(end)


def _tile(write, places, wide, wide_pitch, beginnings, thin_steps, depth, shift, adding):
    """The loop over r for a tile of one shape: every sum is a value of its own, so LLVM gives each a register."""
    build, vector = write.build, write.vector
    tile = [(q, v) for q, row in enumerate(places) for v in range(len(row))]
    with build.if_else(adding) as (going_on, starting):
        with going_on:
            found = {(q, v): write.load(places[q][v]) for q, v in tile}
            full = build.block
        with starting:
            for q, v in tile:  # the sums will be written there, after the loop
                write.fetch(places[q][v], 1)
            shifts = [write.spread(build.load(write.at(shift, q))) for q in range(len(places))]
            empty = build.block
    entry = build.block
    first = {}
    for q, v in tile:
        first[q, v] = build.phi(vector)
        first[q, v].add_incoming(shifts[q], empty)
        first[q, v].add_incoming(found[q, v], full)
    head, body, done = (build.append_basic_block(name) for name in ("head", "body", "done"))
    build.branch(head)

    build.position_at_end(head)
    r = build.phi(_index)
    r.add_incoming(_index(0), entry)
    sums = {}
    for each in tile:
        sums[each] = build.phi(vector)
        sums[each].add_incoming(first[each], entry)
    build.cbranch(build.icmp_signed("<", r, depth), body, done)

    build.position_at_end(body)
    row = write.at(wide, build.mul(r, wide_pitch))
    step = build.load(write.at(thin_steps, r))
    columns = [write.load(write.at(row, v * write.lanes)) for v in range(len(places[0]))]
    for q, beginning in enumerate(beginnings):
        number = write.spread(build.load(write.at(beginning, step)))
        for v, column in enumerate(columns):  # "contract" lets LLVM fuse the two into one multiply-add
            product = build.fmul(number, column, flags=("contract",))
            sums[q, v].add_incoming(build.fadd(sums[q, v], product, flags=("contract",)), body)
    r.add_incoming(build.add(r, _index(1)), body)
    build.branch(head)

    build.position_at_end(done)
    for q, v in tile:
        write.store(sums[q, v], places[q][v])
