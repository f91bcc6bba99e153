"""Certificates: for every stage, that no input overflows it, or an input that does."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from lsqsim.budget.input_range import InputRange
from lsqsim.budget.layer_operands import layer_operands, legal_inputs
from lsqsim.budget.operands import RangeOperands
from lsqsim.budget.ranges import StageRanges, Verdict, exact_ranges, stage_verdicts
from lsqsim.budget.witness import Witness, find_witness
from lsqsim.convolution import weight_matrix
from lsqsim.datapath import CompiledLayer
from lsqsim.formats import IntFormat, Overflow
from lsqsim.specs import StageSpec
from lsqsim.specs.toml import to_table

KIND = "lsqsim overflow certificate"
VERSION = 1
_MAX_TRIED = 8
"""Channels of a stage in which a witness is looked for, before an inner stage's has to do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageCertificate:
    """What is proven of one stage, for every input in range.

    Attributes
    ----------
    spec
        The stage.
    verdicts
        :class:`Verdict` of every output channel, uint8 (n,).
    prefix_low, prefix_high
        Ends of every sum before it is stored, int64 (n,), each stage given the
        exact sums of the one before. Both are reached.
    result_low, result_high
        The same for its results.
    wrap_bits, saturate_bits
        Least width at which every channel is wrap-safe by its own results, and
        saturate-safe; 2 or more.
    witness
        Of an unsafe stage. Its ``stage`` is an inner one where the inputs that
        reach farthest lose their value there already.
    """

    spec: StageSpec
    verdicts: np.ndarray
    prefix_low: np.ndarray
    prefix_high: np.ndarray
    result_low: np.ndarray
    result_high: np.ndarray
    wrap_bits: int
    saturate_bits: int
    witness: Witness | None

    @property
    def verdict(self) -> Verdict:
        """The worst of all channels."""
        return Verdict(int(self.verdicts.max()))

    @property
    def is_wrap_safe(self) -> bool:
        """Whether wrapping loses no value here."""
        return self.verdict is not Verdict.UNSAFE

    @property
    def is_saturate_safe(self) -> bool:
        """Whether no addition leaves the register."""
        return self.verdict is Verdict.SATURATE_SAFE

    @property
    def required_bits(self) -> int:
        """Least width that is safe by the stage's own overflow rule."""
        wraps = self.spec.overflow is Overflow.WRAP
        return self.wrap_bits if wraps else self.saturate_bits

    @property
    def headroom_bits(self) -> int:
        """Bits of the register that no input needs; negative when some are missing."""
        return self.spec.bits - self.required_bits

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "verdict": str(self.verdict),
            "wrap_safe_channels": np.flatnonzero(self.verdicts == Verdict.WRAP_SAFE).tolist(),
            "unsafe_channels": np.flatnonzero(self.verdicts == Verdict.UNSAFE).tolist(),
            "wrap_bits": self.wrap_bits,
            "saturate_bits": self.saturate_bits,
            "headroom_bits": self.headroom_bits,
            "prefix_low": self.prefix_low.tolist(),
            "prefix_high": self.prefix_high.tolist(),
            "result_low": self.result_low.tolist(),
            "result_high": self.result_high.tolist(),
            "witness": None if self.witness is None else _witness_table(self.witness),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certificate:
    """What is proven of a layer's accumulators.

    Attributes
    ----------
    compiled
        The layer, folded for the hardware.
    inputs
        The input codes it holds for; the zero point among them where a
        convolution pads.
    stages
        One each, inner first.
    """

    compiled: CompiledLayer
    inputs: InputRange
    stages: tuple[StageCertificate, ...]

    @property
    def is_safe(self) -> bool:
        """Whether every accumulator holds its exact total, whatever the inputs in range."""
        return all(stage.verdict is not Verdict.UNSAFE for stage in self.stages)

    @property
    def safe_channels(self) -> np.ndarray:
        """Output channels whose accumulator always holds its exact total, bool (n,)."""
        return np.all([stage.verdicts != Verdict.UNSAFE for stage in self.stages], axis=0)

    @property
    def witnesses(self) -> tuple[Witness, ...]:
        """Of the unsafe stages, inner first."""
        return tuple(stage.witness for stage in self.stages if stage.witness is not None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; docs/overflow.md lists the keys."""
        table: dict[str, Any] = {
            "kind": KIND,
            "version": VERSION,
            "layer_digest": layer_digest(self.compiled),
            "datapath": to_table(self.compiled.spec),
            "input_low": np.asarray(self.inputs.low).tolist(),
            "input_high": np.asarray(self.inputs.high).tolist(),
            "stages": [stage.to_dict() for stage in self.stages],
        }
        return table | {"seal": seal(table)}


def certify(compiled: CompiledLayer, inputs: InputRange | None = None) -> Certificate:
    """Prove, for every stage, that no input overflows it; or find one that does.

    Parameters
    ----------
    compiled : CompiledLayer
        The layer.
    inputs : InputRange, optional
        The input codes to prove it for; all codes of the input format unless given.

    Raises
    ------
    DataError, SpecError
        A range for another number of input channels, or outside the input format.
    WidthError
        When a sum of magnitudes could pass 62 bits.

    Examples
    --------
    Two inputs of 0 .. 15 and weights 7 and -8 reach from -120 to 105:

    >>> from lsqsim import Layer, LinearSpec, simple_datapath
    >>> layer = Layer(spec=LinearSpec(), weight_codes=np.array([[7, -8]]),
    ...               input_step=1.0, weight_step=1.0, output_step=1.0)
    >>> narrow = simple_datapath(weight_bits=4, activation_bits=4, acc_bits=7)
    >>> stage, = certify(CompiledLayer(layer, narrow)).stages
    >>> stage.verdict, stage.wrap_bits, stage.headroom_bits
    (<Verdict.UNSAFE: 2>, 8, -1)
    >>> print(stage.witness)
    channel 0: 105 leaves stage 0, tile 0, at K index 0
    """
    inputs = legal_inputs(compiled, inputs)
    operands = layer_operands(compiled, inputs)
    ranges = exact_ranges(operands)
    verdicts = stage_verdicts(operands, ranges)
    witnesses = _Witnesses(compiled, operands, ranges, verdicts)
    wrap_bits, saturate_bits = ranges.wrap_bits.max(axis=0), ranges.saturate_bits.max(axis=0)
    return Certificate(
        compiled=compiled,
        inputs=inputs,
        stages=tuple(
            StageCertificate(
                spec=spec,
                verdicts=verdicts[:, level],
                prefix_low=ranges.prefix_low[:, level],
                prefix_high=ranges.prefix_high[:, level],
                result_low=ranges.result_low[:, level],
                result_high=ranges.result_high[:, level],
                wrap_bits=int(wrap_bits[level]),
                saturate_bits=int(saturate_bits[level]),
                witness=witnesses.of(level),
            )
            for level, spec in enumerate(operands.spec.stages)
        ),
    )


def layer_digest(compiled: CompiledLayer) -> str:
    """SHA-256 of the integers that a certificate speaks of, as hexadecimal digits.

    Of the weight codes (n, K) in natural order, as little-endian integers of
    the fewest bytes out of 1, 2, 4 and 8 that hold every code of the weight
    format; then as 8-byte integers the bias codes, the weight zero points (one
    a channel each) and the input zero point.
    """
    n = compiled.layer.n_outputs
    codes = weight_matrix(compiled.weight.codes)
    bias = np.zeros(n, np.int64) if compiled.bias is None else compiled.bias.codes
    zeros = np.broadcast_to(compiled.weight.zero_point, (n,))
    digest = hashlib.sha256(codes.astype(f"<i{_bytes(compiled.spec.weight.format)}").tobytes())
    for values in (bias, zeros, [compiled.layer.input_zero_point]):
        digest.update(np.asarray(values, "<i8").tobytes())
    return digest.hexdigest()


def seal(table: dict[str, Any]) -> str:
    """SHA-256 of a certificate without its seal: its JSON, keys sorted, without blanks."""
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class _Witnesses:
    """Witnesses of the unsafe stages of one layer."""

    def __init__(
        self,
        compiled: CompiledLayer,
        operands: RangeOperands,
        ranges: StageRanges,
        verdicts: np.ndarray,
    ) -> None:
        self.compiled = compiled
        self.operands = operands
        self.ranges = ranges
        self.unsafe = verdicts == Verdict.UNSAFE

    def of(self, level: int) -> Witness | None:
        """One that loses its value in this stage; where none is found, in an inner one."""
        channels = self._farthest(level)
        for stage in (level, *range(level)):
            for channel in channels:
                if self.unsafe[channel, stage]:
                    found = find_witness(self.compiled, self.operands, channel, stage)
                    if found is not None:
                        return found
        assert not channels, "the innermost unsafe stage has a witness of its own"
        return None

    def _farthest(self, level: int) -> list[int]:
        """Unsafe channels, those whose range passes the register by most first; a few of them."""
        channels = np.flatnonzero(self.unsafe[:, level])
        spec, ranges = self.operands.spec.stages[level], self.ranges
        if spec.overflow is Overflow.WRAP:
            low, high = ranges.result_low, ranges.result_high
        else:
            low, high = ranges.prefix_low, ranges.prefix_high
        beyond = np.maximum(high - spec.format.max, spec.format.min - low)[channels, level]
        return channels[np.argsort(-beyond, kind="stable")][:_MAX_TRIED].tolist()


def _bytes(fmt: IntFormat) -> int:
    """Bytes of the least integer, of 1, 2, 4 or 8, that holds the format's codes."""
    return next(n for n in (1, 2, 4, 8) if 8 * n >= fmt.bits + (not fmt.signed))


def _witness_table(witness: Witness) -> dict[str, Any]:
    return {
        "channel": witness.channel,
        "codes": list(witness.codes),
        "stage": witness.stage,
        "tile": witness.tile,
        "k_index": witness.k_index,
        "value": witness.value,
    }
