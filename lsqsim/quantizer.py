"""The quantizer unit: real values to integer codes, by a configurable step size."""

import numpy as np

from lsqsim.channels import as_array, as_channels, channel_parameter, n_values
from lsqsim.errors import DataError, SpecError
from lsqsim.kernel_codes import rounding_arguments
from lsqsim.specs import QuantizerSpec, StepArithmetic
from lsqsim.tensor import QTensor
from lsqsim_kernels.quantize import quantize_by_division, quantize_by_reciprocal


class Quantizer:
    """A quantizer unit with its step size set (equation 1).

    ``code = clip(round(v / s) + z, q_min, q_max)``

    The quotient is formed as ``spec.arithmetic`` says and then rounded
    exactly, so that a tie is a tie of the quotient the hardware sees.

    Parameters
    ----------
    spec : QuantizerSpec
        The unit.
    step_size : float or array (channels,)
        Real units a code; finite and positive in the unit's own arithmetic.
    zero_point : int or array (channels,)
        Code that means real 0; within the unit's format.

    Raises
    ------
    SpecError
        A step size that is not finite and positive (as float32, where the
        unit works in it, and so its reciprocal), or a zero point outside the
        format.
    DataError
        Parameters that are not numbers, or several where the unit has one.

    Examples
    --------
    The paper's unsigned 2-bit activations: below 0 and above 3 steps clip.

    >>> from lsqsim.formats import IntFormat
    >>> unit = Quantizer(QuantizerSpec(format=IntFormat(2, signed=False)), step_size=0.5)
    >>> unit.quantize(np.array([-1.0, 0.2, 0.3, 1.25, 9.0])).codes
    array([0, 0, 1, 2, 3])
    """

    def __init__(self, spec: QuantizerSpec, *, step_size: object, zero_point: object = 0) -> None:
        self.spec = spec
        self.n_channels = 1
        if spec.channel_axis is not None:
            self.n_channels = max(
                n_values("step_size", step_size), n_values("zero_point", zero_point)
            )
        self.step_size = channel_parameter("step_size", step_size, self.n_channels, np.float64)
        self.zero_point = channel_parameter("zero_point", zero_point, self.n_channels, np.int64)
        self._dtype = np.float64 if spec.arithmetic is StepArithmetic.DIVIDE_FLOAT64 else np.float32
        self._divisor = self._checked_divisor()
        for value in self.zero_point.tolist():
            if not spec.format.holds(value):
                raise SpecError(
                    f"zero_point must be a code of {spec.format.describe()}, got {value}"
                )

    def _checked_divisor(self) -> np.ndarray:
        """The step sizes, or their reciprocals, in the unit's arithmetic."""
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            steps = self.step_size.astype(self._dtype)
            inverse = self._dtype(1) / steps
        by_reciprocal = self.spec.arithmetic is StepArithmetic.RECIPROCAL_FLOAT32
        usable = np.isfinite(steps) & (steps > 0)
        if by_reciprocal:
            usable &= np.isfinite(inverse) & (inverse > 0)
        if not usable.all():
            at = int(np.argmin(usable))
            where = f" (channel {at})" if self.n_channels > 1 else ""
            as_float = "" if self._dtype is np.float64 else ", as must its float32 value"
            raise SpecError(
                f"step_size must be finite and positive{as_float}"
                f"{' and reciprocal' if by_reciprocal else ''}, got {self.step_size[at]}{where}"
            )
        return inverse if by_reciprocal else steps

    def quantize(self, values: object) -> QTensor:
        """Codes of ``values``.

        Parameters
        ----------
        values : float16, float32, float64 or integer array, any shape
            Real units. Infinite values clip.

        Returns
        -------
        QTensor
            int64 codes within the unit's format, same shape.

        Raises
        ------
        DataError
            NaN (with how many and the first index), another dtype, or a
            channel axis of another length than the step sizes.
        """
        array = as_array("values", values)
        self._check(array)
        with np.errstate(over="ignore", under="ignore"):
            channels = as_channels(array.astype(self._dtype), self.spec.channel_axis)
            codes = self._quantize_channels(channels)
        axis = self.spec.channel_axis
        return QTensor(
            codes=codes.reshape(array.shape),
            format=self.spec.format,
            step_size=self.step_size if axis is not None else self.step_size.reshape(()),
            zero_point=self.zero_point if axis is not None else self.zero_point.reshape(()),
            channel_axis=axis,
        )

    def _quantize_channels(self, channels: np.ndarray) -> np.ndarray:
        by_reciprocal = self.spec.arithmetic is StepArithmetic.RECIPROCAL_FLOAT32
        kernel = quantize_by_reciprocal if by_reciprocal else quantize_by_division
        fmt = self.spec.format
        rounding = rounding_arguments(self.spec.rounding, channels.size)
        return kernel(channels, self._divisor, self.zero_point, fmt.min, fmt.max, *rounding)

    def _check(self, array: np.ndarray) -> None:
        if array.dtype.kind not in "iuf" or array.dtype.itemsize > np.dtype(np.float64).itemsize:
            raise DataError(
                f"values must be float16, float32, float64 or integers, got dtype {array.dtype}"
            )
        axis = self.spec.channel_axis
        if axis is not None:
            if axis >= array.ndim:
                raise DataError(f"values must have a channel axis {axis}, got shape {array.shape}")
            if array.shape[axis] != self.n_channels:
                raise DataError(
                    f"values must have {self.n_channels} channels on axis {axis}, as many as "
                    f"step sizes, got shape {array.shape}"
                )
        if array.dtype.kind == "f":
            nan = np.isnan(array)
            if nan.any():
                first = tuple(int(i) for i in np.argwhere(nan)[0])
                raise DataError(
                    f"NaN has no code: {int(nan.sum())} of {array.size} values are NaN, "
                    f"the first at index {first}"
                )
