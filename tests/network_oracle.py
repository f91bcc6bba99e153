"""Nodes of an integer network one code at a time: Python integers, fractions and nested lists."""

from fractions import Fraction

import oracle
from lsqsim.specs import AccumulatorSpec, Activation, RescalerSpec


def add_factors(spec, ratios):
    """(factors, shift): every legal shift is tried, the largest that fits wins."""
    fitting = [
        (shift, factors)
        for shift in range(spec.min_shift, spec.max_shift + 1)
        for factors in [[int(ratio * 2**shift + Fraction(1, 2)) for ratio in ratios]]
        if max(factors) <= spec.factor.max
    ]
    shift, factors = max(fitting)
    return factors, shift


def add(node, left, right, a, b):
    """The output code of the codes ``a`` and ``b`` (equations of AddSpec)."""
    spec, output = node.adder, node.output
    ratios = [Fraction(e.step_size) / Fraction(output.step_size) for e in (left, right)]
    (m_a, m_b), shift = add_factors(spec, ratios)
    exact = Fraction(node.bias) / Fraction(output.step_size) * 2**shift
    bias = int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
    register = 0
    for term in (bias, (a - left.zero_point) * m_a, (b - right.zero_point) * m_b):
        register = oracle.store(register + term, spec.accumulator.bits, spec.accumulator.overflow)
    rounded = oracle.round_fraction(Fraction(register, 2**shift), spec.rounding)
    code = oracle.store_format(rounded + output.zero_point, output.format, spec.overflow)
    return max(code, output.zero_point) if node.activation is Activation.RELU else code


def mean(node, source, codes, accumulator: AccumulatorSpec, bias=None):
    """The output code of the mean of ``codes``: registers by the oracle, then its rescaler."""
    step, guard, k = Fraction(source.step_size), 2**node.guard_bits, len(codes)
    s_w = 2.0**-node.guard_bits / k
    real = node.bias if bias is None else bias
    exact = Fraction(real) / Fraction(float(step) * s_w) if real else Fraction(0)
    bias_code = int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
    held = oracle.reduce(codes, [guard] * k, bias_code, accumulator, source.zero_point)
    factor = oracle.factor_of(source.step_size, s_w, node.output.step_size)
    spec: RescalerSpec = node.rescaler
    parameters = oracle.fold(
        spec.scaling, factor, steps=(source.step_size, s_w, node.output.step_size),
        acc=accumulator.format, output=spec.output, zero_point=node.output.zero_point,
    )  # fmt: skip
    low = spec.output.min if node.activation is Activation.NONE else node.output.zero_point
    return oracle.rescale(
        held.register, spec, parameters, node.output.zero_point, (low, spec.output.max)
    ).code


def windows(image, kernel, stride, padding=(0, 0, 0, 0), fill=None):
    """Rows of rows of channels of the codes under each window: image is [h][w][c]."""
    top, bottom, left, right = padding
    height, width, channels = len(image), len(image[0]), len(image[0][0])

    def code(row, column, c):
        inside = 0 <= row < height and 0 <= column < width
        return image[row][column][c] if inside else fill

    return [
        [
            [
                [
                    code(i * stride[0] + u - top, j * stride[1] + v - left, c)
                    for u in range(kernel[0])
                    for v in range(kernel[1])
                ]
                for c in range(channels)
            ]
            for j in range((width + left + right - kernel[1]) // stride[1] + 1)
        ]
        for i in range((height + top + bottom - kernel[0]) // stride[0] + 1)
    ]
