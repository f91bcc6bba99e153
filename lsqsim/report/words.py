"""A datapath in words, unit by unit, in the order in which data passes."""

from lsqsim.formats import AnyRounding, IntFormat, Overflow, StochasticRounding
from lsqsim.specs import (
    BiasPlacement,
    ClampPoint,
    DatapathSpec,
    FanIn,
    FixedPoint,
    FloatScale,
    Granularity,
    KOrder,
    PowerOfTwo,
    ProductArithmetic,
    QuantizerSpec,
    RegisterSpec,
    RescalerSpec,
    Scaling,
    StageSpec,
    Thresholds,
    ZeroPointHandling,
)

Row = dict[str, str]

_MAX_BITS_WITH_RANGE = 16
_OVERFLOWS = {Overflow.WRAP: "wraps", Overflow.SATURATE: "saturates"}
_ZERO_POINTS = {
    ZeroPointHandling.FOLD: "raw codes; one zero-point correction joins the bias",
    ZeroPointHandling.CENTER: "zero points are subtracted from the codes first",
}
_BIAS = {
    BiasPlacement.PRELOAD: "starts from the bias",
    BiasPlacement.POST_ADD: "adds the bias last",
}
_NO_BIAS = {
    BiasPlacement.PRELOAD: "starts from the zero-point correction, if any",
    BiasPlacement.POST_ADD: "adds the zero-point correction, if any, last",
}
_CLAMP = {
    ClampPoint.AFTER_ZERO_POINT: "adds the zero point, {}, then clips for the activation",
    ClampPoint.BEFORE_ZERO_POINT: "clips to the limits less the zero point, then adds it",
}


def unit_rows(spec: DatapathSpec) -> list[Row]:
    """One row a register or unit: ``unit``, the ``format`` it holds, and its ``rule``.

    Examples
    --------
    >>> from lsqsim.specs import simple_datapath
    >>> spec = simple_datapath(acc_bits=16, overflow=Overflow.SATURATE)
    >>> row = unit_rows(spec)[4]
    >>> row["unit"], row["format"]
    ('stage 0', 'int16 [-32768, 32767]')
    >>> row["rule"]
    'starts from the bias; adds all operands, one at a time; saturates'
    """
    return [
        _quantizer("input", spec.input),
        _quantizer("weight", spec.weight),
        *([] if spec.rescaler.takes_bias else [_quantizer("bias", spec.bias)]),
        *_accumulator(spec),
        *_rescaler(spec.rescaler),
    ]


def _row(unit: str, fmt: IntFormat | str, rule: str) -> Row:
    return {"unit": unit, "format": fmt if isinstance(fmt, str) else _format(fmt), "rule": rule}


def _format(fmt: IntFormat) -> str:
    return fmt.describe() if fmt.bits <= _MAX_BITS_WITH_RANGE else str(fmt)


def _quantizer(name: str, spec: QuantizerSpec) -> Row:
    rule = f"v / s by {spec.arithmetic}, rounded {_rounding(spec.rounding)}, clipped"
    if spec.channel_axis is not None:
        rule += "; one step size a channel"
    return _row(f"{name} codes", spec.format, rule)


def _accumulator(datapath: DatapathSpec) -> list[Row]:
    spec = datapath.accumulator
    bias = _NO_BIAS if datapath.rescaler.takes_bias else _BIAS
    order = f"{spec.order} order" if isinstance(spec.order, KOrder) else "a stated order"
    first = f"{_ZERO_POINTS[spec.zero_points]}; K in {order}"
    last = len(spec.stages) - 1
    stages = [
        _stage(level, stage, f"{bias[spec.bias]}; " if level == last else "")
        for level, stage in enumerate(spec.stages)
    ]
    return [_row("products", "exact", first), *stages]


def _stage(level: int, stage: StageSpec, bias: str) -> Row:
    n = "all operands" if isinstance(stage.fan_in, FanIn) else f"{stage.fan_in} operands"
    rule = f"{bias}adds {n}, one at a time; {_OVERFLOWS[stage.overflow]}"
    return _row(f"stage {level}", stage.format, rule)


def _rescaler(spec: RescalerSpec) -> list[Row]:
    rows = [
        _row("input offset", "exact", f"subtracts {spec.input_offset} from the accumulator")
    ] * bool(spec.input_offset)
    each = "a channel" if spec.granularity is Granularity.PER_CHANNEL else "for all"
    rows += _scaling(spec.scaling, each)
    if spec.intermediate is not None:
        rows.append(_register("intermediate", spec.intermediate, "the rounded result"))
    if isinstance(spec.scaling, Thresholds):
        output = "counts thresholds reached, then clips for the activation"
    else:
        output = _CLAMP[spec.clamp_point].format(_OVERFLOWS[spec.overflow])
    return [*rows, _row("output codes", spec.output, output)]


def _register(unit: str, register: RegisterSpec, what: str) -> Row:
    return _row(unit, register.format, f"holds {what}; {_OVERFLOWS[register.overflow]}")


def _scaling(scaling: Scaling, each: str) -> list[Row]:
    match scaling:
        case FixedPoint():
            return _fixed_point(scaling, each)
        case FloatScale():
            how = f"acc * scale in {scaling.width}, rounded {_rounding(scaling.rounding)}"
            return [_row("rescaler", str(scaling.width), f"{how}; one scale {each}")]
        case PowerOfTwo():
            how = f"acc / 2**shift, rounded {_rounding(scaling.rounding)}"
            shifts = f"shift {scaling.min_shift}..{scaling.max_shift}"
            return [_row("rescaler", "shift only", f"{how}; one {shifts} {each}")]
        case _:
            how = f"one set {each}, where the product rounded {_rounding(scaling.rounding)} steps"
            return [_row("thresholds", "as the accumulator", how)]


def _fixed_point(scaling: FixedPoint, each: str) -> list[Row]:
    rows: list[Row] = []
    if scaling.left_register is not None:
        rows.append(_register("left shift", scaling.left_register, "acc * 2**left"))
    if scaling.addend is not None:
        rule = "bias / s_y in units of 2**-(shift right), rounded ties_pos, clipped; joins acc * m"
        rows.append(_row("addend", scaling.addend, rule))
    acc = "acc * m" if scaling.addend is None else "(acc * m + addend)"
    product = " in float64" if scaling.product is ProductArithmetic.FLOAT64 else ""
    folded = "" if scaling.reduced_from is None else f", folded by way of {scaling.reduced_from}"
    factor = f"one multiplier and shift {scaling.min_shift}..{scaling.max_shift} {each}{folded}"
    if scaling.first_shift is None:
        rule = f"{acc} / 2**shift{product}, rounded {_rounding(scaling.rounding)}; {factor}"
        return [*rows, _row("rescaler", scaling.multiplier, rule)]
    first = scaling.first_shift
    high = f"{acc} / 2**{first.shift} rounded {first.rounding}"
    rule = f"the rest of the shift, rounded {_rounding(scaling.rounding)}; {factor}"
    return [
        *rows,
        _register("first shift", first.register, high),
        _row("rescaler", scaling.multiplier, rule),
    ]


def _rounding(rounding: AnyRounding) -> str:
    if isinstance(rounding, StochasticRounding):
        return f"stochastically ({rounding.generator}, seed {rounding.seed}, {rounding.bits} bits)"
    return str(rounding)
