"""One layer as a .npz file."""

import math
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lsqsim.errors import DataError, LsqsimError
from lsqsim.files import MAX_NUMBER_BYTES, load_arrays, save_arrays
from lsqsim.layer import Layer
from lsqsim.specs import Activation, Conv2dSpec, LayerSpec, Layout, LinearSpec

STEP_KEYS = ("input_step", "weight_step", "output_step")
LINEAR_KEYS = (
    "weight",
    "weight_codes",
    "bias",
    "bias_codes",
    *STEP_KEYS,
    "input_zero_point",
    "weight_zero_point",
    "output_zero_point",
    "activation",
)
CONVOLUTION_KEYS = ("stride", "padding", "dilation", "groups", "layout")
"""Legal only beside weights with four axes."""

_CONVOLUTION_AXES = 4
_MAX_SIZE = (1 << 16) - 1
_KINDS = {"f": "real numbers (float16, float32 or float64)", "iu": "integers", "U": "a string"}
_TWINS = {"weight": "weight_codes", "bias": "bias_codes"}

E = TypeVar("E", Activation, Layout)


def load_layer(path: str | Path) -> Layer:
    """Read a layer; a step size that the file leaves out is NaN, to be calibrated.

    Parameters
    ----------
    path : path of a .npz file
        ``weight`` (real) or ``weight_codes`` (integers), with two axes for a
        linear layer and four for a convolution; optionally ``bias`` or
        ``bias_codes``, the step sizes, zero points and ``activation`` of
        :class:`~lsqsim.layer.Layer`, and for a convolution ``stride``,
        ``padding``, ``dilation``, ``groups`` and ``layout`` of
        :class:`~lsqsim.specs.Conv2dSpec`. One number for stride, padding or
        dilation serves all sides.

    Returns
    -------
    Layer
        Named as the file, without its suffix.

    Raises
    ------
    DataError
        No readable .npz without pickles, an unknown key, a wrong dtype or
        shape, or a step size that is not finite and positive.
    SpecError
        A geometry outside its range.
    """
    arrays = load_arrays(path)
    try:
        return _Members(arrays).layer(Path(path).stem)
    except LsqsimError as error:
        raise type(error)(f"{path}: {error}") from None


def save_layer(path: str | Path, layer: Layer) -> None:
    """Write ``layer`` so that :func:`load_layer` reads it back; NaN step sizes are left out."""
    values: dict[str, Any] = {key: getattr(layer, key) for key in LINEAR_KEYS[:-1]}
    values["activation"] = layer.spec.activation.value
    if isinstance(layer.spec, Conv2dSpec):
        values |= {key: getattr(layer.spec, key) for key in CONVOLUTION_KEYS}
        values["layout"] = layer.spec.layout.value
    missing = [key for key in STEP_KEYS if np.isnan(values[key]).all()]
    save_arrays(
        path,
        {k: np.asarray(v) for k, v in values.items() if v is not None and k not in missing},
    )


class _Members:
    """The arrays of one layer file, checked as they are taken."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        legal = (*LINEAR_KEYS, *CONVOLUTION_KEYS)
        for key in arrays:
            if key not in legal:
                raise DataError(f"unknown key {key!r}; legal keys are {', '.join(legal)}")
        weight = arrays.get("weight", arrays.get("weight_codes"))
        if weight is None:
            raise DataError("neither weight (real) nor weight_codes (integers) is there: give one")
        self.arrays = arrays
        self.weight_shape = weight.shape

    def layer(self, name: str) -> Layer:
        """The layer they make up."""
        return Layer(
            name=name,
            spec=self._spec(),
            weight=self._typed("weight", "f"),
            weight_codes=self._typed("weight_codes", "iu"),
            bias=self._typed("bias", "f"),
            bias_codes=self._typed("bias_codes", "iu"),
            input_step=self._step("input_step", per_channel=False),
            weight_step=self._step("weight_step", per_channel=True),
            output_step=self._step("output_step", per_channel=True),
            input_zero_point=self._integers("input_zero_point", 1, 0)[0],
            weight_zero_point=self._zero_points("weight_zero_point"),
            output_zero_point=self._integers("output_zero_point", 1, 0)[0],
        )

    def _spec(self) -> LayerSpec:
        activation = self._choice("activation", Activation.NONE)
        if len(self.weight_shape) == _CONVOLUTION_AXES:
            geometry: dict[str, Any] = {
                "stride": self._sizes("stride", 2, 1),
                "padding": self._sizes("padding", 4, 0),
                "dilation": self._sizes("dilation", 2, 1),
                "groups": self._sizes("groups", 1, 1)[0],
            }
            layout = self._choice("layout", Layout.NCHW)
            return Conv2dSpec(**geometry, layout=layout, activation=activation)
        for key in CONVOLUTION_KEYS:
            if key in self.arrays:
                raise DataError(
                    f"{key} is for convolutions, whose weights have {_CONVOLUTION_AXES} axes; "
                    f"these weights have shape {self.weight_shape}"
                )
        return LinearSpec(activation=activation)

    def _typed(self, key: str, kinds: str) -> np.ndarray | None:
        array = self.arrays.get(key)
        if array is None:
            return None
        too_wide = kinds == "f" and array.dtype.itemsize > MAX_NUMBER_BYTES
        if array.dtype.kind not in kinds or too_wide:
            hint = f"; codes (integers) are stored as {_TWINS[key]}" if key in _TWINS else ""
            raise DataError(f"{key} must hold {_KINDS[kinds]}, got dtype {array.dtype}{hint}")
        return array

    def _step(self, key: str, *, per_channel: bool) -> Any:
        """A float, or an array with one a channel; NaN where the file has none."""
        array = self.arrays.get(key)
        if array is None:
            return math.nan
        if array.dtype.kind not in "iuf":
            raise DataError(f"{key} must hold real numbers, got dtype {array.dtype}")
        values = array.astype(np.float64)
        legal = np.isfinite(values) & (values > 0)
        if not legal.all():
            raise DataError(f"{key} must be finite and positive, got {values[~legal][0]}")
        return self._one_or_channels(key, values, per_channel=per_channel)

    def _zero_points(self, key: str) -> int | np.ndarray:
        array = self._typed(key, "iu")
        return 0 if array is None else self._one_or_channels(key, array, per_channel=True)

    def _one_or_channels(self, key: str, array: np.ndarray, *, per_channel: bool) -> Any:
        if array.size == 1 and array.ndim <= 1:
            return array.item()
        expected = self.weight_shape[:1]
        if not per_channel or array.shape != expected:
            channels = f" or have shape {expected}, one an output channel" if per_channel else ""
            raise DataError(f"{key} must be one number{channels}, got shape {array.shape}")
        return array

    def _integers(self, key: str, n: int, default: int) -> tuple[int, ...]:
        """``n`` integers; one serves all."""
        array = self._typed(key, "iu")
        if array is None:
            return (default,) * n
        if array.ndim > 1 or array.size not in (1, n):
            several = f" or {n}" if n > 1 else ""
            raise DataError(f"{key} must be one integer{several}, got shape {array.shape}")
        return tuple(array.reshape(-1).tolist()) * (n // array.size)

    def _sizes(self, key: str, n: int, default: int) -> tuple[int, ...]:
        """As :meth:`_integers`; :class:`Conv2dSpec` knows the least, arrays the most."""
        sizes = self._integers(key, n, default)
        if max(sizes) > _MAX_SIZE:
            raise DataError(f"{key} must be at most {_MAX_SIZE}, got {max(sizes)}")
        return sizes

    def _choice(self, key: str, default: E) -> E:
        array = self._typed(key, "U")
        if array is None:
            return default
        choices = {member.value: member for member in type(default)}
        if array.ndim or array.item() not in choices:
            raise DataError(f"{key} must be one of {', '.join(choices)}, got {array.tolist()!r}")
        return choices[array.item()]
