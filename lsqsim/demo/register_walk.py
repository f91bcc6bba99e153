"""One output of a layer, register by register, beside the real numbers it stands for."""

from dataclasses import asdict, dataclass, replace

import numpy as np

from lsqsim.datapath import CompiledLayer, LayerResult
from lsqsim.folding import FixedPointParameters
from lsqsim.overflow import OverflowKind
from lsqsim.reference import reference_from_codes
from lsqsim.specs import DatapathSpec
from lsqsim.walk import Addition, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterWalk:
    """Every register that one output passes.

    Attributes
    ----------
    design, layer
        Names.
    image, neuron
        Index of the test image, and of the output.
    pixels
        Real inputs.
    input_codes, weight_codes
        What the multipliers receive.
    stages
        Results of every stage of the array, innermost first.
    overflows
        Additions that overflowed, in time order.
    tile_sizes
        Of each stage, how many products one result covers.
    bias_code
        What the accumulator starts from.
    accumulator, exact_total
        What it ends with, and what an unlimited one would hold; units of s_x * s_w.
    multiplier, shift, product
        The rescaler's parameters, and its register before the right shift.
    formats
        Of ``input``, ``weight``, every ``stage_0``, ``stage_1``, ..., ``acc`` and ``output``.
    output_code, exact_code
        What leaves, and the float reference's ideal code.
    output_step
        Real units a code.
    float_output
        The trained layer's output for the real pixels, nothing rounded.
    """

    design: str
    layer: str
    image: int
    neuron: int
    pixels: list[float]
    input_codes: list[int]
    weight_codes: list[int]
    stages: list[list[int]]
    tile_sizes: list[int]
    overflows: list[Addition]
    bias_code: int
    accumulator: int
    exact_total: int
    multiplier: int
    shift: int
    product: int
    output_code: int
    formats: dict[str, str]
    exact_code: int
    output_step: float
    float_output: float

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def register_walk(
    design: str,
    compiled: CompiledLayer,
    result: LayerResult,
    pixels: np.ndarray,
    real_outputs: np.ndarray,
) -> RegisterWalk:
    """Walk through the first output that overflow has changed, or else the largest of all.

    Parameters
    ----------
    design : str
        Name of the design, for the title.
    compiled : CompiledLayer
        A linear layer with bias, scaled by a multiplier and a shift.
    result : LayerResult
        Its run on ``pixels``, observed.
    pixels : float array (images, K)
        Real inputs.
    real_outputs : float array (images, N)
        The layer's outputs for them, nothing rounded.
    """
    image, neuron = _choose(result)
    one = replace(result.input, codes=result.input.codes[image : image + 1])
    traced = compiled.run(one, trace=True)
    assert traced.trace is not None
    assert traced.overflow is not None
    assert compiled.bias is not None
    parameters = compiled.rescaler.parameters
    assert isinstance(parameters, FixedPointParameters)
    x = one.codes[0].tolist()
    w = compiled.weight.codes[neuron].tolist()
    bias = int(compiled.bias.codes[neuron])
    n_stages = len(compiled.spec.accumulator.stages)
    stages = [traced.trace[f"stage_{level}"][0, neuron].tolist() for level in range(n_stages)]
    reference = reference_from_codes(compiled.layer, compiled.spec, one, compiled.weight)
    return RegisterWalk(
        design=design,
        layer=compiled.layer.name,
        image=image,
        neuron=neuron,
        pixels=pixels[image].tolist(),
        input_codes=x,
        weight_codes=w,
        stages=stages,
        tile_sizes=list(traced.trace.tile_sizes.values()),
        overflows=[s for s in walk(compiled.spec.accumulator, x, w, bias) if s.overflows],
        bias_code=bias,
        accumulator=int(traced.accumulators[0, neuron]),
        exact_total=int(traced.overflow.total[0, neuron]),
        multiplier=int(parameters.multiplier[0]),
        shift=int(parameters.shift[0]),
        product=int(traced.trace["product"][0, neuron]),
        output_code=int(traced.output.codes[0, neuron]),
        formats=_formats(compiled.spec),
        exact_code=int(reference.codes[0, neuron]),
        output_step=float(traced.output.step_size),
        float_output=float(real_outputs[image, neuron]),
    )


def _formats(spec: DatapathSpec) -> dict[str, str]:
    stages = spec.accumulator.stages
    return {
        "input": str(spec.input.format),
        "weight": str(spec.weight.format),
        **{f"stage_{level}": str(stage.format) for level, stage in enumerate(stages)},
        "acc": str(spec.accumulator.format),
        "output": str(spec.rescaler.output),
    }


def _choose(result: LayerResult) -> tuple[int, int]:
    """Indices of an image and a neuron."""
    assert result.overflow is not None
    lost = (result.overflow.kind != OverflowKind.NONE) & (
        result.accumulators != result.overflow.total
    )
    # Rectified outputs hide what happened: prefer totals above zero.
    visible = np.argwhere(lost & (result.overflow.total > 0))
    at = visible[0] if visible.size else _index_of_largest(result.output.codes)
    return int(at[0]), int(at[1])


def _index_of_largest(codes: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(codes.argmax(), codes.shape))
