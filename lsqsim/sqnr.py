"""Signal to quantization noise: one number for how far an output lies from the wanted one."""

import math

import numpy as np


def sqnr_db(wanted: np.ndarray, got: np.ndarray) -> float:
    """10 log10(sum wanted^2 / sum (wanted - got)^2).

    Parameters
    ----------
    wanted, got : real arrays of one shape
        In the same units.

    Returns
    -------
    float
        dB; infinite without noise, minus infinity for noise without signal.

    Examples
    --------
    >>> sqnr_db(np.array([10.0, 0.0]), np.array([9.0, 0.0]))
    20.0
    """
    signal, noise = float((wanted**2).sum()), float(((wanted - got) ** 2).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
