"""A stand-in for CuPy on a machine without a GPU: its arrays are NumPy arrays behind a fence.

It has CuPy's rules about what may meet what, as CuPy's own source states them: an array never turns into a NumPy array
by itself, NumPy arrays are refused beside it, NumPy's functions reach it by `__array_function__` and `__array_ufunc__`
if CuPy has a function of that name, and results without axes stay arrays. What CuPy would do silently though it costs
a copy between CPU and GPU, or makes the CPU wait (`float(x)`, `if x`, `cupy.asarray(numpy_array)`, a mask as index),
raises `HiddenCopy` inside `no_copies()`.
"""

import contextlib
import functools
import operator
import sys
import types

import numpy as np

# The functions it has, all of which CuPy has too (tests/test_gpu_path.py asks the real one where it is installed).
MAKE = "zeros ones empty full arange".split()
LIKE = "zeros_like ones_like empty_like ascontiguousarray".split()
FUNCTIONS = (
    "pad where einsum concatenate stack split moveaxis broadcast_to expand_dims cumsum matmul argsort sum mean max"
).split()
UFUNCS = (
    "add subtract multiply divide true_divide maximum minimum exp log logaddexp sqrt abs absolute sign tanh "
    "isfinite negative power equal not_equal greater greater_equal less less_equal bitwise_and bitwise_or bitwise_xor "
    "right_shift left_shift logical_and floor_divide remainder"
).split()


class HiddenCopy(AssertionError):
    """Something was copied between CPU and GPU, or waited for, where nothing should be."""


_copies_allowed = True
copies: list[str] = []  # all there were


@contextlib.contextmanager
def no_copies():
    """Inside the `with` block every copy and every wait raises."""
    global _copies_allowed
    before, _copies_allowed = _copies_allowed, False
    try:
        yield
    finally:
        _copies_allowed = before


def _copied(what):
    copies.append(what)
    if not _copies_allowed:
        raise HiddenCopy(what)


class ndarray:
    """An array that is on the GPU, as far as the rest of the program can tell."""

    __module__ = "cupy"
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, values):
        self.values = values if isinstance(values, np.ndarray) else np.asarray(values)

    # what CuPy refuses, and what it does at a price

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def get(self):
        _copied("get() copies to the CPU")
        return self.values.copy()

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def tobytes(self):
        return self.get().tobytes()

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __repr__(self):
        return repr(self.get())

    def __format__(self, spec):
        return format(self.get(), spec)

    # NumPy's functions

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or ufunc.__name__ not in UFUNCS:
            return NotImplemented
        return _call(ufunc, *inputs, **kwargs)

    def __array_function__(self, function, kinds, args, kwargs):
        try:
            path = [*function.__module__.split(".")[1:], function.__name__]
            own = functools.reduce(getattr, path, sys.modules["cupy"])
        except AttributeError:
            return NotImplemented
        return own(*args, **kwargs) if all(issubclass(kind, ndarray) for kind in kinds) else NotImplemented

    # shape and indexing

    shape = property(lambda self: self.values.shape)
    ndim = property(lambda self: self.values.ndim)
    size = property(lambda self: self.values.size)
    dtype = property(lambda self: self.values.dtype)
    itemsize = property(lambda self: self.values.itemsize)
    nbytes = property(lambda self: self.values.nbytes)
    flags = property(lambda self: self.values.flags)
    strides = property(lambda self: self.values.strides)
    base = property(lambda self: None)
    T = property(lambda self: ndarray(self.values.T))

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key):
        for part in key if isinstance(key, tuple) else (key,):
            if isinstance(part, ndarray) and part.dtype == bool:
                _copied("x[mask] waits until the GPU has counted what is true")
        return ndarray(self.values[_key(key)])

    def __setitem__(self, key, value):
        self.values[_key(key)] = _inside(value)


def _key(key):
    if isinstance(key, tuple):
        return tuple(_key(part) for part in key)
    if isinstance(key, (np.ndarray, list)):
        _copied("an index made of numbers on the CPU is copied to the GPU")
    return key.values if isinstance(key, ndarray) else key


def _inside(value):
    """The values of an argument; what CuPy takes beside its arrays are numbers."""
    if isinstance(value, ndarray):
        return value.values
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return type(value)(map(_inside, value)) if type(value) in (list, tuple) else value


def _outside(result):
    if isinstance(result, (list, tuple)):
        return type(result)(map(_outside, result))
    return ndarray(result) if isinstance(result, (np.ndarray, np.generic)) else result


def _call(function, *args, **kwargs):
    kwargs = {name: _inside(value) for name, value in kwargs.items()}
    return _outside(function(*map(_inside, args), **kwargs))


def _method(name):
    def method(self, *args, **kwargs):
        return _call(getattr(self.values, name), *args, **kwargs)

    return method


def _operator(name):
    def operation(self, other):
        if not isinstance(other, (ndarray, np.ndarray, np.generic, int, float)):
            return NotImplemented  # a Tensor answers itself
        return _call(getattr(operator, name), self, other)

    def swapped(self, other):
        if not isinstance(other, (ndarray, np.ndarray, np.generic, int, float)):
            return NotImplemented
        return _call(getattr(operator, name), other, self)

    def in_place(self, other):
        getattr(operator, f"i{name}")(self.values, _inside(other))
        return self

    return operation, swapped, in_place


for (
    _name
) in "sum mean max min argmax argmin all any cumsum astype reshape transpose swapaxes copy ravel fill squeeze".split():
    setattr(ndarray, _name, _method(_name))
for _name in "add sub mul truediv floordiv mod pow matmul rshift lshift xor".split():
    _plain, _swapped, _in_place = _operator(_name)
    setattr(ndarray, f"__{_name}__", _plain)
    setattr(ndarray, f"__r{_name}__", _swapped)
    if _name != "matmul":
        setattr(ndarray, f"__i{_name}__", _in_place)
for _name in "and_ or_".split():
    _plain, _swapped, _in_place = _operator(_name)
    setattr(ndarray, f"__{_name[:-1]}__", _plain)
for _name in "eq ne lt le gt ge".split():
    setattr(ndarray, f"__{_name}__", _operator(_name)[0])
for _name in "neg abs invert".split():
    setattr(ndarray, f"__{_name}__", lambda self, name=_name: _call(getattr(operator, name), self))


class _Ufunc:
    """A CuPy ufunc: called on arrays, and `at` for sums at indices that repeat."""

    def __init__(self, ufunc):
        self.ufunc = ufunc

    def __call__(self, *args, **kwargs):
        return _call(self.ufunc, *args, **kwargs)

    def at(self, array, key, values):
        self.ufunc.at(array.values, _key(key), _inside(values))


def _array(values, dtype=None, copy=True):
    if isinstance(values, ndarray):
        return values.astype(dtype or values.dtype, copy=copy)
    _copied("an array made of numbers on the CPU is copied to the GPU")
    return ndarray(np.array(values, dtype=dtype))


def _sliding_windows(*args, **kwargs):
    _copied("sliding_window_view looks at its numbers on the CPU")
    return _call(np.lib.stride_tricks.sliding_window_view, *args, **kwargs)


def module():
    """A module that can stand in `sys.modules` for cupy."""
    cupy = types.ModuleType("cupy")
    cupy.ndarray, cupy.__version__ = ndarray, "0 (a double)"
    cupy.is_available = lambda: True
    cupy.array, cupy.asarray = _array, functools.partial(_array, copy=False)
    for name in "float32 float64 intp uint64 bool_".split():
        setattr(cupy, name, getattr(np, name))
    for name in (*MAKE, *LIKE, *FUNCTIONS):
        setattr(cupy, name, functools.partial(_call, getattr(np, name)))
    for name in UFUNCS:
        setattr(cupy, name, _Ufunc(getattr(np, name)))
    cupy.lib = types.SimpleNamespace(
        stride_tricks=types.SimpleNamespace(
            as_strided=functools.partial(_call, np.lib.stride_tricks.as_strided), sliding_window_view=_sliding_windows
        )
    )
    return cupy


def install():
    """Be cupy in this process, with kernels in numba's simulator (which NUMBA_ENABLE_CUDASIM=1 chose at the start)."""
    from zerohero.kernels.cuda import launching

    sys.modules["cupy"] = module()
    launching._stream = lambda: 0
    launching._device_array = lambda argument: argument.values if isinstance(argument, ndarray) else argument
    return sys.modules["cupy"]
