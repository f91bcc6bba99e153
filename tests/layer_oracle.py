"""A whole layer by the oracle: every register of docs/datapath.md, element by element.

NumPy only carries lists in and out here; all arithmetic is the oracle's.
"""

from dataclasses import replace
from fractions import Fraction
from itertools import starmap

import numpy as np

import oracle
from lsqsim.formats import AnyRounding, StochasticRounding
from lsqsim.layer import Layer
from lsqsim.specs import (
    BiasPlacement,
    Conv2dSpec,
    DatapathSpec,
    LinearSpec,
    PowerOfTwo,
    QuantizerSpec,
    Thresholds,
)
from oracle.reduction import products_and_addend


def noise_of(rounding: AnyRounding, n: int) -> list[int]:
    """One R an element; zeros, which no other rule looks at."""
    return oracle.noise_values(rounding, n) if isinstance(rounding, StochasticRounding) else [0] * n


def quantized(values, steps: list[float], zeros: list[int], spec: QuantizerSpec) -> np.ndarray:
    """Codes of ``values``; ``steps`` and ``zeros`` have one entry an index of axis 0, or one."""
    flat = np.ravel(values).tolist()
    run = max(len(flat) // len(steps), 1)
    codes = [
        oracle.quantize(value, steps[i // run], zeros[i // run], spec, noise)
        for i, (value, noise) in enumerate(
            zip(flat, noise_of(spec.rounding, len(flat)), strict=True)
        )
    ]
    return np.array(codes, np.int64).reshape(np.shape(values))


class OracleLayer:
    """The registers of one run, by their names in a trace; and what is reported of overflow."""

    def __init__(self, layer: Layer, spec: DatapathSpec, values: np.ndarray) -> None:
        self.layer, self.spec = layer, spec
        n = layer.n_outputs
        self.w_steps = np.broadcast_to(layer.weight_step, (n,)).tolist()
        self.w_zeros = np.broadcast_to(layer.weight_zero_point, (n,)).tolist()
        self.y_steps = np.broadcast_to(layer.output_step, (n,)).tolist()
        self.registers: dict[str, np.ndarray] = {}
        self._operands(values)
        self._reduce()
        self._rescale()

    def _operands(self, values) -> None:
        layer, spec = self.layer, self.spec
        s_x, z_x = layer.input_step, layer.input_zero_point
        x = quantized(values, [s_x], [z_x], spec.input)
        w = layer.weight_codes
        if w is None:
            w = quantized(layer.weight, self.w_steps, self.w_zeros, spec.weight)
        self.registers |= {"input_codes": x, "weight_codes": np.asarray(w)}
        self.bias = [0] * layer.n_outputs
        takes = spec.rescaler.takes_bias
        if not takes and (layer.bias is not None or layer.bias_codes is not None):
            steps = [s_x * s for s in self.w_steps]
            b = layer.bias_codes
            if b is None:
                b = quantized(layer.bias, steps, [0] * len(steps), spec.bias)
            self.registers["bias_codes"] = np.asarray(b)
            self.bias = np.asarray(b).tolist()
        if isinstance(layer.spec, LinearSpec):
            k = layer.weight_shape[1]
            rows = x.reshape(int(np.prod(x.shape[:-1])), k).tolist()
            self.outputs = oracle.linear_operands(rows, np.asarray(w).tolist())
            self.shape = (*x.shape[:-1], layer.n_outputs)
        else:
            self.outputs = oracle.conv2d_operands(x.tolist(), w.tolist(), layer.spec, z_x)
            self.shape = self._conv_output(layer.spec, x.shape, w.shape)

    def _conv_output(self, spec: Conv2dSpec, x: tuple[int, ...], w: tuple[int, ...]):
        if self.layer.output_channel_axis == 1:
            size = oracle.conv2d_output_size(spec, x[2], x[3], w[2], w[3])
            return (x[0], w[0], *size)
        return (x[0], *oracle.conv2d_output_size(spec, x[1], x[2], w[1], w[2]), w[0])

    def _as_output(self, values, dtype: type = np.int64) -> np.ndarray:
        """One value an output, in C order of the output."""
        return np.array(values, dtype).reshape(self.shape)

    def _with_tiles(self, rows: list[list[int]]) -> np.ndarray:
        """A row of tiles an output; how many there are can't be seen without any output."""
        tiles = len(rows[0]) if rows else 0
        return np.array(rows, np.int64).reshape(*self.shape, tiles)

    def _reduce(self) -> None:
        spec, z_x = self.spec.accumulator, self.layer.input_zero_point
        results = []
        before_bias = []
        for channel, pairs in self.outputs:
            x, w = [a for a, _ in pairs], [b for _, b in pairs]
            zeros = (z_x, self.w_zeros[channel])
            results.append(oracle.reduce(x, w, self.bias[channel], spec, *zeros))
            # A bias that undoes the correction leaves nothing to add at the end.
            _, correction = products_and_addend(x, w, 0, spec, *zeros)
            before_bias.append(oracle.reduce(x, w, -correction, spec, *zeros).register)
        self.results = results
        last = len(spec.stages) - 1
        for level in range(last + 1):
            rows = [result.stage_results[level] for result in results]
            if level == last and spec.bias is BiasPlacement.POST_ADD:
                rows = [[register] for register in before_bias]
            self.registers[f"stage_{level}"] = self._with_tiles(rows)
        self.registers["accumulator"] = self._as_output([result.register for result in results])
        self.total = self._as_output([result.total for result in results])
        kinds = ["none", "transient", "persistent"]
        self.kind = self._as_output([kinds.index(result.kind) for result in results])
        self.first_stage = self._as_output(
            [-1 if result.first_stage is None else result.first_stage for result in results]
        )
        self.first_k = self._as_output(
            [-2 if result.first_k is None else result.first_k for result in results]
        )

    def _rescale(self) -> None:
        layer, spec = self.layer, self.spec.rescaler
        z_y, steps = layer.output_zero_point, zip(self.w_steps, self.y_steps, strict=True)
        parameters = list(starmap(self._folded, steps))
        if spec.takes_bias and layer.bias is not None:
            triples = zip(parameters, layer.bias.tolist(), self.y_steps, strict=True)
            parameters = [
                replace(p, addend=oracle.fold_bias(spec.scaling, p.shift, b, s_y))
                for p, b, s_y in triples
            ]
        clamp = oracle.output_limits(spec.output, z_y, layer.spec.activation, self.y_steps[0])
        rounding = None if isinstance(spec.scaling, Thresholds) else spec.scaling.rounding
        noise = noise_of(rounding, len(self.outputs))
        codes, products = [], []
        for i, ((channel, _), result) in enumerate(zip(self.outputs, self.results, strict=True)):
            p = parameters[channel]
            rescaled = oracle.rescale(result.register, spec, p, z_y, clamp, noise[i])
            codes.append(rescaled.code)
            product = rescaled.product
            if product is None:  # thresholds have none: the offset accumulator stands there
                product = Fraction(result.register - spec.input_offset)
            elif isinstance(spec.scaling, PowerOfTwo):  # the left shift comes before the register
                product *= 2 ** max(-p.shift, 0)
            products.append(float(product) if product.denominator > 1 else int(product))
        self.parameters = parameters
        self.registers["product"] = self._as_output(products, object)
        self.registers["output"] = self._as_output(codes)

    def _folded(self, s_w: float, s_y: float) -> oracle.Parameters:
        layer, spec = self.layer, self.spec.rescaler
        return oracle.fold(
            spec.scaling,
            oracle.factor_of(layer.input_step, s_w, s_y),
            steps=(layer.input_step, s_w, s_y),
            acc=self.spec.accumulator.format,
            output=spec.output,
            zero_point=layer.output_zero_point,
            input_offset=spec.input_offset,
        )
