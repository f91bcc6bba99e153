"""The operands of the multiply array: checked, centered or corrected, in the order of entry."""

from dataclasses import dataclass, replace

import numpy as np

from lsqsim.channels import channel_parameter, require_codes
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.formats import MAX_BITS, IntFormat
from lsqsim.specs import AccumulatorSpec, ZeroPointHandling, entry_order

_WIDEST = IntFormat(MAX_BITS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrayOperands:
    """What the multipliers and the bias port receive; every sum of it fits 63 bits.

    Attributes
    ----------
    x, w
        int64 (m, k) and (n, k): codes, or codes less their zero points, in
        the order in which their products enter.
    addend
        Bias plus zero-point correction, int64 (1, n), or (m, n) where the
        correction depends on the row; units of s_x * s_w.
    order
        int64 (k,): entry t is the natural K index of the product that enters t-th.
    """

    x: np.ndarray
    w: np.ndarray
    addend: np.ndarray
    order: np.ndarray

    def of_channels(self, channels: np.ndarray) -> "ArrayOperands":
        """The operands of these channels, in this order."""
        return replace(self, w=self.w[channels], addend=self.addend[:, channels])


class ArrayPorts:
    """The operand ports of a multiply array: what may enter, and as what.

    Parameters
    ----------
    spec : AccumulatorSpec
        Its zero points and its order are of interest here.
    input_format, weight_format : IntFormat
        Formats of the codes.

    Raises
    ------
    WidthError
        When a product of the formats could need more than 63 bits.
    """

    def __init__(
        self, spec: AccumulatorSpec, *, input_format: IntFormat, weight_format: IntFormat
    ) -> None:
        self.spec = spec
        self.input_format = input_format
        self.weight_format = weight_format
        self._check_product(_ends(input_format), _ends(weight_format))

    def take(
        self, x: object, w: object, bias: object, input_zero_point: int, weight_zero_point: object
    ) -> ArrayOperands:
        """Operands of :meth:`lsqsim.matmul_array.MatmulArray.accumulate`, which lists the errors.

        Parameters
        ----------
        x, w : integer array (m, k) and (n, k)
            Input and weight codes, in natural K order.
        bias : integer array (n,) or None
            Bias codes, units of s_x * s_w.
        input_zero_point : int
            Code of real 0 among the inputs.
        weight_zero_point : int or integer array (n,)
            Code of real 0 among the weights.
        """
        inputs = _matrix("inputs", x, self.input_format)
        weights = _matrix("weights", w, self.weight_format)
        (_, k), (n, k_w) = inputs.shape, weights.shape
        if k != k_w:
            raise DataError(
                f"inputs {inputs.shape} and weights {weights.shape} do not meet: "
                f"K is {k} in the inputs and {k_w} in the weights"
            )
        z_x = channel_parameter("input_zero_point", input_zero_point, 1, np.int64)
        z_w = channel_parameter("weight_zero_point", weight_zero_point, n, np.int64)
        self._check_zero_points(z_x, z_w)
        if self.spec.zero_points is ZeroPointHandling.CENTER:
            correction = np.zeros((1, n), np.int64)
            inputs_ = inputs - z_x[0] if z_x[0] else inputs
            weights_ = weights - z_w[:, None]
        else:
            correction = self._correction(inputs, weights, int(z_x[0]), z_w)
            inputs_, weights_ = inputs, weights
        addend = correction + _bias(bias, n)
        self._check_addend(addend)
        self._check_totals(weights_, addend, int(z_x[0]))
        order = np.array(entry_order(self.spec.order, k), np.int64)
        if not np.array_equal(order, np.arange(k)):
            inputs_, weights_ = inputs_[:, order], weights_[:, order]
        return ArrayOperands(
            x=np.ascontiguousarray(inputs_),
            w=np.ascontiguousarray(weights_),
            addend=addend,
            order=order,
        )

    def _correction(self, x: np.ndarray, w: np.ndarray, z_x: int, z_w: np.ndarray) -> np.ndarray:
        """K z_x z_w - z_x sum(w) - z_w sum(x), (1, n), or (m, n) when z_w is not all 0."""
        k = w.shape[1]
        if z_x == 0 and not z_w.any():
            return np.zeros((1, w.shape[0]), np.int64)
        largest_x = max(map(abs, _ends(self.input_format)))
        largest_w = max(map(abs, _ends(self.weight_format)))
        largest_z_w = max(map(abs, z_w.tolist()), default=0)
        terms = (abs(z_x) * largest_w, largest_z_w * largest_x, abs(z_x) * largest_z_w)
        if k * max(sum(terms), largest_x, largest_w) > _WIDEST.max:
            raise WidthError(
                f"the zero-point correction could pass {MAX_BITS} bits for K = {k}; "
                f"use narrower formats, or set zero_points to center"
            )
        constant = k * z_x * z_w - z_x * w.sum(axis=1)
        if not z_w.any():
            return constant[None, :]
        return constant[None, :] - x.sum(axis=1)[:, None] * z_w[None, :]

    def _check_zero_points(self, z_x: np.ndarray, z_w: np.ndarray) -> None:
        for name, values, fmt in (
            ("input_zero_point", z_x, self.input_format),
            ("weight_zero_point", z_w, self.weight_format),
        ):
            for value in values.tolist():
                if not fmt.holds(value):
                    raise SpecError(f"{name} must be a code of {fmt.describe()}, got {value}")
        if self.spec.zero_points is ZeroPointHandling.CENTER:
            shifted_x = [end - int(z_x[0]) for end in _ends(self.input_format)]
            for z in {*z_w.tolist()}:
                self._check_product(shifted_x, [end - z for end in _ends(self.weight_format)])

    def _check_product(self, x_ends: list[int], w_ends: list[int]) -> None:
        for product in (a * b for a in x_ends for b in w_ends):
            if not _WIDEST.holds(product):
                raise WidthError(
                    f"a product of {self.input_format} and {self.weight_format} codes could pass "
                    f"{MAX_BITS} bits ({product}); use narrower formats"
                )

    def _check_addend(self, addend: np.ndarray) -> None:
        for value in (int(addend.min()), int(addend.max())) if addend.size else ():
            if not _WIDEST.holds(value):
                raise WidthError(f"bias and zero-point correction pass {MAX_BITS} bits: {value}")

    def _check_totals(self, weights: np.ndarray, addend: np.ndarray, z_x: int) -> None:
        """Every prefix of every exact total must fit; in Python ints, from the codes at hand."""
        if not weights.size or not addend.size:
            return
        center = z_x if self.spec.zero_points is ZeroPointHandling.CENTER else 0
        largest_x = max(abs(end - center) for end in _ends(self.input_format))
        k = weights.shape[1]
        # A float64 sum is good enough to see that the exact one is needed at all.
        extra = max(abs(int(addend.min())), abs(int(addend.max())))
        rough = float(np.abs(weights.astype(np.float64)).sum(axis=1).max()) * largest_x + extra
        if rough < 2.0**61:
            return
        norms = [sum(map(abs, row)) for row in weights.tolist()]
        largest = max(norms) * largest_x + extra
        if largest > _WIDEST.max:
            raise WidthError(
                f"an exact total could need {largest.bit_length() + 1} bits for K = {k}; the "
                f"simulator holds {MAX_BITS}: use narrower formats or a shorter K"
            )


def _ends(fmt: IntFormat) -> list[int]:
    return [fmt.min, fmt.max]


def _matrix(name: str, codes: object, fmt: IntFormat) -> np.ndarray:
    array = require_codes(name, codes, fmt.min, fmt.max, str(fmt))
    if array.ndim != 2:
        raise DataError(f"{name} must be a matrix with K as its second axis, got {array.shape}")
    return array


def _bias(bias: object, n: int) -> np.ndarray:
    if bias is None:
        return np.zeros(n, np.int64)
    array = require_codes("bias", bias, _WIDEST.min, _WIDEST.max, str(_WIDEST))
    if array.shape != (n,):
        raise DataError(f"bias must have shape ({n},), one an output channel, got {array.shape}")
    return array
