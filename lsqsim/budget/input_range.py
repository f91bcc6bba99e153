"""The codes an input can be: of its format, seen in data, or stated."""

from dataclasses import dataclass

import numpy as np

from lsqsim.channels import as_array
from lsqsim.errors import DataError
from lsqsim.formats import IntFormat


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputRange:
    """Least and largest code of the inputs, one of each for all, or one an input channel.

    Attributes
    ----------
    low, high
        int, or int64 (channels,): both ends belong to the range.

    Raises
    ------
    DataError
        Ends that are no integers, of two shapes, or a low end above its high end.
    """

    low: int | np.ndarray
    high: int | np.ndarray

    def __post_init__(self) -> None:
        low, high = _integers(self.low), _integers(self.high)
        if low.shape != high.shape or low.ndim > 1:
            raise DataError(
                f"an input range has one low and one high end, or one of each an input channel, "
                f"got shapes {low.shape} and {high.shape}"
            )
        if not low.size:
            raise DataError("an input range for each input channel needs at least one channel")
        wrong = np.flatnonzero(np.atleast_1d(low > high))
        if wrong.size:
            first, last = np.atleast_1d(low)[wrong[0]], np.atleast_1d(high)[wrong[0]]
            where = f" of input channel {wrong[0]}" if low.ndim else ""
            raise DataError(
                f"the input range {first}..{last}{where} is empty: its low end must not exceed "
                f"its high end"
            )

    @classmethod
    def of_format(cls, fmt: IntFormat) -> "InputRange":
        """All codes of ``fmt``."""
        return cls(low=fmt.min, high=fmt.max)

    @classmethod
    def observed(cls, codes: np.ndarray, channel_axis: int) -> "InputRange":
        """The least range that holds ``codes``, one for each input channel.

        Raises
        ------
        DataError
            Without any code in some channel.
        """
        if not codes.size:
            raise DataError(
                f"an input range can't be found from no data, got inputs of shape {codes.shape}"
            )
        rows = np.moveaxis(codes, channel_axis, 0).reshape(codes.shape[channel_axis], -1)
        return cls(low=rows.min(axis=1), high=rows.max(axis=1))

    @classmethod
    def parse(cls, text: str) -> "InputRange":
        """Read ``LOW:HIGH``, two integers.

        >>> InputRange.parse("-3:12")
        InputRange(low=-3, high=12)
        """
        ends = text.split(":")
        try:
            low, high = map(int, ends)
        except ValueError:
            raise DataError(
                f"an input range is written LOW:HIGH, two integer codes such as 0:200, got {text!r}"
            ) from None
        return cls(low=low, high=high)

    @property
    def n_channels(self) -> int | None:
        """Input channels it tells apart; None when one range serves all."""
        return None if np.ndim(self.low) == 0 else np.size(self.low)

    @property
    def least(self) -> int:
        """Least code of all."""
        return int(np.min(self.low))

    @property
    def largest(self) -> int:
        """Largest code of all."""
        return int(np.max(self.high))

    def including(self, code: int) -> "InputRange":
        """The least range that holds this one and ``code``."""
        if np.ndim(self.low) == 0:
            return InputRange(low=min(int(self.low), code), high=max(int(self.high), code))
        return InputRange(low=np.minimum(self.low, code), high=np.maximum(self.high, code))


def _integers(ends: object) -> np.ndarray:
    array = as_array("an input range", ends)
    if array.dtype.kind not in "iu":
        raise DataError(f"an input range must be of integer codes, got {ends!r}")
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"an input range must fit 64 bits, signed, got {ends!r}")
    return array.astype(np.int64)
