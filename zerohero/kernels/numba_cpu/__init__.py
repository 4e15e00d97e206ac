"""Kernels compiled by numba, on all cores of the CPU; `zerohero.use_backend("numba")` imports them."""

from zerohero.kernels.numba_cpu import capsule, compiling, convolution, optim

__all__ = ["capsule", "convolution", "optim"]

compiling.announce()
