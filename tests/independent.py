"""Implementations for ``assert_bit_exact`` made of the oracle alone: no NumPy arithmetic, no units.

Each takes the keywords that ``assert_bit_exact`` calls with.
"""

from fractions import Fraction

import numpy as np

import oracle
from layer_oracle import noise_of
from lsqsim.specs import AccumulatorSpec, Granularity, QuantizerSpec, RescalerSpec


def quantizer(spec: QuantizerSpec):
    def quantize(values, step_size, zero_point):
        axis = spec.channel_axis
        along = () if axis is None else [-1 if a == axis else 1 for a in range(values.ndim)]
        steps = np.broadcast_to(np.reshape(step_size, along), values.shape)
        zeros = np.broadcast_to(np.reshape(zero_point, along), values.shape)
        noise = noise_of(spec.rounding, values.size)
        rows = zip(values.flat, steps.flat, zeros.flat, noise, strict=True)
        codes = [oracle.quantize(float(v), float(s), int(z), spec, r) for v, s, z, r in rows]
        return np.array(codes, np.int64).reshape(values.shape)

    return quantize


def array(spec: AccumulatorSpec):
    def accumulate(x, w, bias, input_zero_point, weight_zero_point):
        outputs = [
            [
                oracle.reduce(row, channel, b, spec, input_zero_point, z)
                for channel, b, z in zip(
                    w.tolist(), bias.tolist(), weight_zero_point.tolist(), strict=True
                )
            ]
            for row in x.tolist()
        ]

        def register(of):
            return np.array([[of(output) for output in row] for row in outputs], np.int64)

        stages = {
            f"stage_{level}": register(lambda output, level=level: output.stage_results[level])
            for level in range(len(spec.stages))
        }
        return stages | {"accumulator": register(lambda output: output.register)}

    return accumulate


def rescaler(spec: RescalerSpec):
    per_channel = spec.granularity is Granularity.PER_CHANNEL

    def rescale(acc, zero_point, low, high, **parameters):
        channels = acc.shape[-1] if per_channel else 1
        held = [
            _parameters({k: v[c] if per_channel else v for k, v in parameters.items()})
            for c in range(channels)
        ]
        noise = noise_of(spec.scaling.rounding, acc.size)
        codes = [
            oracle.rescale(a, spec, held[i % channels], zero_point, (low, high), r).code
            for i, (a, r) in enumerate(zip(acc.ravel().tolist(), noise, strict=True))
        ]
        return np.array(codes, np.int64).reshape(acc.shape)

    return rescale


def _parameters(given) -> oracle.Parameters:
    """Those of one channel."""
    exact = {
        "multiplier": int,
        "shift": int,
        "scale": lambda scale: Fraction(float(scale)),
        "thresholds": lambda row: tuple(row.tolist()),
    }
    return oracle.Parameters(**{name: exact[name](value) for name, value in given.items()})
