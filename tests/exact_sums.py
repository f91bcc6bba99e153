"""The sums behind one output, by the oracle: what additions form in registers without limit."""

from lsqsim.specs import AccumulatorSpec, BiasPlacement
from oracle.reduction import cut, k_order, products_and_addend


def exact_sums(
    x: list[int], w: list[int], bias: int, spec: AccumulatorSpec, z_x: int = 0, z_w: int = 0
) -> list[list[int]]:
    """Of every stage, all its sums; ``x`` and ``w`` in natural order."""
    products, addend = products_and_addend(x, w, bias, spec, z_x, z_w)
    operands = [products[k] for k in k_order(spec, len(x))]
    sums: list[list[int]] = []
    for stage in spec.stages[:-1]:
        formed = [running(group) for group in cut(operands, stage.fan_in)]
        sums.append([total for totals in formed for total in totals])
        operands = [totals[-1] for totals in formed]
    preloaded = spec.bias is BiasPlacement.PRELOAD
    sums.append(running([addend, *operands] if preloaded else [*operands, addend]))
    return sums


def running(operands: list[int]) -> list[int]:
    return [sum(operands[: i + 1]) for i in range(len(operands))]


def width(values: list[int]) -> int:
    """Of the least register -2**(b - 1) .. 2**(b - 1) - 1 that holds all; 0 for none."""
    if not values:
        return 0
    bits = 1
    while not all(-(1 << bits) <= 2 * value < 1 << bits for value in values):
        bits += 1
    return bits
