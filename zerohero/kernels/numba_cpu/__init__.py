"""Kernels compiled by numba, on all cores of the CPU; `zerohero.use_backend("numba")` imports them."""

from zerohero.kernels.numba_cpu import activation, capsule, compiling, convolution, normalization, optim, pooling

__all__ = ["activation", "capsule", "convolution", "normalization", "optim", "pooling"]

compiling.announce()
