"""The whole datapath: a layer folded for a specification, and run on the integers."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from lsqsim.array_operands import ArrayOperands
from lsqsim.convolution import weight_matrix
from lsqsim.errors import DataError, named_errors
from lsqsim.folding import combined_factor, fold, fold_error, n_clipped_addends
from lsqsim.layer import Layer
from lsqsim.layer_codes import bias_tensor, output_clamp, rescaler_bias, weight_tensor
from lsqsim.matmul_array import Accumulation, MatmulArray
from lsqsim.operand_rows import OperandRows
from lsqsim.overflow import OverflowReport
from lsqsim.quantizer import Quantizer
from lsqsim.rescaler import Rescaler
from lsqsim.specs import AccumulatorSpec, DatapathSpec, Granularity, tile_sizes
from lsqsim.tensor import QTensor
from lsqsim.trace import Trace
from lsqsim.walk import Addition, walk

Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all) as a run goes on."""


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
        with named_errors(self.layer.name):
            self._build_codes()
            self._build_units()

    def with_accumulator(self, accumulator: AccumulatorSpec) -> "CompiledLayer":
        """The same layer on another accumulator; nothing is quantized again.

        Raises
        ------
        SpecError, WidthError
            What the array and the rescaler raise for it.
        """
        other = copy(self)
        other.spec = replace(self.spec, accumulator=accumulator)
        with named_errors(self.layer.name):
            other._build_units()  # noqa: SLF001 - one of our own
        return other

    def _build_codes(self) -> None:
        layer, spec = self.layer, self.spec
        self.input_quantizer = Quantizer(
            spec.input, step_size=layer.input_step, zero_point=layer.input_zero_point
        )
        self.weight = weight_tensor(layer, spec)
        self.bias = bias_tensor(layer, spec, self.weight)
        self.rescaler_bias = rescaler_bias(layer, spec)
        self._output_step = np.asarray(layer.output_step, np.float64)

    def _build_units(self) -> None:
        layer, spec = self.layer, self.spec
        self.array = MatmulArray(
            spec.accumulator, input_format=spec.input.format, weight_format=spec.weight.format
        )
        self.factor = self._factor()
        self.rescaler = Rescaler(
            spec.rescaler,
            fold(
                spec.rescaler,
                self.factor,
                acc_format=spec.accumulator.format,
                zero_point=layer.output_zero_point,
                bias=self.rescaler_bias,
            ),
            acc_format=spec.accumulator.format,
            zero_point=layer.output_zero_point,
            clamp=output_clamp(layer, spec),
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

    @property
    def fold_error(self) -> np.ndarray:
        """Relative error of every channel's scale against the real factor, float64."""
        return fold_error(self.rescaler.parameters, self.factor)

    @property
    def n_clipped_bias(self) -> int:
        """Channels whose real bias lies half a code or more beyond its format, and is clipped."""
        if self.rescaler_bias is not None:
            scaling, parameters = self.spec.rescaler.scaling, self.rescaler.parameters
            return n_clipped_addends(scaling, parameters, self.rescaler_bias)
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
        codes = self.input_codes(inputs)
        rows = self.operand_rows(codes)
        blocks: list[Accumulation] = []
        done = 0
        for block in self.operand_blocks(rows, codes):
            groups = [self.array.reduce(group, observe=observe, trace=trace) for group in block]
            blocks.append(Accumulation.joined(groups, axis=1))
            done += block[0].x.shape[0]
            if progress is not None:
                progress(done, rows.n_rows)
        return self._finish(codes, Accumulation.joined(blocks, axis=0), rows)

    def input_codes(self, inputs: object) -> QTensor:
        """The codes that enter the array for what :meth:`run` takes, whose errors it raises."""
        with named_errors(self.layer.name):
            return self._input_codes(inputs)

    def operand_rows(self, codes: QTensor) -> OperandRows:
        """How input codes become rows of a matrix product; DataError if they do not meet."""
        with named_errors(self.layer.name):
            return OperandRows.of(self.layer, codes.codes.shape)

    def operand_blocks(self, rows: OperandRows, codes: QTensor) -> Iterator[list[ArrayOperands]]:
        """Operands of the array, a bounded number of rows at a time; one for each group.

        The channels of the groups, in order, are the layer's output channels.
        """
        n = self.layer.n_outputs
        bias = np.zeros(n, np.int64) if self.bias is None else self.bias.codes
        ports = (
            rows.by_group(weight_matrix(self.weight.codes)),
            rows.by_group(bias),
            [self.layer.input_zero_point] * rows.groups,
            rows.by_group(np.broadcast_to(self.weight.zero_point, (n,))),
        )
        for block in rows.blocks(codes.codes, self.layer.input_zero_point):
            with named_errors(self.layer.name):
                groups = zip(block, *ports, strict=True)
                operands = [self.array.ports.take(*group) for group in groups]
            yield operands

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
        return self.walk_codes(x.tolist(), index[self.layer.output_channel_axis])

    def walk_codes(self, codes: Sequence[int], channel: int) -> list[Addition]:
        """Every addition behind an output of ``channel`` whose K input codes are ``codes``."""
        w = weight_matrix(self.weight.codes)[channel]
        zeros = np.broadcast_to(self.weight.zero_point, (self.layer.n_outputs,))
        return list(
            walk(
                self.spec.accumulator,
                codes,
                w.tolist(),
                0 if self.bias is None else int(self.bias.codes[channel]),
                input_zero_point=int(self.layer.input_zero_point),
                weight_zero_point=int(zeros[channel]),
            )
        )

    def _finish(self, codes: QTensor, accumulation: Accumulation, rows: OperandRows) -> LayerResult:
        axis = self.layer.output_channel_axis
        report = accumulation.overflow
        accumulators = rows.as_output(accumulation.registers)
        output, product = self._rescale(accumulators)
        trace = None
        if accumulation.stages is not None:
            trace = self._trace(
                codes, accumulation.stages, rows, accumulators, product, output.codes
            )
        return LayerResult(
            input=codes,
            output=output,
            accumulators=accumulators,
            overflow=None if report is None else report.mapped(rows.as_output, axis),
            trace=trace,
        )

    def rescale(self, accumulators: np.ndarray) -> QTensor:
        """The output for given last registers, shape of the output; DataError outside the format.

        A run's own accumulators give the run's output.
        """
        with named_errors(self.layer.name):
            return self._rescale(accumulators)[0]

    def _rescale(self, accumulators: np.ndarray) -> tuple[QTensor, np.ndarray]:
        """Output, and the product register behind it."""
        axis = self.layer.output_channel_axis
        codes, product = self.rescaler.rescale_traced(accumulators, channel_axis=axis)
        output = QTensor(
            codes=codes,
            format=self.spec.rescaler.output,
            step_size=self._output_step,
            zero_point=np.asarray(self.layer.output_zero_point, np.int64),
            channel_axis=axis if self._output_step.ndim else None,
        )
        return output, product

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
