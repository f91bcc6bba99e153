"""Inputs that make a register overflow, found by reaching for the ends of its range."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from lsqsim.budget.operands import RangeOperands
from lsqsim.datapath import CompiledLayer
from lsqsim.formats import Overflow
from lsqsim.specs import Conv2dSpec, Layout, StageSpec, tile_sizes
from lsqsim.tensor import QTensor
from lsqsim.walk import Addition


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """One input of one output channel, and the addition that loses its value.

    Attributes
    ----------
    channel
        Output channel.
    codes
        The K input codes, natural order.
    stage, tile
        The register: stage, 0 innermost, and which of the stage's results it becomes.
    k_index
        Natural K index of the last product that entered before; -1 for the
        preload, K for the post-added bias.
    value
        The exact sum that leaves the register.
    """

    channel: int
    codes: tuple[int, ...]
    stage: int
    tile: int
    k_index: int
    value: int

    def __str__(self) -> str:
        return (
            f"channel {self.channel}: {self.value} leaves stage {self.stage}, tile {self.tile}, "
            f"at K index {self.k_index}"
        )


def find_witness(
    compiled: CompiledLayer, operands: RangeOperands, channel: int, stage: int
) -> Witness | None:
    """An input of ``channel`` that loses a value in ``stage``; None when no end of a range does.

    For a wrapping stage one whose result is wrong in the end.
    """
    spec = operands.spec.stages[stage]
    for extreme in _extremes(operands, channel):
        codes = operands.codes(extreme)
        found = _lost_in(compiled.walk_codes(codes, channel), stage, spec)
        if found is not None:
            return Witness(
                channel=channel, codes=tuple(codes), stage=stage, tile=found.tile,
                k_index=found.k_index, value=found.before + found.operand,
            )  # fmt: skip
    return None


def witness_input(compiled: CompiledLayer, witness: Witness) -> tuple[QTensor, tuple[int, ...]]:
    """Codes for :meth:`~lsqsim.CompiledLayer.run` that hold the witness, and the output they reach.

    Returns
    -------
    QTensor
        Input codes of one sample: the witness where that output looks, the
        zero point elsewhere.
    tuple of int
        Index of the output whose operands are the witness.
    """
    layer = compiled.layer
    codes = np.array(witness.codes, np.int64)
    if isinstance(layer.spec, Conv2dSpec):
        codes, index = _image(compiled, layer.spec, codes, witness.channel)
    else:
        codes, index = codes[None, :], (0, witness.channel)
    unit = compiled.input_quantizer
    tensor = QTensor(
        codes=codes,
        format=compiled.spec.input.format,
        step_size=unit.step_size[0],
        zero_point=unit.zero_point[0],
    )
    return tensor, index


def _lost_in(additions: Iterable[Addition], stage: int, spec: StageSpec) -> Addition | None:
    """The first addition that overflows, in the first tile that comes out wrong by it."""
    first: dict[int, Addition] = {}
    exact: dict[int, int] = {}
    result: dict[int, int] = {}
    for addition in additions:
        if addition.stage != stage:
            continue
        tile = addition.tile
        exact[tile] = exact.get(tile, 0) + addition.operand
        result[tile] = addition.after
        if addition.overflows:
            first.setdefault(tile, addition)
    for tile, addition in first.items():
        if spec.overflow is Overflow.SATURATE or result[tile] != exact[tile]:
            return addition
    return None


def _extremes(operands: RangeOperands, channel: int) -> Iterator[np.ndarray]:
    """Operands (k,) that reach the ends of every range; in the order of entry."""
    group = operands.groups[channel]
    low, high = operands.low[group], operands.high[group]
    for factors in _factors(operands, channel, low, high):
        yield np.where(factors > 0, high, low)
        yield np.where(factors < 0, high, low)


def _factors(
    operands: RangeOperands, channel: int, low: np.ndarray, high: np.ndarray
) -> Iterator[np.ndarray]:
    """What each operand is multiplied by on its way into some sum."""
    weights, coupling = operands.weights[channel], int(operands.coupling[channel])
    yield weights
    if coupling == 0:
        return
    # By way of the addend, an input counts before its product enters, too.
    yield weights + coupling
    if not operands.is_preloaded:
        return
    for sign in (1, -1):
        entered = _reach(sign * (weights + coupling), low, high)
        coming = _reach(np.full(operands.k, sign * coupling), low, high)
        sums = np.concatenate([[0], np.cumsum(entered - coming)])
        ends = _last_operands_end(operands)
        n_entered = int(ends[np.argmax(sums[ends])])
        split = np.full(operands.k, coupling)
        split[:n_entered] += weights[:n_entered]
        yield split


def _reach(factors: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.maximum(factors * low, factors * high)


def _last_operands_end(operands: RangeOperands) -> np.ndarray:
    """How many products have entered before each addition into the last register."""
    sizes = [1, *tile_sizes(operands.spec.stages, operands.k)]
    return np.unique([*range(0, operands.k, sizes[-2]), operands.k])


def _image(
    compiled: CompiledLayer, spec: Conv2dSpec, codes: np.ndarray, channel: int
) -> tuple[np.ndarray, tuple[int, ...]]:
    """One image, and its first output that looks at no padding."""
    shape = compiled.layer.weight_shape
    if spec.layout is Layout.NHWC:
        taps = codes.reshape(shape[1:]).transpose(2, 0, 1)
    else:
        taps = codes.reshape(shape[1:])
    (per_group, kh, kw), (dh, dw), (sh, sw) = taps.shape, spec.dilation, spec.stride
    row, column = -(-spec.padding[0] // sh), -(-spec.padding[2] // sw)
    top, left = row * sh - spec.padding[0], column * sw - spec.padding[2]
    image = np.full(
        (1, per_group * spec.groups, top + dh * (kh - 1) + 1, left + dw * (kw - 1) + 1),
        compiled.layer.input_zero_point,
        np.int64,
    )
    first = channel // (shape[0] // spec.groups) * per_group
    image[0, first : first + per_group, top::dh, left::dw] = taps
    if spec.layout is Layout.NHWC:
        return np.ascontiguousarray(image.transpose(0, 2, 3, 1)), (0, row, column, channel)
    return image, (0, channel, row, column)
