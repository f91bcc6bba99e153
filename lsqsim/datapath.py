"""The whole datapath: a layer folded for a specification, and run on the integers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from lsqsim.channels import require_codes
from lsqsim.convolution import weight_matrix
from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.folding import combined_factor, fold, fold_error, round_half_up
from lsqsim.layer import Layer
from lsqsim.matmul_array import Accumulation, MatmulArray
from lsqsim.operand_rows import OperandRows
from lsqsim.overflow import OverflowReport
from lsqsim.quantizer import Quantizer
from lsqsim.rescaler import Rescaler
from lsqsim.specs import Activation, DatapathSpec, Granularity, tile_sizes
from lsqsim.tensor import QTensor
from lsqsim.trace import Trace
from lsqsim.walk import Addition, walk

Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all) as a run goes on."""

_RELU6_TOP = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerResult:
    """What a run yields.

    Attributes
    ----------
    input
        The codes that entered the array.
    output
        The codes that left the rescaler.
    accumulators
        The last registers, int64, shape of the output, units of s_x * s_w.
    overflow
        Exact totals and first overflows; None when not observed.
    trace
        Every register; None unless asked for.
    """

    input: QTensor
    output: QTensor
    accumulators: np.ndarray
    overflow: OverflowReport | None
    trace: Trace | None


class CompiledLayer:
    """A layer folded for a datapath: codes, integer bias, factors, clip; ready to run.

    Parameters
    ----------
    layer : Layer
        The data.
    spec : DatapathSpec
        The hardware.

    Raises
    ------
    SpecError, DataError, WidthError
        What the units raise; the message starts with the layer's name.

    Examples
    --------
    One output, two inputs, 4-bit codes: 0.5*1.0 + 0.25*(-2.0) + 0.75.

    >>> from lsqsim.specs import LinearSpec, simple_datapath
    >>> layer = Layer(spec=LinearSpec(), weight=np.array([[0.5, 0.25]]), bias=np.array([0.75]),
    ...               input_step=0.5, weight_step=0.25, output_step=0.25)
    >>> spec = simple_datapath(weight_bits=4, activation_bits=4, acc_bits=16,
    ...                        input_signed=True, output_signed=True)
    >>> result = CompiledLayer(layer, spec).run(np.array([[1.0, -2.0]]))
    >>> result.accumulators, result.output.codes, result.output.dequantize()
    (array([[6]]), array([[3]]), array([[0.75]]))
    """

    def __init__(self, layer: Layer, spec: DatapathSpec) -> None:
        self.layer = layer
        self.spec = spec
        try:
            self._build()
        except LsqsimError as error:
            raise type(error)(f"{layer.name}: {error}") from None

    def _build(self) -> None:
        layer, spec = self.layer, self.spec
        self.input_quantizer = Quantizer(
            spec.input, step_size=layer.input_step, zero_point=layer.input_zero_point
        )
        self.weight = self._weight_tensor()
        self.bias = self._bias_tensor()
        self.array = MatmulArray(
            spec.accumulator, input_format=spec.input.format, weight_format=spec.weight.format
        )
        self._output_step = np.asarray(layer.output_step, np.float64)
        self.factor = self._factor()
        self.rescaler = Rescaler(
            spec.rescaler,
            fold(
                spec.rescaler,
                self.factor,
                acc_format=spec.accumulator.format,
                zero_point=layer.output_zero_point,
            ),
            acc_format=spec.accumulator.format,
            zero_point=layer.output_zero_point,
            clamp=self._clamp(),
        )

    def _factor(self) -> np.ndarray:
        """M of the layer, or of every output channel where the rescaler holds one each."""
        factor = combined_factor(
            self.spec.rescaler.scaling,
            np.asarray(self.layer.input_step, np.float64),
            self.weight.step_size,
            self._output_step,
        )
        if self.spec.rescaler.granularity is Granularity.PER_TENSOR:
            return factor
        return np.broadcast_to(factor, (self.layer.n_outputs,))

    def _weight_tensor(self) -> QTensor:
        layer, spec = self.layer, self.spec.weight
        unit = Quantizer(
            spec,
            step_size=layer.weight_step
            if spec.channel_axis is None
            else np.broadcast_to(layer.weight_step, (layer.n_outputs,)),
            zero_point=layer.weight_zero_point,
        )
        if layer.weight_codes is None:
            return unit.quantize(layer.weight)
        fmt = spec.format
        codes = require_codes("weight_codes", layer.weight_codes, fmt.min, fmt.max, str(fmt))
        like = unit.quantize(np.zeros_like(codes))
        return replace(like, codes=codes)

    def _bias_tensor(self) -> QTensor | None:
        layer = self.layer
        if layer.bias is None and layer.bias_codes is None:
            return None
        step = layer.input_step * self.weight.step_size
        spec = replace(self.spec.bias, channel_axis=0 if step.ndim else None)
        unit = Quantizer(spec, step_size=step)
        if layer.bias_codes is None:
            return unit.quantize(layer.bias)
        fmt = spec.format
        codes = require_codes("bias_codes", layer.bias_codes, fmt.min, fmt.max, str(fmt))
        return replace(unit.quantize(np.zeros(codes.shape)), codes=codes)

    def _clamp(self) -> tuple[int, int]:
        """Output clip of the fused activation (equation 13)."""
        fmt, zero = self.spec.rescaler.output, self.layer.output_zero_point
        low, high = fmt.min, fmt.max
        if self.layer.spec.activation is not Activation.NONE:
            low = max(low, zero)
        if self.layer.spec.activation is Activation.RELU6:
            if self._output_step.ndim:
                raise SpecError("relu6 needs one output step size, not one a channel")
            top = _RELU6_TOP / Fraction(float(self._output_step))
            high = min(high, zero + round_half_up(top))
        return low, high

    @property
    def fold_error(self) -> np.ndarray:
        """Relative error of every channel's scale against the real factor, float64."""
        return fold_error(self.rescaler.parameters, self.factor)

    @property
    def n_clipped_bias(self) -> int:
        """Channels whose real bias lies half a code or more beyond its format, and is clipped."""
        if self.bias is None or self.layer.bias is None:
            return 0
        quotient, fmt = np.asarray(self.layer.bias) / self.bias.step_size, self.bias.format
        return int(((quotient >= fmt.max + 0.5) | (quotient <= fmt.min - 0.5)).sum())

    def run(
        self,
        inputs: object,
        *,
        observe: bool = True,
        trace: bool = False,
        progress: Progress | None = None,
    ) -> LayerResult:
        """Run the layer on real values, or on the codes of the layer before.

        Parameters
        ----------
        inputs : float array or QTensor
            Real inputs, quantized here; or codes with this layer's input
            format, step size and zero point. An empty batch is legal.
        observe : bool
            Also report exact totals and overflows.
        trace : bool
            Also keep every register.
        progress : callable, optional
            Called with (rows done, rows in all).

        Raises
        ------
        DataError
            Inputs that do not meet the weights, NaN, or codes of another
            format or step size.
        """
        try:
            codes = self._input_codes(inputs)
            accumulation, rows = self._accumulate(
                codes.codes, observe=observe, trace=trace, progress=progress
            )
        except LsqsimError as error:
            raise type(error)(f"{self.layer.name}: {error}") from None
        return self._finish(codes, accumulation, rows)

    def _input_codes(self, inputs: object) -> QTensor:
        if not isinstance(inputs, QTensor):
            return self.input_quantizer.quantize(inputs)
        expected = self.input_quantizer
        same = (
            inputs.format == self.spec.input.format
            and inputs.channel_axis is None
            and inputs.step_size == expected.step_size[0]
            and inputs.zero_point == expected.zero_point[0]
        )
        if not same:
            raise DataError(
                f"input codes are {inputs.format} of step size {inputs.step_size}, zero point "
                f"{inputs.zero_point}; this layer takes {self.spec.input.format} of step size "
                f"{expected.step_size[0]}, zero point {expected.zero_point[0]}"
            )
        return inputs

    def walk_output(self, inputs: QTensor, index: tuple[int, ...]) -> list[Addition]:
        """Every addition behind the output at ``index``, from the codes of a run."""
        rows = OperandRows.of(self.layer, inputs.codes.shape)
        x = rows.operands_of(inputs.codes, index, self.layer.input_zero_point)
        channel = index[self.layer.output_channel_axis]
        w = weight_matrix(self.weight.codes)[channel]
        zeros = np.broadcast_to(self.weight.zero_point, (self.layer.n_outputs,))
        return list(
            walk(
                self.spec.accumulator,
                x.tolist(),
                w.tolist(),
                0 if self.bias is None else int(self.bias.codes[channel]),
                input_zero_point=int(self.layer.input_zero_point),
                weight_zero_point=int(zeros[channel]),
            )
        )

    def _accumulate(
        self, codes: np.ndarray, *, observe: bool, trace: bool, progress: Progress | None
    ) -> tuple[Accumulation, OperandRows]:
        rows = OperandRows.of(self.layer, codes.shape)
        weights = weight_matrix(self.weight.codes).reshape(
            rows.groups, rows.n_outputs // rows.groups, rows.k
        )
        bias = None if self.bias is None else self.bias.codes.reshape(rows.groups, -1)
        zeros = np.broadcast_to(self.weight.zero_point, (self.layer.n_outputs,))
        zeros = zeros.reshape(rows.groups, -1)
        blocks: list[Accumulation] = []
        done = 0
        for block in rows.blocks(codes, self.layer.input_zero_point):
            groups = [
                self.array.accumulate(
                    block[g],
                    weights[g],
                    None if bias is None else bias[g],
                    input_zero_point=self.layer.input_zero_point,
                    weight_zero_point=zeros[g],
                    observe=observe,
                    trace=trace,
                )
                for g in range(rows.groups)
            ]
            blocks.append(Accumulation.joined(groups, axis=1))
            done += block.shape[1]
            if progress is not None:
                progress(done, rows.n_rows)
        return Accumulation.joined(blocks, axis=0), rows

    def _finish(self, codes: QTensor, accumulation: Accumulation, rows: OperandRows) -> LayerResult:
        axis = self.layer.output_channel_axis
        report = accumulation.overflow
        accumulators = rows.as_output(accumulation.registers)
        output, product = self.rescaler.rescale_traced(accumulators, channel_axis=axis)
        result = QTensor(
            codes=output,
            format=self.spec.rescaler.output,
            step_size=self._output_step,
            zero_point=np.asarray(self.layer.output_zero_point, np.int64),
            channel_axis=axis if self._output_step.ndim else None,
        )
        trace = None
        if accumulation.stages is not None:
            trace = self._trace(codes, accumulation.stages, rows, accumulators, product, output)
        return LayerResult(
            input=codes,
            output=result,
            accumulators=accumulators,
            overflow=None if report is None else report.mapped(rows.as_output, axis),
            trace=trace,
        )

    def _trace(
        self,
        codes: QTensor,
        stages: tuple[np.ndarray, ...],
        rows: OperandRows,
        accumulators: np.ndarray,
        product: np.ndarray,
        output: np.ndarray,
    ) -> Trace:
        registers = {"input_codes": codes.codes, "weight_codes": self.weight.codes}
        if self.bias is not None:
            registers["bias_codes"] = self.bias.codes
        names = [f"stage_{level}" for level in range(len(stages))]
        registers |= {
            name: rows.as_output(values) for name, values in zip(names, stages, strict=True)
        }
        registers |= {"accumulator": accumulators, "product": product, "output": output}
        sizes = tile_sizes(self.spec.accumulator.stages, rows.k)
        return Trace(registers, dict(zip(names, sizes, strict=True)))
