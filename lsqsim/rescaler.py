"""The rescaling multiplier: from wide accumulators to output codes."""

import math

import numpy as np

from lsqsim.channels import as_channels, channel_parameter, require_codes
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.folding import (
    FLOAT_TYPES,
    FixedPointParameters,
    FloatParameters,
    Parameters,
    PowerOfTwoParameters,
    ThresholdParameters,
    fold,
)
from lsqsim.formats import MAX_BITS, AnyRounding, IntFormat
from lsqsim.kernel_codes import rounding_arguments, store, store_in
from lsqsim.specs import (
    ClampPoint,
    FixedPoint,
    FloatScale,
    Granularity,
    PowerOfTwo,
    ProductArithmetic,
    RescalerSpec,
    Thresholds,
)
from lsqsim_kernels import narrow

_INT64_LIMIT = 1 << 63
_PARAMETERS = {
    FixedPoint: FixedPointParameters,
    FloatScale: FloatParameters,
    PowerOfTwo: PowerOfTwoParameters,
    Thresholds: ThresholdParameters,
}


class Rescaler:
    """A rescaling multiplier with its parameters set (equations 7 to 12).

    The product is formed as the scaling says, rounded, held by the
    intermediate register if there is one, offset by the zero point, stored
    into the output format and clipped.

    Parameters
    ----------
    spec : RescalerSpec
        The unit.
    parameters : Parameters
        Of the kind that ``spec.scaling`` takes, as :func:`lsqsim.folding.fold` returns them;
        one channel, or several for a per-channel unit.
    acc_format : IntFormat
        Format of the accumulators the unit receives.
    zero_point : int
        Output code that means real 0.
    clamp : (int, int), optional
        Least and greatest output code, within the output format (a fused
        activation); the format's ends unless given.

    Raises
    ------
    SpecError
        Parameters of another kind or outside the unit's ranges.
    WidthError
        When an intermediate value could pass 63 bits for some accumulator.

    Examples
    --------
    5, 7 and -6 quarters; -6 quarters is a tie.

    >>> from lsqsim.formats import Rounding
    >>> spec = RescalerSpec(output=IntFormat(8), scaling=FixedPoint(rounding=Rounding.TIES_EVEN))
    >>> parameters = FixedPointParameters(multiplier=np.array([1]), shift=np.array([2]))
    >>> unit = Rescaler(spec, parameters, acc_format=IntFormat(16))
    >>> unit.rescale(np.array([5, 7, -6]))
    array([ 1,  2, -2])
    """

    def __init__(
        self,
        spec: RescalerSpec,
        parameters: Parameters,
        *,
        acc_format: IntFormat,
        zero_point: int = 0,
        clamp: tuple[int, int] | None = None,
    ) -> None:
        self.spec = spec
        self.parameters = parameters
        self.acc_format = acc_format
        self.zero_point = int(channel_parameter("zero_point", zero_point, 1, np.int64)[0])
        self.clamp = clamp or (spec.output.min, spec.output.max)
        self._check_codes()
        self._check_parameters()
        self._check_widths()

    @classmethod
    def from_factor(
        cls,
        spec: RescalerSpec,
        factor: object,
        *,
        acc_format: IntFormat,
        zero_point: int = 0,
        clamp: tuple[int, int] | None = None,
    ) -> "Rescaler":
        """The unit for a real factor M = s_x * s_w / s_y: one value, or one a channel."""
        parameters = fold(spec, factor, acc_format=acc_format, zero_point=zero_point)
        return cls(spec, parameters, acc_format=acc_format, zero_point=zero_point, clamp=clamp)

    @property
    def n_channels(self) -> int:
        """Number of channels the parameters are for."""
        return self.parameters.n_channels

    def rescale(self, acc: object, *, channel_axis: int | None = None) -> np.ndarray:
        """Output codes of accumulators.

        Parameters
        ----------
        acc : integer array, any shape
            Accumulators, within ``acc_format``, units of s_x * s_w.
        channel_axis : int, optional
            Axis of the output channels; needed by a per-channel unit.

        Returns
        -------
        int64 array, same shape
            Codes within the clamp, in units of the output step size.

        Raises
        ------
        DataError
            Values that are no codes of ``acc_format``, or another number of
            channels.
        """
        return self.rescale_traced(acc, channel_axis=channel_axis)[0]

    def rescale_traced(
        self, acc: object, *, channel_axis: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Output codes, and the product register they were rounded from.

        The product is int64 (float64 for float products), before any rounding
        shift; thresholds have none and return the accumulator less its offset.
        """
        fmt = self.acc_format
        values = require_codes("accumulators", acc, fmt.min, fmt.max, str(fmt))
        channels = self._as_channels(values, channel_axis) - self.spec.input_offset
        product, rounded = self._scale(channels)
        codes = self._finish(rounded)
        return codes.reshape(values.shape), product.reshape(values.shape)

    def _as_channels(self, values: np.ndarray, channel_axis: int | None) -> np.ndarray:
        if self.spec.granularity is Granularity.PER_TENSOR:
            return as_channels(values, None)
        if channel_axis is None:
            raise DataError("a per-channel rescaler needs the axis of the output channels")
        axis = channel_axis % values.ndim if values.ndim else 0
        if values.ndim == 0 or values.shape[axis] != self.n_channels:
            raise DataError(
                f"accumulators must have {self.n_channels} channels on axis {channel_axis}, as "
                f"many as factors, got shape {values.shape}"
            )
        return as_channels(values, axis)

    def _scale(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(product, rounded) of int64 (outer, channel, inner)."""
        scaling, parameters = self.spec.scaling, self.parameters
        match scaling, parameters:
            case FixedPoint(), FixedPointParameters():
                if scaling.product is ProductArithmetic.FLOAT64:
                    return _scale_float_product(values, scaling, parameters)
                return _scale_fixed(values, scaling, parameters)
            case FloatScale(), FloatParameters():
                scale = parameters.scale
                product = values.astype(scale.dtype) * scale[None, :, None]
                return product.astype(np.float64), _round_float(product, scaling.rounding)
            case PowerOfTwo(), PowerOfTwoParameters():
                left = _shift_left(values, np.maximum(-parameters.shift, 0))
                right = np.maximum(parameters.shift, 0)
                return left, _shift_right(left, right, scaling.rounding)
            case Thresholds(), ThresholdParameters():
                reached = narrow.count_thresholds(values, parameters.thresholds)
                return values, reached + (self.spec.output.min - self.zero_point)
            case _:
                raise AssertionError("parameters were checked to match the scaling")

    def _finish(self, rounded: np.ndarray) -> np.ndarray:
        held = store_in(self.spec.intermediate, rounded)
        low, high = self.clamp
        if self.spec.clamp_point is ClampPoint.BEFORE_ZERO_POINT:
            return np.clip(held, low - self.zero_point, high - self.zero_point) + self.zero_point
        codes = store(held + self.zero_point, self.spec.output, self.spec.overflow)
        return np.clip(codes, low, high)

    def _check_codes(self) -> None:
        fmt = self.spec.output
        if not fmt.holds(self.zero_point):
            raise SpecError(f"zero_point must be a code of {fmt.describe()}, got {self.zero_point}")
        low, high = self.clamp
        if not fmt.min <= low <= high <= fmt.max:
            raise SpecError(
                f"clamp must satisfy {fmt.min} <= low <= high <= {fmt.max}, got {self.clamp}"
            )

    def _check_parameters(self) -> None:
        expected = _PARAMETERS[type(self.spec.scaling)]
        if type(self.parameters) is not expected:
            raise SpecError(
                f"{type(self.spec.scaling).__name__} takes {expected.__name__}, "
                f"got {type(self.parameters).__name__}"
            )
        if self.spec.granularity is Granularity.PER_TENSOR and self.n_channels != 1:
            raise SpecError(
                f"a per-tensor rescaler holds one factor, got {self.n_channels}: "
                f"set granularity to per_channel"
            )
        match self.spec.scaling, self.parameters:
            case FixedPoint() as scaling, FixedPointParameters() as held:
                fmt = scaling.multiplier
                _check_range("multiplier", held.multiplier, fmt.min, fmt.max)
                _check_range("shift", held.shift, scaling.min_shift, scaling.max_shift)
                _check_addend(held, scaling.addend)
            case PowerOfTwo() as scaling, PowerOfTwoParameters() as held:
                _check_range("shift", held.shift, scaling.min_shift, scaling.max_shift)
            case FloatScale() as scaling, FloatParameters() as held:
                _check_scale(held.scale, FLOAT_TYPES[scaling.width])
            case Thresholds(), ThresholdParameters() as held:
                _check_thresholds(held.thresholds, self.spec.output)

    def _check_widths(self) -> None:
        offset = self.spec.input_offset
        largest = max(abs(self.acc_format.min - offset), abs(self.acc_format.max - offset))
        _require_width("accumulator less its offset", largest)
        bound = largest
        match self.spec.scaling, self.parameters:
            case FixedPoint() as scaling, FixedPointParameters() as held:
                channels = zip(
                    held.multiplier.tolist(), held.shift.tolist(), held.addends, strict=True
                )
                bound = max((_fixed_bound(largest, *c, scaling) for c in channels), default=0)
            case PowerOfTwo(), PowerOfTwoParameters() as held:
                bound = max((largest << max(-s, 0) for s in held.shift.tolist()), default=0)
                _require_width("accumulator shifted left", bound)
            case FloatScale(), FloatParameters() as held:
                bound = max((math.ceil(largest * s) for s in held.scale.tolist()), default=0)
                bound += bound >> 20  # both float roundings together
                _require_width("float product", bound + 1)
            case _:
                pass
        _require_width("result with its zero point", bound + abs(self.zero_point))


def _fixed_bound(
    largest: int, multiplier: int, shift: int, addend: int, scaling: FixedPoint
) -> int:
    """Bound on the rounded result; WidthError when a value on the way could pass 63 bits."""
    shifts = scaling.split(shift)
    shifted = largest << shifts.left
    _require_width("accumulator shifted left", shifted)
    if scaling.left_register is not None:
        shifted = min(shifted, -scaling.left_register.format.min)
    product = shifted * abs(multiplier) + abs(addend)
    # A float64 product may be rounded up, by at most 2**10 below 2**63.
    rounded_up = 1 << 10 if scaling.product is ProductArithmetic.FLOAT64 else 0
    _require_width("product", product + rounded_up)
    high = _shifted_up(product + rounded_up, shifts.first)
    return _shifted_up(high, shifts.last)


def _shifted_up(magnitude: int, shift: int) -> int:
    """Largest magnitude that rounding magnitude / 2**shift can give."""
    return -(-magnitude >> shift)


def _require_width(name: str, magnitude: int) -> None:
    if magnitude >= _INT64_LIMIT:
        raise WidthError(
            f"the rescaler's {name} could pass {MAX_BITS} bits (magnitude {magnitude}): use a "
            f"narrower accumulator or multiplier (16 bits for wide accumulators), or smaller "
            f"left shifts"
        )


def _check_range(name: str, values: np.ndarray, low: int, high: int) -> None:
    for value in values.tolist():
        if not low <= value <= high:
            raise SpecError(f"{name} must be in {low}..{high}, got {value}")


def _check_addend(parameters: FixedPointParameters, fmt: IntFormat | None) -> None:
    addend = parameters.addend
    if addend is None:
        return
    if fmt is None:
        raise SpecError("the rescaler takes no bias: leave addend out, or give it a format")
    if addend.shape != parameters.shift.shape:
        raise SpecError(
            f"addend must have one value a factor, {parameters.shift.shape}, got {addend.shape}"
        )
    _check_range("addend", addend, fmt.min, fmt.max)


def _check_scale(scale: np.ndarray, dtype: type) -> None:
    if scale.dtype != dtype:
        raise SpecError(f"scale must be {np.dtype(dtype)}, got {scale.dtype}")
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise SpecError(f"scale must be finite and positive, got {scale.tolist()}")


def _check_thresholds(thresholds: np.ndarray, output: IntFormat) -> None:
    if thresholds.ndim != 2 or thresholds.shape[1] != output.n_levels - 1:
        raise SpecError(
            f"{output} needs {output.n_levels - 1} thresholds a channel, got shape "
            f"{thresholds.shape}"
        )
    if (thresholds[:, 1:] < thresholds[:, :-1]).any():  # a difference could leave int64
        raise SpecError("the thresholds of a channel must ascend")


def _scale_fixed(
    values: np.ndarray, scaling: FixedPoint, parameters: FixedPointParameters
) -> tuple[np.ndarray, np.ndarray]:
    left, first, last = _channel_shifts(scaling, parameters)
    shifted = store_in(scaling.left_register, _shift_left(values, left))
    product = shifted * parameters.multiplier[None, :, None]
    if parameters.addend is not None:
        product += parameters.addend[None, :, None]
    high = product
    if scaling.first_shift is not None:
        halved = _shift_right(product, first, scaling.first_shift.rounding)
        high = store_in(scaling.first_shift.register, halved)
    return product, _shift_right(high, last, scaling.rounding)


def _scale_float_product(
    values: np.ndarray, scaling: FixedPoint, parameters: FixedPointParameters
) -> tuple[np.ndarray, np.ndarray]:
    left, _, last = _channel_shifts(scaling, parameters)
    shifted = store_in(scaling.left_register, _shift_left(values, left))
    multiplier = parameters.multiplier.astype(np.float64)
    product = shifted.astype(np.float64) * multiplier[None, :, None]
    quotient = np.ldexp(product, -last[None, :, None])
    return product, _round_float(quotient, scaling.rounding)


def _channel_shifts(
    scaling: FixedPoint, parameters: FixedPointParameters
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(left, first right, last right) of every channel, int64."""
    splits = [scaling.split(shift) for shift in parameters.shift.tolist()]
    table = np.array([(s.left, s.first, s.last) for s in splits], np.int64).reshape(-1, 3)
    return table[:, 0], np.ascontiguousarray(table[:, 1]), np.ascontiguousarray(table[:, 2])


def _shift_left(values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return values << shift[None, :, None]


def _shift_right(values: np.ndarray, shift: np.ndarray, rounding: AnyRounding) -> np.ndarray:
    return narrow.shift_right_array(values, shift, *rounding_arguments(rounding, values.size))


def _round_float(values: np.ndarray, rounding: AnyRounding) -> np.ndarray:
    flat = values.astype(np.float64).reshape(-1)
    rounded = narrow.round_float_array(flat, *rounding_arguments(rounding, flat.size))
    return rounded.reshape(values.shape)
