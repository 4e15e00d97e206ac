"""Numbers side by side in one vector register, as a type that compiled code calculates with; no kernel is here.

LLVM turns a simple loop into vector instructions, but it can't keep sums in registers while other arrays are read
and written, as those might overlap. Here the code says itself what a register holds: `in_lanes(array)` sees the last
axis of an array as one value, and + - * / act on all its lanes at once. What is a loop over 16 neighbours elsewhere
is one multiplication here, and a local variable is a register.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as _intrinsic
from numba.extending import lower_builtin

from zerohero.kernels.numba_cpu.compiling import FAST, compiled

intrinsic: Any = _intrinsic  # decorates what takes one argument less than mypy believes
_features = binding.get_host_cpu_features()
REGISTER = 64 if _features.get("avx512f") else 32 if _features.get("avx") else 16  # bytes in a vector register
FLAGS = tuple(sorted(FAST))


def lanes_of(dtype: Any) -> int:
    """How many numbers of a dtype a register holds."""
    return REGISTER // np.dtype(dtype).itemsize


def empty_lanes(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array (*shape, lanes) that starts where a cache line does, so that no register straddles two of them."""
    size = math.prod(shape) * REGISTER
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(*shape, lanes_of(dtype))


@compiled
def scratch(rows, like):
    """As `empty_lanes((rows,), like.dtype)`, inside compiled code: a place to work in for one thread."""
    lanes = REGISTER // like.itemsize
    room = np.empty(rows * lanes + 64 // like.itemsize, like.dtype)
    start = -room.ctypes.data % 64 // like.itemsize
    return room[start : start + rows * lanes].reshape(rows, lanes)


class Lanes(types.Type):
    """The type of a register full of float32 or float64."""

    def __init__(self, dtype: types.Float):
        self.dtype, self.count = dtype, REGISTER * 8 // dtype.bitwidth
        super().__init__(name=f"Lanes({dtype}, {self.count})")

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(ir.FloatType() if self.dtype.bitwidth == 32 else ir.DoubleType(), self.count)


@register_default(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes):
        super().__init__(manager, lanes, lanes.vector)


# ---- arithmetic of lanes with lanes, or with a number -----------------------------------------------------


class _Arithmetic(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        lanes = [each for each in args if isinstance(each, Lanes)]
        if len(args) == 2 and lanes and all(isinstance(each, (Lanes, types.Number)) for each in args):
            return signature(lanes[0], *(each if isinstance(each, Lanes) else lanes[0].dtype for each in args))
        return None


def _spread(builder: Any, number: Any, vector: ir.VectorType) -> Any:
    """The same number in all lanes."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


def _define(operate: Any, instruction: str) -> None:
    template = type("_Typing", (_Arithmetic,), {"key": operate})
    infer_global(operate)(template)

    def code(context, builder, signature, values):
        vector = signature.return_type.vector
        wide = [v if isinstance(t, Lanes) else _spread(builder, v, vector) for v, t in zip(values, signature.args)]
        return getattr(builder, instruction)(*wide, flags=FLAGS)

    for arguments in ((Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)):
        lower_builtin(operate, *arguments)(code)


for _operate, _instruction in (
    (operator.add, "fadd"), (operator.iadd, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):  # fmt: skip
    _define(_operate, _instruction)


def _call(builder: Any, name: str, vector: ir.VectorType, *values: Any) -> Any:
    """An operation of LLVM's on every lane, such as llvm.sqrt."""
    kind = ir.FunctionType(vector, [vector] * len(values))
    bits = 32 if vector.element == ir.FloatType() else 64
    full = f"llvm.{name}.v{vector.count}f{bits}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full), values)


@intrinsic
def zero(typing, a):
    """Zeros of a's type."""
    return a(a), lambda context, builder, signature, values: ir.Constant(a.vector, None)


@intrinsic
def maximum(typing, a, b):
    """The larger of two, in every lane."""

    def code(context, builder, signature, values):
        return builder.select(builder.fcmp_ordered(">", *values), *values)

    return (a(a, b), code) if isinstance(a, Lanes) and a == b else None


@intrinsic
def root(typing, a):
    """The square root of every lane."""
    return a(a), lambda context, builder, signature, values: _call(builder, "sqrt", a.vector, *values)


@intrinsic
def total(typing, a):
    """The sum over the lanes, a number."""

    def code(context, builder, signature, values):
        number = a.vector.element
        name = f"llvm.vector.reduce.fadd.v{a.count}f{a.dtype.bitwidth}"
        kind = ir.FunctionType(number, [number, a.vector])
        reduce = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(reduce, [ir.Constant(number, 0.0), values[0]], fastmath=FLAGS)

    return a.dtype(a), code


@intrinsic
def exponential(typing, a):
    """e to the power of every lane, for numbers ≤ 0; below the least normal number it stays there.

    eˣ = 2ᵏ · eʳ with a whole k and |r| ≤ ln 2 / 2: eʳ by its series, 2ᵏ by writing k into the bits of the exponent.
    """

    def code(context, builder, signature, values):
        vector = a.vector
        single = a.dtype.bitwidth == 32
        bits, bias, terms, least = (23, 127, 8, -87.0) if single else (52, 1023, 14, -708.0)
        whole = ir.VectorType(ir.IntType(a.dtype.bitwidth), a.count)

        def number(value):
            return ir.Constant(vector, [float(value)] * a.count)

        def fused(x, y, z):  # x · y + z, rounded once
            return _call(builder, "fma", vector, x, y, z)

        keeps = builder.fcmp_unordered(">", values[0], number(least))  # NaN, too
        x = builder.select(keeps, values[0], number(least))
        k = _call(builder, "rint", vector, builder.fmul(x, number(1 / math.log(2))))
        coarse = int(math.log(2) * 2**14) / 2**14  # of so few bits that k · coarse is exact
        r = fused(k, number(coarse - math.log(2)), fused(k, number(-coarse), x))
        power = number(1 / math.factorial(terms - 1))
        for n in reversed(range(terms - 1)):
            power = fused(power, r, number(1 / math.factorial(n)))
        exponent = builder.add(builder.fptosi(k, whole), ir.Constant(whole, [bias] * a.count))
        exponent = builder.shl(exponent, ir.Constant(whole, [bits] * a.count))
        return builder.fmul(power, builder.bitcast(exponent, vector))

    return a(a), code


# ---- arrays of lanes --------------------------------------------------------------------------------------


@intrinsic
def in_lanes(typing, array):
    """A contiguous array (..., lanes) as an array (...) of Lanes. It doesn't keep the array alive."""
    if not (isinstance(array, types.Array) and array.layout == "C" and isinstance(array.dtype, types.Float)):
        return None
    seen = types.Array(Lanes(array.dtype), array.ndim - 1, "C", aligned=False)

    def code(context, builder, signature, values):
        given = context.make_array(array)(context, builder, values[0])
        made = context.make_array(seen)(context, builder)
        made.data = builder.bitcast(given.data, seen.dtype.vector.as_pointer())
        made.shape = cgutils.pack_array(builder, cgutils.unpack_tuple(builder, given.shape)[:-1])
        made.strides = cgutils.pack_array(builder, cgutils.unpack_tuple(builder, given.strides)[:-1])
        made.itemsize = context.get_constant(types.intp, REGISTER)
        made.nitems = builder.sdiv(given.nitems, context.get_constant(types.intp, seen.dtype.count))
        made.meminfo = cgutils.get_null_value(made.meminfo.type)
        made.parent = cgutils.get_null_value(made.parent.type)
        return made._getvalue()

    return seen(array), code
