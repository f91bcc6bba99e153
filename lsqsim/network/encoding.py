"""What the codes between two nodes mean, and how a network's real inputs become codes."""

import math
from dataclasses import dataclass, replace

import numpy as np

from lsqsim.errors import DataError, SpecError
from lsqsim.formats import IntFormat
from lsqsim.quantizer import Quantizer
from lsqsim.specs import QuantizerSpec, StepArithmetic
from lsqsim.specs.toml import Spec
from lsqsim.tensor import QTensor

Shape = tuple[int, ...]
"""Of one sample: (h, w, c) or (features,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding(Spec):
    """Codes of one tensor: real = (code - zero_point) * step_size.

    Attributes
    ----------
    format
        Format of the codes.
    step_size
        Real units a code; finite and positive.
    zero_point
        Code that means real 0, and that padding holds.
    """

    format: IntFormat
    step_size: float
    zero_point: int = 0

    def validate(self) -> None:
        if not (math.isfinite(self.step_size) and self.step_size > 0):
            raise SpecError(f"step_size must be finite and positive, got {self.step_size}")
        if not self.format.holds(self.zero_point):
            raise SpecError(
                f"zero_point must be a code of {self.format.describe()}, got {self.zero_point}"
            )

    def tensor(self, codes: np.ndarray) -> QTensor:
        """int64 ``codes``, known to be within the format, with this meaning."""
        return QTensor(
            codes=codes,
            format=self.format,
            step_size=np.asarray(self.step_size, np.float64),
            zero_point=np.asarray(self.zero_point, np.int64),
        )

    @property
    def centered(self) -> tuple[int, int]:
        """Least and largest code less the zero point."""
        return self.format.min - self.zero_point, self.format.max - self.zero_point

    def __str__(self) -> str:
        return f"{self.format} of step size {self.step_size}, zero point {self.zero_point}"


def encoding_of(tensor: QTensor) -> Encoding:
    """What the codes of ``tensor`` mean; DataError for parameters by channel."""
    if np.ndim(tensor.step_size) or np.ndim(tensor.zero_point):
        raise DataError("codes between nodes have one step size, these have one a channel")
    return Encoding(
        format=tensor.format,
        step_size=float(tensor.step_size),
        zero_point=int(tensor.zero_point),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec(Spec):
    """The network's input: its shape, and the quantizer that makes codes of it.

    ``code = clip(round((x - offset) / step_size))``; the code ``zero_point``
    is the nearest to real 0.

    Attributes
    ----------
    shape
        Of one sample: (h, w, c) or (features,).
    quantizer
        The unit, per tensor. x and the offset are subtracted in its
        arithmetic's width.
    step_size
        Real units a code.
    offset
        Real value of code 0, for a quantizer with a learned offset (LSQ+).
        Left at 0, the zero point is added to the quotient as ever.
    zero_point
        Code for real 0.
    """

    shape: tuple[int, ...]
    quantizer: QuantizerSpec
    step_size: float
    offset: float = 0.0
    zero_point: int = 0

    def validate(self) -> None:
        if len(self.shape) not in (1, 3) or min(self.shape) < 1:
            raise SpecError(
                f"the input's shape must be (h, w, c) or (features,), each 1 or more, "
                f"got {self.shape}"
            )
        if self.quantizer.channel_axis is not None:
            raise SpecError("the input has one step size: its quantizer must be per tensor")
        if not math.isfinite(self.offset):
            raise SpecError(f"the input's offset must be finite, got {self.offset}")
        self.encoding  # noqa: B018 - checks step size and zero point
        self._unit()

    @property
    def encoding(self) -> Encoding:
        """What the codes mean."""
        return Encoding(
            format=self.quantizer.format, step_size=self.step_size, zero_point=self.zero_point
        )

    def quantize(self, values: object) -> QTensor:
        """Codes of real ``values``, any shape; DataError as the quantizer raises it."""
        if self.offset:
            is_wide = self.quantizer.arithmetic is StepArithmetic.DIVIDE_FLOAT64
            dtype = np.float64 if is_wide else np.float32
            with np.errstate(over="ignore", under="ignore"):
                values = np.asarray(values, dtype) - dtype(self.offset)
        return replace(
            self._unit().quantize(values), zero_point=np.asarray(self.zero_point, np.int64)
        )

    def _unit(self) -> Quantizer:
        """The quantizer; its own zero point is 0 where an offset says what code 0 is."""
        zero = 0 if self.offset else self.zero_point
        return Quantizer(self.quantizer, step_size=self.step_size, zero_point=zero)
