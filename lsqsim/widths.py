"""A datapath from a handful of widths, what they leave open settled by the layer and its inputs."""

from dataclasses import dataclass, fields, replace

import numpy as np

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.geometry import weight_stationary
from lsqsim.layer import Layer
from lsqsim.specs import Activation, DatapathSpec, simple_datapath

_DEFAULT_BITS = 8
_DEFAULT_ACC_BITS = 32
_OPPOSITES = {
    "signed_input": "unsigned_input",
    "signed_output": "unsigned_output",
    "per_channel": "per_tensor",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """A datapath by its widths; None leaves a choice to the default or to the data."""

    weight_bits: int | None = None
    activation_bits: int | None = None
    acc_bits: int | None = None
    overflow: Overflow | None = None
    output_bits: int | None = None
    rounding: Rounding | None = None
    tile: int | None = None
    tile_bits: int | None = None
    tile_overflow: Overflow | None = None
    signed_input: bool | None = None
    signed_output: bool | None = None
    per_channel: bool | None = None

    def datapath(self, layer: Layer | None, inputs: np.ndarray | None) -> DatapathSpec:
        """The datapath for ``layer`` and ``inputs``; both only settle what is left open."""
        overflow = self.overflow or Overflow.WRAP
        spec = simple_datapath(
            weight_bits=self.weight_bits or _DEFAULT_BITS,
            activation_bits=self.activation_bits or _DEFAULT_BITS,
            acc_bits=self.acc_bits or _DEFAULT_ACC_BITS,
            overflow=overflow,
            output_bits=self.output_bits,
            input_signed=_given_or(self.signed_input, _needs_signed_input(layer, inputs)),
            output_signed=_given_or(self.signed_output, _needs_signed_output(layer)),
            per_channel=_given_or(self.per_channel, _has_channel_steps(layer)),
        )
        return self._tiled(self._rounded(spec), overflow)

    def within_network(self, *, former: IntFormat | None, is_last: bool) -> "Widths":
        """The same for a layer that takes what a layer before it puts out, or hands on.

        The width and the sign of the output are the last layer's; between
        layers, codes are as wide as the first one's inputs.
        """
        widths = self
        if former is not None:
            widths = replace(widths, activation_bits=former.bits, signed_input=former.signed)
        return widths if is_last else replace(widths, output_bits=None, signed_output=None)

    def options(self, *, input_signed: bool) -> list[str]:
        """Command-line options that stand for these widths, the sign of the inputs settled."""
        words: list[str] = []
        settled = replace(self, signed_input=input_signed)
        for field in fields(self):
            value = getattr(settled, field.name)
            if isinstance(value, bool):
                words.append(option_name(field.name, value))
            elif value is not None:
                words += [option_name(field.name, value), str(value)]
        return words

    def _rounded(self, spec: DatapathSpec) -> DatapathSpec:
        if self.rounding is None:
            return spec
        scaling = replace(spec.rescaler.scaling, rounding=self.rounding)
        return replace(spec, rescaler=replace(spec.rescaler, scaling=scaling))

    def _tiled(self, spec: DatapathSpec, overflow: Overflow) -> DatapathSpec:
        if self.tile is None or self.tile_bits is None:
            if (self.tile, self.tile_bits, self.tile_overflow) != (None, None, None):
                raise SpecError(
                    "a first stage needs both its operands and its width: give --tile and "
                    "--tile-bits together"
                )
            return spec
        stages = weight_stationary(
            rows=self.tile,
            column_bits=self.tile_bits,
            acc_bits=spec.accumulator.format.bits,
            column_overflow=self.tile_overflow or overflow,
            acc_overflow=overflow,
        )
        return replace(spec, accumulator=replace(spec.accumulator, stages=stages))


def option_name(name: str, value: object) -> str:
    """The command-line option of a field that has ``value``.

    >>> option_name("signed_input", False), option_name("acc_bits", 16)
    ('--unsigned-input', '--acc-bits')
    """
    if value is False:
        name = _OPPOSITES[name]
    return f"--{name.replace('_', '-')}"


def _given_or(given: bool | None, otherwise: bool) -> bool:  # noqa: FBT001 - a default for a flag
    return otherwise if given is None else given


def _needs_signed_input(layer: Layer | None, inputs: np.ndarray | None) -> bool:
    if layer is not None and layer.input_zero_point:
        return layer.input_zero_point < 0
    return inputs is not None and bool((inputs < 0).any())


def _needs_signed_output(layer: Layer | None) -> bool:
    if layer is None:
        return False
    if layer.output_zero_point:
        return layer.output_zero_point < 0
    return layer.spec.activation is Activation.NONE


def _has_channel_steps(layer: Layer | None) -> bool:
    if layer is None:
        return False
    parameters = (layer.weight_step, layer.weight_zero_point, layer.output_step)
    return any(np.ndim(parameter) for parameter in parameters)
