"""What folding cost, node by node: factors, their errors, and the bound on every output."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lsqsim.datapath import CompiledLayer
from lsqsim.error_bound import error_bound
from lsqsim.folding import Parameters, fold_error
from lsqsim.formats import Overflow, Rounding
from lsqsim.network.adder import Adder
from lsqsim.network.units import AddUnit, LayerUnit, MeanUnit, RequantizeUnit, Unit

_UNIT_ROUNDOFF = Fraction(1, 1 << 53)
_REFERENCE_ROUNDINGS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeFold:
    """What one node became.

    Attributes
    ----------
    name, kind
        The node.
    factor
        Real factors, float64: of every channel (one where they share it), or
        of every source of an addition or concatenation.
    parameters
        What the unit holds for them; several for a concatenation.
    fold_error
        Relative error of every factor held, float64.
    n_clipped_bias
        Channels whose real bias does not fit its format.
    bound_lsb
        Bound on |code - zero point - real output / step size|, where the
        accumulator holds its exact total; float64, one, or one a channel;
        infinite where none holds.
    """

    name: str
    kind: str
    factor: np.ndarray
    parameters: tuple[Parameters, ...]
    fold_error: np.ndarray
    n_clipped_bias: int
    bound_lsb: np.ndarray


def fold_of(name: str, kind: str, unit: Unit, widths: list[int]) -> NodeFold | None:
    """What ``unit`` became; None for one that only moves codes.

    Parameters
    ----------
    name, kind : str
        The node.
    unit : Unit
        Its unit.
    widths : list of int
        Channels of each of its sources.
    """
    match unit:
        case AddUnit(adder=adder):
            ratios = np.array([float(ratio) for ratio in adder.ratios])
            return NodeFold(
                name=name,
                kind=kind,
                factor=ratios,
                parameters=(adder.parameters,),
                fold_error=_adder_error(adder),
                n_clipped_bias=0,
                bound_lsb=np.array([adder_bound(adder)]),
            )
        case LayerUnit(compiled=compiled) | MeanUnit(compiled=compiled):
            return _of_layers(name, kind, [compiled], error_bound(compiled).total)
        case RequantizeUnit(layers=layers):
            bounds = [
                np.full(width, error_bound(layer).total[0])
                for layer, width in zip(layers, widths, strict=True)
            ]
            return _of_layers(name, kind, layers, np.concatenate(bounds))
        case _:
            return None


def adder_bound(adder: Adder) -> float:
    """The bound of an addition, in LSB: rounding, folded factors and bias, float64 reference."""
    spec, output, scale = adder.node.adder, adder.node.output, Fraction(1, 1 << adder.shift)
    is_nearest = isinstance(spec.rounding, Rounding) and spec.rounding.is_nearest
    rounding = Fraction(bool(adder.shift)) * (Fraction(1, 2) if is_nearest else 1)
    fold = norm = Fraction(0)
    for factor, ratio, source in zip(adder.factors, adder.ratios, adder.encodings, strict=True):
        largest = max(map(abs, source.centered))
        fold += abs(factor * scale - ratio) * largest
        norm += ratio * largest
    norm += abs(adder.exact_bias)
    bias = abs(adder.bias * scale - adder.exact_bias)
    total = rounding + fold + bias + _REFERENCE_ROUNDINGS * _UNIT_ROUNDOFF * norm
    if spec.overflow is Overflow.WRAP:
        reach = norm + total
        if not all(output.format.holds(output.zero_point + s * int(reach + 1)) for s in (-1, 1)):
            return np.inf
    nearest = float(total)
    return nearest if Fraction(nearest) >= total else float(np.nextafter(nearest, np.inf))


def _adder_error(adder: Adder) -> np.ndarray:
    scales = adder.parameters.exact_scales()
    pairs = zip(scales, adder.ratios, strict=True)
    return np.array([float(scale / ratio - 1) for scale, ratio in pairs])


def _of_layers(name: str, kind: str, layers: list[CompiledLayer], bound: np.ndarray) -> NodeFold:
    parameters = tuple(layer.rescaler.parameters for layer in layers)
    factors = [np.atleast_1d(layer.factor) for layer in layers]
    errors = [fold_error(*pair) for pair in zip(parameters, factors, strict=True)]
    return NodeFold(
        name=name,
        kind=kind,
        factor=np.concatenate(factors),
        parameters=parameters,
        fold_error=np.concatenate(errors),
        n_clipped_bias=sum(layer.n_clipped_bias for layer in layers),
        bound_lsb=bound,
    )
