"""Strategies for a multiply array's operands, biased to the edges of its registers."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat
from lsqsim.specs import AccumulatorSpec, BiasPlacement, ZeroPointHandling, entry_order, tile_sizes
from lsqsim.testing.choices import Choice, Range, chosen, ends_of, integers_in
from lsqsim.testing.operands import code_values, element_array, patterned, zero_points
from lsqsim.testing.spelling import spelled

_PRODUCTS = 1 << 61
"""Bound on K times the greatest product: with a bias of as much, totals stay within 62 bits."""
_CENTERED = 1 << 58
"""The same where zero points can double both factors."""
_LONGEST = 1 << 20
_FEW = 128
"""Up to so many codes are drawn one by one."""
MAX_BIAS_BITS = 61
"""Bias codes of so many bits keep every total within 62."""


class Aim(Enum):
    """How operands are led to the edge of a register."""

    NONE = "not at all"
    STAGE = "products that sum to an edge of some stage"
    BIAS = "a bias that brings the register to an edge after some products"


_AIMS = (Aim.NONE, Aim.NONE, Aim.STAGE, Aim.BIAS, Aim.BIAS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySizes:
    """Legal rows, output channels and products an output: numbers, or (least, greatest)."""

    m: Range = (1, 3)
    n: Range = (1, 3)
    k: Range = (0, 12)


ANY_SIZES = ArraySizes()


@dataclass(frozen=True, slots=True)
class _Array:
    """What is fixed before any operand is drawn."""

    spec: AccumulatorSpec
    x_format: IntFormat
    w_format: IntFormat


def _greatest_product(input_format: IntFormat, weight_format: IntFormat) -> int:
    """Greatest magnitude of a product of raw codes."""
    ends = [max(-fmt.min, fmt.max) for fmt in (input_format, weight_format)]
    return ends[0] * ends[1]


def longest_k(input_format: IntFormat, weight_format: IntFormat) -> int:
    """The K up to which all products, and a bias of any sign, stay within 62 bits."""
    return _PRODUCTS // _greatest_product(input_format, weight_format)


def has_room_to_center(input_format: IntFormat, weight_format: IntFormat, k: int) -> bool:
    """Whether the same still holds with any zero points."""
    return _greatest_product(input_format, weight_format) * max(k, 1) <= _CENTERED


def matmul_operands(  # noqa: PLR0913 - a keyword for each operand
    spec: AccumulatorSpec,
    *,
    input_format: IntFormat,
    weight_format: IntFormat,
    sizes: ArraySizes = ANY_SIZES,
    bias: Choice[int] = None,
    input_zero_point: Choice[int] = None,
    weight_zero_point: Choice[int] = None,
) -> st.SearchStrategy[dict[str, Any]]:
    """Keyword arguments of :meth:`lsqsim.matmul_array.MatmulArray.accumulate`.

    ``x``, ``w`` and ``bias`` are int64 arrays (m, k), (n, k) and (n,),
    ``input_zero_point`` is an int, ``weight_zero_point`` an int64 array (n,).
    Codes are biased as in :func:`codes`; besides, sums are led to within one of
    the ends of a register: by products that sum to it within one tile of any
    stage, or by the bias.

    Parameters
    ----------
    spec
        The accumulator. An explicit order sets k.
    input_format, weight_format
        Formats of the codes.
    sizes
        Legal m, n and k; k is kept short where products are wide.
    bias
        Each bias code; ``0`` for an array without bias. Unless given, any that
        the last register holds.
    input_zero_point, weight_zero_point
        Zero points; ``0`` for an array without them.
    """
    array = _Array(spec, input_format, weight_format)
    of_order = len(spec.order) if isinstance(spec.order, tuple) else None
    low, high = ends_of("k", sizes.k if of_order is None else of_order, 0, _LONGEST)
    longest = longest_k(input_format, weight_format)
    if low > longest:
        raise SpecError(
            f"products of {input_format} and {weight_format} codes allow K up to {longest}, "
            f"and K is {low} at least: use narrower formats"
        )
    rows = integers_in("m", sizes.m, 0, _LONGEST)
    channels = integers_in("n", sizes.n, 0, _LONGEST)
    elements = _elements(array, rows, channels, (low, min(high, longest)))
    return _matmul_operands(array, elements, bias, (input_zero_point, weight_zero_point))


@st.composite
def _elements(
    draw: st.DrawFn,
    array: _Array,
    rows: st.SearchStrategy[int],
    channels: st.SearchStrategy[int],
    lengths: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (m, k) and (n, k); small ones are lists of products, so that products can go."""
    m, n = draw(rows), draw(channels)
    of_x, of_w = code_values(array.x_format), code_values(array.w_format)
    low, high = lengths
    if (m + n) * high > _FEW:
        k = draw(st.integers(low, high))
        return draw(element_array(of_x, (m, k))), draw(element_array(of_w, (n, k)))
    product = st.tuples(
        st.lists(of_x, min_size=m, max_size=m), st.lists(of_w, min_size=n, max_size=n)
    )
    least = min(max(low, draw(st.sampled_from((0, 1, 1, 1)))), high)
    products = draw(st.lists(product, min_size=least, max_size=high))
    k = len(products)
    x = np.array([codes for codes, _ in products], np.int64).reshape(k, m)
    w = np.array([codes for _, codes in products], np.int64).reshape(k, n)
    return np.ascontiguousarray(x.T), np.ascontiguousarray(w.T)


@st.composite
def _matmul_operands(
    draw: st.DrawFn,
    array: _Array,
    elements: st.SearchStrategy[tuple[np.ndarray, np.ndarray]],
    bias: Choice[int],
    zeros: tuple[Choice[int], Choice[int]],
) -> dict[str, Any]:
    x, w = draw(elements)
    (m, k), n = x.shape, len(w)
    z_x, z_w = draw(_zero_points(array, n, k, zeros))
    any_bias = draw(element_array(chosen(bias, code_values(bias_format(array.spec))), (n,)))
    aim = draw(st.sampled_from(_AIMS))
    if aim is Aim.NONE:
        x = patterned(draw, x, array.x_format, z_x)
        w = patterned(draw, w, array.w_format, 0)
    elif aim is Aim.STAGE and x.size and n:
        draw(_lead_products(array, x, w, z_x, z_w))
    elif aim is Aim.BIAS and m and bias is None:
        any_bias = draw(_led_bias(array, x, w, z_x, z_w))
    return {"x": x, "w": w, "bias": any_bias, "input_zero_point": z_x, "weight_zero_point": z_w}


def bias_format(spec: AccumulatorSpec) -> IntFormat:
    """The last register's format, as far as :data:`MAX_BIAS_BITS` allow."""
    return IntFormat(min(spec.format.bits, MAX_BIAS_BITS))


@st.composite
def _zero_points(
    draw: st.DrawFn, array: _Array, n: int, k: int, choices: tuple[Choice[int], Choice[int]]
) -> tuple[int, np.ndarray]:
    """Zero points (input, weight); 0 where others could leave 63 bits."""
    wide = not has_room_to_center(array.x_format, array.w_format, k)
    none = st.just(0)
    of_inputs = none if wide else none | zero_points(array.x_format)
    of_weights = none if wide else none | none | zero_points(array.w_format)
    z_x = draw(chosen(choices[0], of_inputs))
    each = chosen(choices[1], of_weights)
    return z_x, np.array(draw(st.lists(each, min_size=n, max_size=n)), np.int64)


@st.composite
def _lead_products(
    draw: st.DrawFn, array: _Array, x: np.ndarray, w: np.ndarray, z_x: int, z_w: np.ndarray
) -> None:
    """Change operands of one output so that their sum reaches an edge within one tile."""
    (m, k), n = x.shape, w.shape[0]
    i, j = draw(st.integers(0, m - 1)), draw(st.integers(0, n - 1))
    level = draw(st.integers(0, len(array.spec.stages) - 1))
    size = tile_sizes(array.spec.stages, k)[level]
    start = draw(st.integers(0, (k - 1) // size)) * size
    n_slots = draw(st.integers(1, min(size, k - start)))
    target = draw(_edges(array.spec.stages[level].format))
    center_x, center_w = 0, 0
    if array.spec.zero_points is ZeroPointHandling.CENTER:
        center_x, center_w = z_x, int(z_w[j])
    order = entry_order(array.spec.order, k)[start : start + n_slots]
    pairs = spelled(
        target, n_slots, _range(array.x_format, center_x), _range(array.w_format, center_w)
    )
    for at, (a, b) in zip(order, pairs, strict=True):
        x[i, at], w[j, at] = a + center_x, b + center_w


def _edges(fmt: IntFormat) -> st.SearchStrategy[int]:
    """The ends of a register, and above all the values just beyond them."""
    beyond, inside = [fmt.max + 1, fmt.min - 1], [fmt.max, fmt.min, fmt.max - 1, fmt.min + 1]
    return st.sampled_from([*beyond, *inside, *beyond])


def _range(fmt: IntFormat, center: int) -> tuple[int, int]:
    return fmt.min - center, fmt.max - center


@st.composite
def _led_bias(
    draw: st.DrawFn, array: _Array, x: np.ndarray, w: np.ndarray, z_x: int, z_w: np.ndarray
) -> np.ndarray:
    """A bias for each channel that brings its register in some row to within one of an edge."""
    (m, k), fmt = x.shape, bias_format(array.spec)
    inner = tile_sizes(array.spec.stages, k)[-2:-1] or [1]
    moments = [*range(0, k, inner[0]), k]
    if array.spec.bias is BiasPlacement.POST_ADD:
        moments = [k]
    order = list(entry_order(array.spec.order, k))
    bias: list[int] = []
    for j in range(w.shape[0]):
        row, channel = x[draw(st.integers(0, m - 1))].tolist(), w[j].tolist()
        z = int(z_w[j])
        centered = [(row[t] - z_x) * (channel[t] - z) for t in order]
        products = centered
        if array.spec.zero_points is ZeroPointHandling.FOLD:
            products = [row[t] * channel[t] for t in order]
        correction = sum(centered) - sum(products)
        target = draw(_edges(array.spec.format)) - correction
        needed = [target - sum(products[:n]) for n in moments]
        bias.append(draw(st.sampled_from([*filter(fmt.holds, needed)] or [fmt.max, fmt.min])))
    return np.array(bias, np.int64)
