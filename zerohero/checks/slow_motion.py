"""Parallel code run one step after the other, in plain Python, where every read and write of a number is noted.

A parallel loop of numba (`prange`) and a CUDA grid of threads may run in any order. Here they run in one fixed order,
but what each round or thread touches is remembered: two that touch the same number, one of them writing, are an error
whatever the numbers are, and however lucky the order. Which task asks for what is not known here.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

BARRIERS = 1000  # in one kernel; more are a loop that never ends


class Race(RuntimeError):
    """Two at once use the same number, and one of them writes it."""


class Unwritten(RuntimeError):
    """A number is read that nobody has written."""


class Divergence(RuntimeError):
    """Some threads of a block wait at a barrier that others don't reach."""


class Agent(NamedTuple):
    """Who is at work: a round of a parallel loop, or a thread between two barriers."""

    name: str
    team: Any  # the loop, or the block
    interval: int  # what lies in another interval of the same team comes surely before or after
    member: Any

    def may_meet(self, other: Agent) -> bool:
        """Whether nothing says which of the two comes first."""
        return self.team != other.team or (self.interval == other.interval and self.member != other.member)


class _Now:
    """What runs at the moment."""

    agent: Agent | None = None
    thread: _Thread | None = None
    loops = 0
    rounds = 0
    mixed = False  # a sum in float64 was stored in an array of float32


_now = _Now()


# --- numbers ------------------------------------------------------------------------------------------------


class Single(np.float32):
    """A float32 that becomes float64 beside a Python number, as in numba; NumPy would keep float32."""

    def __neg__(self) -> Any:
        return Single(-np.float32(self))


def _as_in_numba(operation: Callable, reflected: bool) -> Callable:
    def operate(self: Single, other: Any) -> Any:
        mine = np.float32(self)
        if isinstance(other, Single):
            other = np.float32(other)
        elif isinstance(other, (bool, int, float)):
            other = np.float64(other)
        elif isinstance(other, Cells):
            other = np.asarray(other)
        with np.errstate(all="ignore"):
            result = operation(other, mine) if reflected else operation(mine, other)
        return Single(result) if type(result) is np.float32 else result

    return operate


for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(Single, f"__{_name}__", _as_in_numba(getattr(operator, _name), reflected=False))
    setattr(Single, f"__r{_name}__", _as_in_numba(getattr(operator, _name), reflected=True))


class _Memory:
    """Who has read and written which number of one array."""

    def __init__(self, size: int, shape: tuple[int, ...], written: bool) -> None:
        self.shape = shape
        self.written = np.full(size, written)
        self.reads = np.zeros(size, int)
        self.writers: dict[int, Agent] = {}
        self.readers: dict[int, set[Agent]] = {}

    def read(self, cell: int) -> None:
        agent = _now.agent
        if not self.written[cell]:
            raise Unwritten(f"{_who(agent)}reads {self._place(cell)} before anything was written there")
        self.reads[cell] += 1
        if agent is not None:
            self._meet(agent, cell, self.writers.get(cell), "reads", "writes")
            self.readers.setdefault(cell, set()).add(agent)

    def write(self, cell: int) -> None:
        agent = _now.agent
        self.written[cell] = True
        if agent is not None:
            self._meet(agent, cell, self.writers.get(cell), "writes", "writes")
            for reader in sorted(self.readers.get(cell, ()), key=str):
                self._meet(agent, cell, reader, "writes", "reads")
            self.writers[cell] = agent

    def _meet(self, agent: Agent, cell: int, other: Agent | None, does: str, did: str) -> None:
        if other is not None and agent.may_meet(other):
            raise Race(f"{_who(agent)}{does} {self._place(cell)}, which {_who(other)}{did}, in any order")

    def _place(self, cell: int) -> str:
        index = [int(i) for i in np.unravel_index(cell, self.shape)]
        return f"the number at {index} of an array of shape {self.shape}"


def _who(agent: Agent | None) -> str:
    return f"{agent.name} " if agent else ""


class Cells(np.lib.mixins.NDArrayOperatorsMixin):
    """An array whose reads and writes are noted; slices are views of the same numbers.

    Parameters
    ----------
    array : array
        Written into, where the code under study writes.
    written : bool
        False for memory that holds nothing yet.
    """

    def __init__(self, array: np.ndarray, written: bool = True) -> None:
        self.array = array
        self.memory = _Memory(array.size, array.shape, written)
        self.numbers = np.arange(array.size).reshape(array.shape)  # of the cells, the same in every view

    def _view(self, index: Any) -> Cells:
        view = object.__new__(Cells)
        view.array, view.numbers, view.memory = self.array[index], self.numbers[index], self.memory
        return view

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def size(self) -> int:
        return self.array.size

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def reads(self) -> np.ndarray:
        """How often each number was read."""
        return self.memory.reads[self.numbers]

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        cell = self._cells(index)
        if isinstance(cell, np.ndarray):
            return self._view(index)
        return _value(self.array, index, self.memory, cell)

    def __setitem__(self, index: Any, value: Any) -> None:
        cells = self._cells(index)
        value = np.asarray(value) if isinstance(value, Cells) else value
        if _now.thread is not None and _now.thread.replays:
            return
        for cell in np.ravel(cells):
            self.memory.write(int(cell))
        if self.dtype == np.float32 and getattr(value, "dtype", None) == np.float64:
            _now.mixed = True
        self.array[index] = value

    def _cells(self, index: Any) -> Any:
        try:
            return self.numbers[index]
        except IndexError:
            places = index if isinstance(index, tuple) else (index,)
            if not all(isinstance(i, (int, np.integer)) for i in places) or len(places) > self.ndim:
                raise
            told = f"{_who(_now.agent)}reaches outside of an array of shape {self.memory.shape}"
            raise IndexError(told) from None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if _now.thread is not None:
            raise TypeError("a thread of a CUDA kernel reads one number at a time, as in x[i, j]")
        for cell in np.ravel(self.numbers):
            self.memory.read(int(cell))
        return np.array(self.array, dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        values = [np.asarray(each) if isinstance(each, Cells) else each for each in inputs]
        result = getattr(ufunc, method)(*values, **kwargs)
        if out is None:
            return result
        out[0][...] = result
        return out[0]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("array", "numbers", "memory"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)


def _value(array: np.ndarray, index: Any, memory: _Memory, cell: int) -> Any:
    thread = _now.thread
    if thread is not None and thread.replays:
        return next(thread.remembered)
    memory.read(int(cell))
    value = array[index]
    value = Single(value) if array.dtype == np.float32 else value
    if thread is not None:
        thread.seen.append(value)
    return value


def plain(value: Any) -> Any:
    """The array behind an answer's `Cells`; anything else as it is."""
    return value.array if isinstance(value, Cells) else value


# --- a parallel loop ----------------------------------------------------------------------------------------


class Looped(NamedTuple):
    """What a function with parallel loops gave."""

    output: Any
    rounds: int  # of all parallel loops together
    mixed: bool  # whether a float64 was rounded on its way into an array of float32


def call(function: Callable, *arguments: Any) -> Looped:
    """Call a function of numba's in its Python form, the rounds of its parallel loops one after the other.

    Parameters
    ----------
    function : callable
        Compiled by numba or not.
    *arguments
        As the function takes them; arrays are watched.

    Raises
    ------
    Race
        If two rounds of a parallel loop use the same number and one of them writes it.

    Examples
    --------
    >>> def total(x):
    ...     found = np.zeros(1)
    ...     for i in prange(len(x)):
    ...         found[0] += x[i]
    ...     return found
    >>> call(total, np.ones(3))
    Traceback (most recent call last):
        ...
    zerohero.checks.slow_motion.Race: round 1 reads the number at [0] of an array of shape (1,), which round 0 writes, \
in any order
    """
    _now.agent, _now.thread, _now.rounds, _now.mixed = None, None, 0, False
    try:
        output = _in_python(function)(*map(_watched, arguments))
        return Looped(plain(output), _now.rounds, _now.mixed)
    finally:
        _now.agent = None


def prange(*bounds: int) -> Iterator[int]:
    """Stands for `numba.prange`. A parallel loop inside another runs as a plain loop, as in numba."""
    if _now.agent is not None:
        yield from range(*bounds)
        return
    _now.loops += 1
    loop = _now.loops
    try:
        for number, i in enumerate(range(*bounds)):
            _now.rounds += 1
            _now.agent = Agent(f"round {number}", "loops", loop, number)
            yield i
    finally:
        _now.agent = None


# --- a grid of threads --------------------------------------------------------------------------------------


class _Paused(BaseException):
    """A thread has reached a barrier; not an Exception, so that a kernel can't catch it."""


class _Thread:
    """A thread of a block. At a barrier it stops; to go on, it runs again from the beginning, reading what it has read
    before and writing nothing, up to that barrier. So no thread of the operating system is needed."""

    def __init__(self, block: Any, index: tuple[int, int], blocks: tuple[int, int], threads: tuple[int, int]) -> None:
        self.index, self.block = index, block
        self.threadIdx, self.blockIdx = _xyz(*index), _xyz(*block.index)
        self.blockDim, self.gridDim = _xyz(*threads, 1), _xyz(*blocks, 1)
        self.seen: list[Any] = []

    def run(self, kernel: Callable, arguments: Any, interval: int) -> Any:
        """Run to the end of an interval between barriers: the place of the barrier, or None after the last."""
        self.interval, self.passed, self.arrays = interval, 0, 0
        self.remembered = iter(list(self.seen))
        name = f"thread {self.index} of block {self.block.index}"
        _now.thread, _now.agent = self, Agent(name, self.block.index, interval, self.index)
        try:
            kernel(*arguments)
        except _Paused as pause:
            return pause.args[0]
        finally:
            _now.thread = _now.agent = None
        return None

    @property
    def replays(self) -> bool:
        return self.passed < self.interval

    def barrier(self, place: Any) -> None:
        if not self.replays:
            raise _Paused(place)
        self.passed += 1

    def shared(self, shape: Any, dtype: Any) -> Cells:
        """The block's next shared array, the same for all its threads."""
        if self.arrays == len(self.block.arrays):
            self.block.arrays.append(Cells(np.zeros(shape, _numpy_type(dtype)), written=False))
        self.arrays += 1
        return self.block.arrays[self.arrays - 1]


def launch(
    kernel: Callable, blocks: tuple[int, int], threads: tuple[int, int], *arguments: Any, backwards: bool = False
) -> list[Any]:
    """Run a CUDA kernel in its Python form on a grid of blocks, thread after thread from barrier to barrier.

    Parameters
    ----------
    kernel : callable
        Decorated by `cuda.jit` or not.
    blocks, threads : (x, y)
        Blocks in the grid, threads in a block.
    *arguments
        What the kernel takes; it writes into the arrays.
    backwards : bool
        Begin with the last thread of the last block, since no order is promised.

    Returns
    -------
    list
        The arguments, arrays as `Cells`: `.array` are the numbers, `.reads` how often each was read.

    Raises
    ------
    Race
        If two threads use the same number with no barrier between, and one of them writes it.
    Unwritten
        If a thread reads shared memory that no thread has written.
    Divergence
        If some threads of a block end, or wait at another barrier, while others wait at a barrier.

    Examples
    --------
    >>> def double(x, y):
    ...     i = cuda.grid(1)
    ...     if i < len(x):
    ...         y[i] = 2 * x[i]
    >>> y = np.zeros(3)
    >>> x, _ = launch(double, (2, 1), (2, 1), np.arange(3.0), y)
    >>> y, x.reads
    (array([0., 2., 4.]), array([1, 1, 1]))
    """
    watched = [_watched(argument) for argument in arguments]
    function = _in_python(kernel)
    order = slice(None, None, -1 if backwards else 1)
    places = [(i, j) for j in range(threads[1]) for i in range(threads[0])][order]
    for index in [(x, y) for y in range(blocks[1]) for x in range(blocks[0])][order]:
        block = SimpleNamespace(index=index, arrays=[])
        _run_block(function, watched, [_Thread(block, place, blocks, threads) for place in places])
    return watched


def _run_block(kernel: Callable, arguments: list[Any], threads: list[_Thread]) -> None:
    for interval in range(BARRIERS):
        stops = [thread.run(kernel, arguments, interval) for thread in threads]
        if len(set(stops)) > 1:
            ended = next((t for t, stop in zip(threads, stops) if stop is None), None)
            told = f"thread {ended.index} has ended" if ended else "others wait at another one"
            raise Divergence(f"some threads of a block wait at a cuda.syncthreads(), but {told}")
        if stops[0] is None:
            return
    raise Divergence(f"more than {BARRIERS} barriers: is there a loop that never ends?")


class _Cuda:
    """Stands for `numba.cuda` inside of a kernel."""

    def __getattr__(self, name: str) -> Any:
        if name in ("threadIdx", "blockIdx", "blockDim", "gridDim"):
            return getattr(_running(name), name)
        raise AttributeError(f"cuda.{name} is not simulated by this check")

    def grid(self, axes: int) -> Any:
        t = _running("grid")
        places = [getattr(t.blockIdx, a) * getattr(t.blockDim, a) + getattr(t.threadIdx, a) for a in "xyz"]
        return places[0] if axes == 1 else tuple(places[:axes])

    def gridsize(self, axes: int) -> Any:
        t = _running("gridsize")
        sizes = [getattr(t.gridDim, a) * getattr(t.blockDim, a) for a in "xyz"]
        return sizes[0] if axes == 1 else tuple(sizes[:axes])

    def syncthreads(self) -> None:
        caller = sys._getframe(1)
        _running("syncthreads").barrier((caller.f_code.co_firstlineno, caller.f_lasti))

    @property
    def shared(self) -> Any:
        return SimpleNamespace(array=_running("shared").shared)

    @property
    def local(self) -> Any:
        return SimpleNamespace(array=lambda shape, dtype: np.zeros(shape, _numpy_type(dtype)))

    def jit(self, function: Callable) -> Callable:
        return function


cuda = _Cuda()


def _running(name: str) -> _Thread:
    if _now.thread is None:
        raise RuntimeError(f"cuda.{name} is only there inside of a kernel that is launched")
    return _now.thread


def _xyz(x: int, y: int, z: int = 0) -> SimpleNamespace:
    return SimpleNamespace(x=x, y=y, z=z)


def _numpy_type(dtype: Any) -> np.dtype:
    """A type as NumPy names it; numba's are called the same."""
    return np.dtype(getattr(dtype, "name", dtype))


# --- the Python form of a function --------------------------------------------------------------------------


class _StandIn:
    """A module in which some names stand for something else."""

    def __init__(self, module: ModuleType, others: dict[str, Any]) -> None:
        self.__dict__.update(others)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _making(name: str) -> Callable:
    """`np.zeros` and its like, whose arrays are watched; np.empty's hold nothing that may be read."""
    make = getattr(np, name)

    def made(shape: Any, *args: Any, **kwargs: Any) -> Cells:
        shape = plain(shape)
        settings = {key: _numpy_type(value) if key == "dtype" else value for key, value in kwargs.items()}
        array = make(shape, *args, **settings)
        return Cells(array, written=not name.startswith("empty"))

    return made


def _in_python(function: Callable) -> Callable:
    """The function that was compiled, with stand-ins for numba, NumPy's empty arrays, and CUDA."""
    makers = ("zeros", "ones", "empty", "full", "zeros_like", "ones_like", "empty_like")
    numpys = {name: _making(name) for name in makers}
    replaced: dict[int, Any] = {id(getattr(np, name)): made for name, made in numpys.items()}
    replaced[id(np)] = _StandIn(np, numpys)
    numba = sys.modules.get("numba")
    if numba is not None:
        replaced[id(numba)] = _StandIn(numba, {"prange": prange, "cuda": cuda})
        replaced[id(numba.prange)] = prange
        replaced[id(sys.modules.get("numba.cuda"))] = cuda
    return _rewired(function, replaced)


def _rewired(function: Any, replaced: dict[int, Any]) -> Any:
    """A Python function that looks up names in a world where some objects are replaced, and so do those it calls."""
    source = getattr(function, "py_func", function)
    if not isinstance(source, FunctionType):
        return source
    world: dict[str, Any] = {}
    twin = FunctionType(source.__code__, world, source.__name__, source.__defaults__, source.__closure__)
    twin.__kwdefaults__ = source.__kwdefaults__
    replaced[id(function)] = replaced[id(source)] = twin
    names = _names(source.__code__)
    for name, value in source.__globals__.items():
        if name == "__builtins__" or name in names:
            inner = getattr(value, "py_func", value)
            own = isinstance(inner, FunctionType) and inner.__globals__ is source.__globals__
            if own and id(value) not in replaced:
                _rewired(value, replaced)
            world[name] = replaced.get(id(value), value)
    return twin


def _names(code: Any) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if hasattr(constant, "co_names")]
    return set(code.co_names).union(*inner)


def _watched(argument: Any) -> Any:
    return Cells(argument) if isinstance(argument, np.ndarray) else argument
