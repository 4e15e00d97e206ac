"""Data-parallel training: every rank learns from its share of each batch, and all take the step of the whole batch.

PyTorch only carries the numbers (torch.distributed with gloo, between CPUs); models, gradients and
optimizers are ours. `torchrun` starts the ranks, and starts all of them again from the checkpoint if one dies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from zerohero.arguments import integer
from zerohero.nn.module import Module
from zerohero.operation import array_module, engine_of
from zerohero.tensor import Tensor

BUCKET_BYTES = 4 * 2**20  # small enough that the first is on its way early, large enough that calls don't count


class Ranks:
    """The processes that train together, as one of them sees them.

    Attributes
    ----------
    rank, size : int
        Which one this is, from 0, and how many there are.
    """

    def __init__(self, rank: int, size: int, torch: Any):
        self.rank, self.size, self.torch = rank, size, torch

    def share(self, count: int) -> slice:
        """Which of a batch's `count` examples are this rank's: neighbours, shares as equal as can be."""
        return share(count, self.rank, self.size)

    def total(self, *values: float) -> tuple[float, ...]:
        """Sums of numbers over all ranks."""
        sums = np.array(values, np.float64)
        self.reduce(sums, wait=True)
        return tuple(sums.tolist())

    def reduce(self, array: Any, *, wait: bool) -> Any:
        """Start to replace an array by its sum over all ranks, where it lies; `.wait()` on what comes back ends it."""
        work = self.torch.distributed.all_reduce(self._lent(array), async_op=True)
        if wait:
            work.wait()
        return work

    def agree(self, arrays: Iterable[Any]) -> None:
        """Overwrite arrays by those of rank 0, in place."""
        for array in arrays:
            self.torch.distributed.broadcast(self._lent(array), 0)

    def _lent(self, array: Any) -> Any:
        """The same memory as a tensor of PyTorch."""
        on_gpu = engine_of(array) == "cupy"
        return self.torch.from_dlpack(array) if on_gpu else self.torch.from_numpy(array)


_ranks: Ranks | None = None
_exchange: Exchange | None = None


def join() -> Ranks | None:
    """Find the other ranks, if `torchrun` started this process; None if it runs alone.

    Returns
    -------
    Ranks or None
        None, and PyTorch isn't imported, if there is no other rank.

    Raises
    ------
    ImportError
        If there are others, but no PyTorch to reach them with.

    Examples
    --------
    >>> join() is None  # nobody else is here
    True
    """
    global _ranks
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if _ranks is None and size > 1:
        try:
            import torch
        except ImportError:
            raise ImportError(
                f"join: WORLD_SIZE says that {size} ranks train together, which needs PyTorch to carry the gradients; "
                'install it (pip install "zerohero[torch]"), or start a single process'
            ) from None
        if not torch.distributed.is_initialized():
            store, rank, size = next(torch.distributed.rendezvous("env://"))
            torch.distributed.init_process_group("gloo", store=_fresh(store, torch), rank=rank, world_size=size)
        _ranks = Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size(), torch)
    return _ranks


def _fresh(store: Any, torch: Any) -> Any:
    """The place where ranks leave their addresses, without those of ranks that died before a restart.

    `torchrun` keeps one store through all restarts, and whoever reads a dead rank's address there waits for it forever.
    Between several machines the restarts aren't counted alike, so there the store stays as it is (docs/scaling.md).
    """
    if os.environ.get("LOCAL_WORLD_SIZE") != os.environ["WORLD_SIZE"]:
        return store
    return torch.distributed.PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def leave() -> None:
    """Say goodbye to the other ranks.

    Examples
    --------
    >>> leave()  # nothing to leave, if alone
    """
    global _ranks
    if _ranks is not None:
        _ranks.torch.distributed.destroy_process_group()
    _ranks = None


def is_first() -> bool:
    """Whether this process is the one that writes and prints: rank 0, or alone.

    Examples
    --------
    >>> is_first()  # alone
    True
    """
    return _ranks is None or _ranks.rank == 0


def share(count: int, rank: int, size: int) -> slice:
    """Which of `count` examples are a rank's.

    Examples
    --------
    >>> [share(10, rank, 4) for rank in range(4)]
    [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None), slice(8, 10, None)]
    """
    least, more = divmod(integer(count, "share", "count", least=0), integer(size, "share", "size", least=1))
    start = rank * least + min(rank, more)
    return slice(start, start + least + (rank < more))


def my_share(images: Any, labels: Any) -> tuple[Any, Any]:
    """This rank's examples of a batch; all of them if there is no other rank.

    Examples
    --------
    >>> my_share([1, 2], [0, 1])  # alone
    ([1, 2], [0, 1])
    """
    if _ranks is None:
        return images, labels
    mine = _ranks.share(len(images))
    return images[mine], labels[mine]


def total(*values: float) -> tuple[float, ...]:
    """Sums over all ranks; the values themselves if there is no other rank.

    Examples
    --------
    >>> total(3.0, 4.0)  # alone
    (3.0, 4.0)
    """
    return values if _ranks is None else _ranks.total(*values)


def agree_on_buffers(model: Module) -> None:
    """Give all ranks the buffers of rank 0, such as running means, which each rank gathers from its own examples."""
    if _ranks is not None:
        _ranks.agree(buffer for _, buffer in model.named_buffers())


class exchanging:
    """While this context lasts, `backward` gives every rank the gradients of the whole batch.

    Parameters
    ----------
    model : Module
        All ranks start from the weights of rank 0.
    examples, batch_size : int
        Each rank needs at least one example of every batch.

    Raises
    ------
    ValueError
        If there are more ranks than examples in a batch, or the model lies on a GPU.
    """

    def __init__(self, model: Module, examples: int, batch_size: int):
        self.exchange = None
        if _ranks is None:
            return
        smallest = examples % batch_size or batch_size
        if min(smallest, examples) < _ranks.size:
            raise ValueError(
                f"fit: batch_size {batch_size} leaves a batch of {min(smallest, examples)} of {examples} examples, but "
                f"each of the {_ranks.size} ranks needs one; use fewer ranks or another batch_size"
            )
        if any(engine_of(parameter.data) == "cupy" for parameter in model.parameters()):
            raise ValueError(
                f"fit: {_ranks.size} ranks train together on CPUs (gloo) only, but the model lies on a GPU; "
                "start a single process for one GPU, or use the backend numba"
            )
        self.exchange = Exchange(model, _ranks)

    def __enter__(self) -> None:
        global _exchange
        _exchange = self.exchange

    def __exit__(self, *exception: Any) -> None:
        global _exchange
        if self.exchange is not None:
            self.exchange.close()
        _exchange = None


def backward(loss: Tensor, count: int) -> None:
    """`loss.backward()` for the mean loss of `count` examples; with other ranks, the gradients of all their examples.

    Examples
    --------
    >>> w = Tensor([3.0], requires_grad=True)
    >>> backward((w * w).sum(), 1)
    >>> w.grad
    array([6.], dtype=float32)
    """
    if _exchange is None:
        loss.backward()
    else:
        _exchange.backward(loss, count)


class Exchange:
    """Sums the gradients of all ranks in buckets, each sent while backward still works on the layers before it.

    Gradients become ready from the last layer to the first, so buckets are filled in that order, and they are sent in
    that order on every rank, whichever is full first: ranks that summed different buckets would mix up layers.

    Parameters
    ----------
    model : Module
    ranks : Ranks
    bucket_bytes : int

    Attributes
    ----------
    buckets : list of Bucket
    sent_early : int
        How many buckets of the last backward were sent before it ended.
    """

    def __init__(self, model: Module, ranks: Ranks, bucket_bytes: int = BUCKET_BYTES):
        ranks.agree(array for _, array in sorted(model.state_dict().items()))
        self.ranks, self.count, self.sent_early = ranks, 0, 0
        self.buckets = _buckets([p for p in reversed(model.parameters()) if p.requires_grad], bucket_bytes)
        self.waiting: list[Any] = []
        self.hooks = [
            parameter.register_hook(self._hook(bucket, place))
            for bucket in self.buckets
            for place, parameter in enumerate(bucket.parameters)
        ]

    def backward(self, loss: Tensor, count: int) -> None:
        """Backward from the mean loss of `count` examples; then each gradient is the mean over the ranks' examples."""
        self.count, self.waiting = count, []
        for bucket in self.buckets:
            bucket.begin(count)
        loss.backward()
        self.sent_early = len(self.waiting)
        self._send(even_if_unfilled=True)
        for bucket, work in zip(self.buckets, self.waiting, strict=True):
            work.wait()
            bucket.hand_out()

    def close(self) -> None:
        """Take the hooks off the parameters."""
        for take_off in self.hooks:
            take_off()

    def _hook(self, bucket: Bucket, place: int) -> Callable[[Any], None]:
        def ready(gradient: Any) -> None:
            bucket.put(place, gradient, self.count)
            self._send()

        return ready

    def _send(self, even_if_unfilled: bool = False) -> None:
        for bucket in self.buckets[len(self.waiting) :]:
            if bucket.missing and not even_if_unfilled:
                return
            self.waiting.append(self.ranks.reduce(bucket.flat, wait=False))


class Bucket:
    """Gradients of neighbouring parameters in one flat array, and behind them for how many examples they are sums."""

    def __init__(self, parameters: list[Tensor]):
        self.parameters = parameters
        sizes = [parameter.data.size for parameter in parameters]
        first = parameters[0].data
        self.flat = array_module(first).zeros(sum(sizes) + 1, first.dtype)
        ends = np.cumsum(sizes)
        self.views = [
            self.flat[end - size : end].reshape(parameter.shape)
            for parameter, end, size in zip(parameters, ends, sizes, strict=True)
        ]
        self.missing = set(range(len(parameters)))

    def begin(self, count: int) -> None:
        self.missing = set(range(len(self.parameters)))
        self.flat[...] = 0  # the last gradients were handed out as copies
        self.flat[-1] = count

    def put(self, place: int, gradient: Any, count: int) -> None:
        np.multiply(gradient, count, out=self.views[place])
        self.missing.discard(place)

    def hand_out(self) -> None:
        """Give each parameter its mean; one that no example reached keeps none."""
        for place, (parameter, view) in enumerate(zip(self.parameters, self.views, strict=True)):
            if place not in self.missing:
                parameter.grad = view / self.flat[-1]


def _buckets(parameters: list[Tensor], bucket_bytes: int) -> list[Bucket]:
    """Parameters in order, as many in a bucket as fit, of one type; a larger one has its own."""
    buckets: list[list[Tensor]] = []
    filled = 0
    for parameter in parameters:
        size = parameter.data.nbytes
        if not buckets or filled + size > bucket_bytes or buckets[-1][0].dtype != parameter.dtype:
            buckets.append([])
            filled = 0
        buckets[-1].append(parameter)
        filled += size
    return [Bucket(bucket) for bucket in buckets]
