"""Arrays with one parameter a channel: their view as (outer, channel, inner)."""

import math

import numpy as np

from lsqsim.errors import DataError


def as_channels(values: np.ndarray, axis: int | None) -> np.ndarray:
    """``values`` as a contiguous (outer, channel, inner) array, in C order of the original.

    ``axis`` None means one channel for all: (1, 1, size).
    """
    values = np.ascontiguousarray(values)
    if axis is None:
        return values.reshape(1, 1, values.size)
    outer, channels = math.prod(values.shape[:axis]), values.shape[axis]
    return values.reshape(outer, channels, math.prod(values.shape[axis + 1 :]))


def along_axis(parameter: np.ndarray, axis: int | None, ndim: int) -> np.ndarray:
    """``parameter`` (channel,) or scalar, shaped to broadcast along ``axis`` of ``ndim`` axes."""
    if axis is None:
        return parameter.reshape(())
    return parameter.reshape([-1 if i == axis % ndim else 1 for i in range(ndim)])


def channel_parameter(name: str, value: object, n_channels: int, dtype: type) -> np.ndarray:
    """``value`` as a (n_channels,) array; a scalar serves every channel.

    Raises
    ------
    DataError
        For another number of values, or values that are no plain numbers.
    """
    array = as_array(name, value)
    legal = "iu" if np.issubdtype(dtype, np.integer) else "iuf"
    if array.dtype.kind not in legal:
        kinds = "an integer" if legal == "iu" else "a real number"
        raise DataError(f"{name} must be {kinds}, or one a channel, got {value!r}")
    if array.ndim > 1 or array.size not in (1, n_channels):
        channels = f", or one for each of the {n_channels} channels" if n_channels != 1 else ""
        raise DataError(f"{name} must be one value{channels}, got shape {array.shape}")
    if legal == "iu" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{name} must fit 64 bits, signed, got {value!r}")
    return np.broadcast_to(array.astype(dtype).reshape(-1), (n_channels,)).copy()


def n_values(name: str, value: object) -> int:
    """How many values a parameter has; DataError for nested lists of several lengths."""
    return as_array(name, value).size


def as_array(name: str, value: object) -> np.ndarray:
    """``value`` as an array; DataError for nested lists of several lengths."""
    try:
        return np.asarray(value)
    except ValueError:
        raise DataError(f"{name} must be an array, got rows of several lengths") from None


def require_codes(name: str, codes: object, low: int, high: int, format_name: str) -> np.ndarray:
    """``codes`` as int64; DataError unless they are integers within [low, high]."""
    array = as_array(name, codes)
    if array.dtype.kind not in "iu":
        raise DataError(
            f"{name} must be integer codes, got dtype {array.dtype}; quantize real values first"
        )
    if array.size:
        for extreme in (int(array.min()), int(array.max())):
            if not low <= extreme <= high:
                raise DataError(
                    f"{name} must be codes of {format_name} [{low}, {high}], got {extreme}"
                )
    return np.asarray(array, np.int64, order="C")
