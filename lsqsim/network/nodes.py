"""The nodes of an integer network: what each takes, what it computes, on which unit."""

from dataclasses import dataclass
from typing import ClassVar

from lsqsim.datapath import CompiledLayer
from lsqsim.errors import SpecError
from lsqsim.formats import AnyRounding, IntFormat, Overflow, Rounding
from lsqsim.network.encoding import Encoding
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    RegisterSpec,
    RescalerSpec,
    StageSpec,
)
from lsqsim.specs.rescaler import check_shift_range
from lsqsim.specs.toml import Spec

INPUT = "input"
"""The source of nodes that take the network's input."""

MAX_GUARD_BITS = 16

SUM_REGISTER = RegisterSpec(bits=32, overflow=Overflow.SATURATE)
"""Where additions are made unless a specification says otherwise."""

SUM_ACCUMULATOR = AccumulatorSpec(stages=(StageSpec(bits=32, overflow=Overflow.SATURATE),))
"""The same for the sums of averages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNode:
    """A convolution (channels last) or a linear layer on its datapath.

    Attributes
    ----------
    source
        The node it takes.
    unit
        The layer, folded; the node is called by its name.
    """

    kind: ClassVar[str] = "layer"
    source: str
    unit: CompiledLayer

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.unit.layer.name

    @property
    def sources(self) -> tuple[str, ...]:
        """All nodes it takes."""
        return (self.source,)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSpec(Spec):
    """The adder of two tensors of codes: a product of two terms, and one rounding shift.

    acc = (a - z_a) m_a + (b - z_b) m_b + bias, code = round(acc / 2**shift) + z_y.

    Attributes
    ----------
    factor
        Format of the integer factors m_a and m_b, which share one shift: the
        largest that both factors fit with.
    accumulator
        Register; its overflow rule acts after every addition.
    min_shift, max_shift
        Legal shifts, within 0 .. 62.
    rounding
        Rule of the shift.
    overflow
        Rule by which the result enters the output's format.
    """

    factor: IntFormat = IntFormat(16)
    accumulator: RegisterSpec = SUM_REGISTER
    min_shift: int = 0
    max_shift: int = 62
    rounding: AnyRounding = Rounding.TIES_POS
    overflow: Overflow = Overflow.SATURATE

    def validate(self) -> None:
        check_shift_range(self.min_shift, self.max_shift)
        if self.min_shift < 0:
            raise SpecError(f"an adder shifts to the right only: min_shift is {self.min_shift}")
        if self.factor.max < 1:
            raise SpecError(f"the adder's factors need a positive code; {self.factor} has none")


ADDER = AddSpec()
"""The adder unless another is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeNode(Spec):
    """A node without weights; ``name`` is unique, ``source`` the node it takes, or ``"input"``."""

    kind: ClassVar[str]
    name: str
    source: str

    @property
    def sources(self) -> tuple[str, ...]:
        """All nodes it takes."""
        return (self.source,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten(CodeNode):
    """(h, w, c) to (h * w * c,), in that order; the codes stay as they are."""

    kind: ClassVar[str] = "flatten"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool(CodeNode):
    """The largest code of every window; padding (top, bottom, left, right) never wins."""

    kind: ClassVar[str] = "max_pool"
    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    def validate(self) -> None:
        _check_window(self.name, self.kernel, self.stride)
        top, bottom, left, right = self.padding
        largest = max(top, bottom) >= self.kernel[0] or max(left, right) >= self.kernel[1]
        if min(self.padding) < 0 or largest:
            raise SpecError(
                f"{self.name}: padding must be 0 or more, and smaller than the window "
                f"{self.kernel}, got {self.padding}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Storing(CodeNode):
    """A node that puts out codes of its own.

    Attributes
    ----------
    output
        What its codes mean.
    activation
        Fused: none or relu, the lower clip at the zero point.
    bias
        Real constant added to every output before it is rounded.
    """

    output: Encoding
    activation: Activation = Activation.NONE
    bias: float = 0.0

    def validate(self) -> None:
        if self.activation is Activation.RELU6:
            raise SpecError(f"{self.name}: activation must be none or relu, got relu6")
        if not abs(self.bias) < float("inf"):
            raise SpecError(f"{self.name}: bias must be finite, got {self.bias}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Storing):
    """source + other, of one shape: the residual addition."""

    kind: ClassVar[str] = "add"
    other: str
    adder: AddSpec = ADDER

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source, self.other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescaled(Storing):
    """A node whose codes come from a rescaler.

    Attributes
    ----------
    rescaler
        The unit; its output is the node's, and it holds one factor.
    guard_bits
        Codes are shifted left by so many bits before the bias is added, so
        that the bias, an integer too, is held finer than the source's codes.
    """

    rescaler: RescalerSpec
    guard_bits: int = 0

    def validate(self) -> None:
        Storing.validate(self)
        if self.rescaler.output != self.output.format:
            raise SpecError(
                f"{self.name}: the rescaler puts out {self.rescaler.output}, the node "
                f"{self.output.format}: give both the same"
            )
        if not 0 <= self.guard_bits <= MAX_GUARD_BITS:
            raise SpecError(
                f"{self.name}: guard_bits must be in 0..{MAX_GUARD_BITS}, got {self.guard_bits}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Requantize(Rescaled):
    """The same values in codes of another format and step size."""

    kind: ClassVar[str] = "requantize"


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat(Rescaled):
    """Channels of several nodes one after the other, each requantized to the one output.

    Attributes
    ----------
    others
        The nodes that follow ``source``, in order.
    offsets
        Real constants, one for ``source`` and each of ``others``, added
        beside ``bias``; all 0 unless given.
    """

    kind: ClassVar[str] = "concat"
    others: tuple[str, ...]
    offsets: tuple[float, ...] = ()

    def validate(self) -> None:
        Rescaled.validate(self)
        if len(self.offsets) not in (0, len(self.sources)):
            raise SpecError(
                f"{self.name}: offsets are one for each of {len(self.sources)} sources, got "
                f"{len(self.offsets)}"
            )
        if not all(abs(offset) < float("inf") for offset in self.offsets):
            raise SpecError(f"{self.name}: offsets must be finite, got {self.offsets}")

    @property
    def biases(self) -> tuple[float, ...]:
        """What is added to the values of each source."""
        return tuple(self.bias + each for each in self.offsets or (0.0,) * len(self.sources))

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source, *self.others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaging(Rescaled):
    """A mean: the sum of a window's codes in an accumulator, divided by the rescaler."""

    accumulator: AccumulatorSpec = SUM_ACCUMULATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePool(Averaging):
    """Mean of every window; no padding."""

    kind: ClassVar[str] = "average_pool"
    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)

    def validate(self) -> None:
        Rescaled.validate(self)
        _check_window(self.name, self.kernel, self.stride)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalAveragePool(Averaging):
    """Mean over the image: (h, w, c) to (c,)."""

    kind: ClassVar[str] = "global_average_pool"


Node = LayerNode | Flatten | MaxPool | Add | Requantize | Concat | AveragePool | GlobalAveragePool
"""Any node."""

CODE_NODES = (Flatten, MaxPool, Add, Requantize, Concat, AveragePool, GlobalAveragePool)


def _check_window(name: str, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
    if min(kernel) < 1 or min(stride) < 1:
        raise SpecError(f"{name}: kernel and stride must be 1 or more, got {kernel} and {stride}")
