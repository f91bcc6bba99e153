"""Random words for stochastic rounding; docs/datapath.md states both generators bit for bit."""

import numpy as np

from lsqsim_kernels._jit import kernel

MASK_32 = 0xFFFFFFFF
GOLDEN_GAMMA = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB


@kernel
def xorshift32(seed, bits, n):
    """The top ``bits`` of ``n`` successive words of Marsaglia's xorshift32, as int64.

    Requires 1 <= seed < 2**32 and 1 <= bits <= 32.
    """
    result = np.empty(n, np.int64)
    word = np.int64(seed)
    for i in range(n):
        word ^= (word << 13) & MASK_32
        word ^= word >> 17
        word ^= (word << 5) & MASK_32
        result[i] = word >> (32 - bits)
    return result


@kernel
def splitmix64(seed, bits, n):
    """The top ``bits`` of the SplitMix64 words 0 .. n - 1, as int64; arithmetic modulo 2**64.

    Requires 0 <= seed < 2**63 and 1 <= bits <= 32. Works on whole arrays, whose unsigned
    products wrap silently with and without the compiler.
    """
    index = np.arange(1, n + 1).astype(np.uint64)
    word = index * np.uint64(GOLDEN_GAMMA) + np.uint64(seed)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(MIX_1)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(MIX_2)
    word = word ^ (word >> np.uint64(31))
    return (word >> np.uint64(64 - bits)).astype(np.int64)
