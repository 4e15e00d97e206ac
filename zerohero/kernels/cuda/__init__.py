"""Kernels for NVIDIA GPUs, written with numba-cuda on CuPy arrays; imported when the first array lies on a GPU.

What has no kernel here runs in its NumPy form: the same functions, which CuPy carries out on the GPU.
"""

from zerohero.kernels.cuda import activation, capsule, convolution, linear, optim, pooling  # noqa: F401  (they register)
