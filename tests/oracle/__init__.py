"""The slow, obvious version of every unit, written from docs/datapath.md alone.

Python integers and fractions, one element at a time. Nothing here imports
NumPy, the kernels or a unit, so a bug cannot be shared.
"""

from oracle.floats import fl32, fl64
from oracle.folding import Parameters, factor_of, fold, fold_bias, fold_error
from oracle.layers import conv2d_operands, conv2d_output_size, linear_operands
from oracle.narrowing import noise_values, round_fraction, store, store_format
from oracle.quantizer import quantize, quotient
from oracle.reduction import Reduction, reduce
from oracle.rescaler import Rescaled, output_limits, rescale

__all__ = [
    "Parameters",
    "Reduction",
    "Rescaled",
    "conv2d_operands",
    "conv2d_output_size",
    "factor_of",
    "fl32",
    "fl64",
    "fold",
    "fold_bias",
    "fold_error",
    "linear_operands",
    "noise_values",
    "output_limits",
    "quantize",
    "quotient",
    "reduce",
    "rescale",
    "round_fraction",
    "store",
    "store_format",
]
