"""A layer's data: weights, bias, step sizes and zero points, as training left them."""

from dataclasses import dataclass

import numpy as np

from lsqsim.errors import DataError
from lsqsim.specs import Conv2dSpec, LayerSpec, Layout, LinearSpec

_WEIGHT_AXES = {LinearSpec: 2, Conv2dSpec: 4}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One layer, before it is folded for a datapath.

    Attributes
    ----------
    spec
        What the layer computes.
    weight, weight_codes
        Exactly one of them: real weights (float, to be quantized), or codes
        (integers, taken as they are). Axes as ``spec`` states.
    bias, bias_codes
        At most one of them: real (channels,), or integers in units of s_x * s_w.
    input_step, output_step
        Real units a code. The output's may have one a channel.
    weight_step
        Real units a code; one, or one an output channel.
    input_zero_point, output_zero_point
        Codes that mean real 0.
    weight_zero_point
        The same for weights; one, or one an output channel.
    name
        For messages and tables.
    """

    spec: LayerSpec
    input_step: float
    weight_step: float | np.ndarray
    output_step: float | np.ndarray
    weight: np.ndarray | None = None
    weight_codes: np.ndarray | None = None
    bias: np.ndarray | None = None
    bias_codes: np.ndarray | None = None
    input_zero_point: int = 0
    weight_zero_point: int | np.ndarray = 0
    output_zero_point: int = 0
    name: str = "layer"

    def __post_init__(self) -> None:
        if (self.weight is None) == (self.weight_codes is None):
            raise DataError(f"{self.name}: give either weight (real) or weight_codes (integers)")
        if self.bias is not None and self.bias_codes is not None:
            raise DataError(f"{self.name}: give bias (real) or bias_codes (integers), not both")
        axes = _WEIGHT_AXES[type(self.spec)]
        if len(self.weight_shape) != axes:
            raise DataError(
                f"{self.name}: weights of a {type(self.spec).__name__.removesuffix('Spec')} layer "
                f"have {axes} axes, got shape {self.weight_shape}"
            )
        if self.n_outputs < 1:
            raise DataError(
                f"{self.name}: a layer has at least one output channel, got weights of shape "
                f"{self.weight_shape}"
            )
        self._check_parameters()
        for name, bias in (("bias", self.bias), ("bias_codes", self.bias_codes)):
            if bias is not None and np.shape(bias) != (self.n_outputs,):
                raise DataError(
                    f"{self.name}: {name} must have shape ({self.n_outputs},), one an output "
                    f"channel, got {np.shape(bias)}"
                )

    def _check_parameters(self) -> None:
        """Step sizes and zero points: one number, or one an output channel where that is legal."""
        channels = (self.n_outputs,)
        for name, shapes, kinds, noun in (
            ("input_step", ((),), "iuf", "real number"),
            ("weight_step", ((), channels), "iuf", "real number"),
            ("output_step", ((), channels), "iuf", "real number"),
            ("input_zero_point", ((),), "iu", "integer"),
            ("weight_zero_point", ((), channels), "iu", "integer"),
            ("output_zero_point", ((),), "iu", "integer"),
        ):
            array = np.asarray(getattr(self, name))
            if array.shape not in shapes or array.dtype.kind not in kinds:
                several = f", or one for each of {self.n_outputs} channels" if shapes[1:] else ""
                raise DataError(
                    f"{self.name}: {name} must be one {noun}{several}, "
                    f"got {array.dtype} of shape {array.shape}"
                )

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weights, real or codes."""
        return np.asarray(self.weight if self.weight is not None else self.weight_codes).shape

    @property
    def n_outputs(self) -> int:
        """Number of output channels."""
        return self.weight_shape[0]

    @property
    def output_channel_axis(self) -> int:
        """Axis of the output channels in the output."""
        is_nchw = isinstance(self.spec, Conv2dSpec) and self.spec.layout is Layout.NCHW
        return 1 if is_nchw else -1
