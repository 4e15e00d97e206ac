"""Kernels compiled by numba, on all cores of the CPU; `zerohero.use_backend("numba")` imports them."""

from zerohero.kernels.numba_cpu import compiling, convolution

__all__ = ["convolution"]

compiling.announce()
