"""The published accumulator formulas, exactly: integers and fractions, never a float.

Each takes widths or a norm only, no weight codes, hence bounds from outside; the exact range of
the codes at hand is never wider. K products of N-bit inputs and M-bit weights; S is 1 for
signed inputs, else 0; P is the width of the signed register, and of a single one: no stages, no
bias, no zero points.
"""

import math
from fractions import Fraction

from lsqsim.errors import SpecError
from lsqsim.formats import MAX_BITS
from lsqsim.specs.accumulator import MIN_REGISTER_BITS


def data_type_bits(k: int, *, input_bits: int, weight_bits: int, signed_input: bool) -> int:
    """Bits that are enough for any weights and inputs of their formats.

    The smallest P with 2^(P-1) - 1 >= K * 2^(N + M - 1 - S): the data-type bound of A2Q (Colbert
    et al., *A2Q: Accumulator-Aware Quantization with Guaranteed Overflow Avoidance*, ICCV 2023).

    Parameters
    ----------
    k
        Products of one output, 0 or more.
    input_bits, weight_bits
        Widths N and M, 1 .. 63 bits; weights are signed and of full range.
    signed_input
        Whether inputs are signed.

    Returns
    -------
    Width P, 1 or more: it may exceed the 63 bits of a register.

    Raises
    ------
    SpecError
        For an argument outside its range.

    Examples
    --------
    A layer of 256 * 3 * 3 products, of 4 bits each way:

    >>> data_type_bits(2304, input_bits=4, weight_bits=4, signed_input=False)
    20
    """
    _require_count("k", k, 0)
    _require_bits("input_bits", input_bits)
    _require_bits("weight_bits", weight_bits)
    _require_bool(signed_input)
    return (k << (input_bits + weight_bits - 1 - signed_input)).bit_length() + 1


def l1_bits(norm: int | Fraction, *, input_bits: int, signed_input: bool) -> int:
    """Bits that are enough for weights of this l1 norm, and any inputs of their format.

    The smallest P with 2^(P-1) - 1 >= norm * 2^(N - S): the weight-norm bound of A2Q (ICCV 2023).

    Parameters
    ----------
    norm
        Sum of the magnitudes of one channel's weight codes, 0 or more.
    input_bits
        Width N, 1 .. 63 bits.
    signed_input
        Whether inputs are signed.

    Returns
    -------
    Width P, 1 or more.

    Raises
    ------
    SpecError
        For an argument outside its range.
    """
    _require_norm(norm)
    _require_bits("input_bits", input_bits)
    _require_bool(signed_input)
    return math.ceil(norm * (1 << (input_bits - signed_input))).bit_length() + 1


def zero_centered_bits(norm: int | Fraction, *, input_bits: int) -> int:
    """Bits that are enough **only if** positive and negative codes have equal sums: a trap.

    The smallest P with 2^P - 2 >= norm * (2^N - 1): the bound of A2Q+ (Colbert et al., *A2Q+:
    Improving Accumulator-Aware Weight Quantization*, 2024), read backwards.

    It looks at the width of the range only, and not at where the range lies: norm * (2^N - 1)
    is how far the largest sum is from the smallest, and 2^P - 2 how far apart the ends of a
    register are, less one code. The one bounds the other only when positive and negative codes
    have equal sums, and codes rounded from centered weights seldom do: rounding toward zero
    does not keep the mean. With 8-bit inputs, codes (1, -1) reach -255 .. 255 and fit 9 bits;
    codes (1, 1) reach 510 and need 10. The formula says 9 for both.

    Parameters
    ----------
    norm
        Sum of the magnitudes of one channel's weight codes, 0 or more.
    input_bits
        Width N, 1 .. 63 bits.

    Returns
    -------
    Width P, 1 or more.

    Raises
    ------
    SpecError
        For an argument outside its range.

    Examples
    --------
    Right for codes (1, -1), too few for codes (1, 1):

    >>> zero_centered_bits(2, input_bits=8)
    9
    """
    _require_norm(norm)
    _require_bits("input_bits", input_bits)
    return (math.ceil(norm * ((1 << input_bits) - 1)) + 1).bit_length()


def rule_of_thumb_bits(k: int, *, input_bits: int, weight_bits: int) -> int:
    """Folklore, **too small** for full-range weights: ceil(log2((2^N - 1)(2^M - 1) K)).

    Here to document the trap. For M-bit weights it takes magnitudes of at most (2^M - 1) / 2, so
    it forgets the code -2^(M-1); and a sum of exactly 2^(P-1) does not fit P bits.

    Parameters
    ----------
    k
        Products of one output, 1 or more: no products have no logarithm.
    input_bits, weight_bits
        Widths N and M, 1 .. 63 bits.

    Returns
    -------
    The rule's width, 0 or more.

    Raises
    ------
    SpecError
        For an argument outside its range.

    Examples
    --------
    2304 products of 15 * -8 need 20 bits:

    >>> rule_of_thumb_bits(2304, input_bits=4, weight_bits=4)
    19
    """
    _require_count("k", k, 1)
    _require_bits("input_bits", input_bits)
    _require_bits("weight_bits", weight_bits)
    return (((1 << input_bits) - 1) * ((1 << weight_bits) - 1) * k - 1).bit_length()


def l1_budget(acc_bits: int, *, input_bits: int, signed_input: bool) -> Fraction:
    """The largest l1 norm that :func:`l1_bits` allows a register: (2^(P-1) - 1) * 2^(S - N).

    A2Q (ICCV 2023), its constraint on trained weights; it holds for codes only if weights are
    rounded toward zero.

    Parameters
    ----------
    acc_bits
        Width P, 2 .. 63 bits.
    input_bits
        Width N, 1 .. 63 bits.
    signed_input
        Whether inputs are signed.

    Returns
    -------
    Budget on the sum of the magnitudes of one channel's weights, in codes.

    Raises
    ------
    SpecError
        For an argument outside its range.
    """
    _require_bits("acc_bits", acc_bits, MIN_REGISTER_BITS)
    _require_bits("input_bits", input_bits)
    _require_bool(signed_input)
    return Fraction((1 << (acc_bits - 1)) - 1, 1 << (input_bits - signed_input))


def zero_centered_budget(acc_bits: int, *, input_bits: int) -> Fraction:
    """Budget of A2Q+ on the l1 norm of centered weights: (2^P - 2) / (2^N - 1).

    Colbert et al. 2024; AXE (Colbert et al., *Accumulator-Aware Post-Training Quantization*,
    2024) applies it to every tile. Sound only when positive and negative weights each get half of
    it: see :func:`zero_centered_bits`.

    Parameters
    ----------
    acc_bits
        Width P, 2 .. 63 bits.
    input_bits
        Width N, 1 .. 63 bits.

    Returns
    -------
    Budget on the sum of the magnitudes of one channel's weights, in codes.

    Raises
    ------
    SpecError
        For an argument outside its range.
    """
    _require_bits("acc_bits", acc_bits, MIN_REGISTER_BITS)
    _require_bits("input_bits", input_bits)
    return Fraction((1 << acc_bits) - 2, (1 << input_bits) - 1)


def _require_bits(name: str, bits: object, least: int = 1) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or not least <= bits <= MAX_BITS:
        raise SpecError(f"{name} must be an integer in {least}..{MAX_BITS}, got {bits!r}")


def _require_count(name: str, count: object, least: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise SpecError(f"{name} must be an integer, {least} or more, got {count!r}")


def _require_norm(norm: object) -> None:
    if isinstance(norm, bool) or not isinstance(norm, int | Fraction) or norm < 0:
        raise SpecError(f"norm must be an integer or a Fraction, 0 or more, got {norm!r}")


def _require_bool(signed_input: object) -> None:
    if not isinstance(signed_input, bool):
        raise SpecError(f"signed_input must be true or false, got {signed_input!r}")
