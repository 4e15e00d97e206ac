"""Two loops that do nothing useful as fast as this processor can: one only computes, one only moves numbers.

No operation lives here; `zerohero.benchmark` times these loops to know what is possible.
"""

import numba

from zerohero.kernels.numba_cpu.compiling import compiled

HORNER = 8  # multiply-adds for each number that is loaded and stored: more make chains too long to overlap


@compiled(parallel=True, fastmath={"contract"})  # fused, but every one of them done
def multiply_adds(blocks, repeats, a, b):
    """v ← v·a + b over and over, on one block (a row that fits the innermost cache) for each thread.

    2 · HORNER · repeats floating-point operations for each number. Neighbouring numbers don't depend on each other,
    so the processor can fill all its multiply-add units.
    """
    for thread in numba.prange(len(blocks)):
        block = blocks[thread]
        for _ in range(repeats):
            for i in range(block.size):
                v = block[i]
                for _ in range(HORNER):
                    v = v * a + b
                block[i] = v


@compiled(parallel=True)
def triad(out, x, y, scale):
    """out = x + scale · y on arrays far larger than any cache: two numbers read and one written for two operations."""
    for i in numba.prange(out.size):
        out[i] = x[i] + scale * y[i]
