"""Quantized tensors: codes together with what they mean."""

from dataclasses import dataclass

import numpy as np

from lsqsim.channels import along_axis
from lsqsim.formats import IntFormat


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QTensor:
    """Integer codes and their meaning: real = (codes - zero_point) * step_size (equation 2).

    Attributes
    ----------
    codes
        int64, any shape, every value within ``format``.
    format
        Format the codes are stored in.
    step_size
        float64, () or (channels,): real units a code.
    zero_point
        int64, () or (channels,): the code that means real 0.
    channel_axis
        Axis that the parameters run along; None when there is one for all.
    """

    codes: np.ndarray
    format: IntFormat
    step_size: np.ndarray
    zero_point: np.ndarray
    channel_axis: int | None = None

    def dequantize(self) -> np.ndarray:
        """The real values, float64, same shape as the codes.

        Examples
        --------
        Code 3 is the zero point; each code is a quarter.

        >>> q = QTensor(codes=np.array([3, 7]), format=IntFormat(4),
        ...             step_size=np.array(0.25), zero_point=np.array(3))
        >>> q.dequantize()
        array([0., 1.])
        """
        step = along_axis(self.step_size, self.channel_axis, self.codes.ndim)
        zero = along_axis(self.zero_point, self.channel_axis, self.codes.ndim)
        return (self.codes - zero) * step
