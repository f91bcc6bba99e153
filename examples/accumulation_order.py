"""Does a saturating accumulator find a sum that fits? It depends on the order of the addition.

A neuron of K = 512 Gaussian weights (int8, standard deviation 20 codes) meets uniform uint8 inputs
in a 17-bit register. Where the exact total fits the register, a register that wraps holds it in the
end, whatever the order. One that saturates after every addition holds it only if no prefix has left
the register on the way; and prefixes are the order's.

    python examples/accumulation_order.py [--seed 1] [--neurons 100]
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lsqsim import AccumulatorSpec, IntFormat, KOrder, MatmulArray, Overflow, StageSpec

K, ACC_BITS, WEIGHT_DEVIATION = 512, 17, 20.0
INPUT, WEIGHT = IntFormat(8, signed=False), IntFormat(8)
N_INPUTS = 4000

Order = KOrder | tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What becomes of one neuron's totals.

    Attributes
    ----------
    fits
        Share of all totals that fit the register.
    wrap, saturate
        Of the totals that fit, the share that each kind of register ends with; by name of the
        order. NaN where none fits.
    """

    fits: float
    wrap: dict[str, float]
    saturate: dict[str, float]


def natural(_: np.ndarray) -> Order:
    """As the weights lie in memory."""
    return KOrder.NATURAL


def reversed_(_: np.ndarray) -> Order:
    """The last first."""
    return KOrder.REVERSED


def ascending(weights: np.ndarray) -> Order:
    """By weight: all that only take away first, then all that only add."""
    return _permutation(np.argsort(weights, kind="stable"))


def descending(weights: np.ndarray) -> Order:
    """By weight, the largest first."""
    return _permutation(np.argsort(-weights, kind="stable"))


def by_magnitude(weights: np.ndarray) -> Order:
    """By magnitude of the weight, the largest first: signs stay mixed."""
    return _permutation(np.argsort(-np.abs(weights), kind="stable"))


def balanced(weights: np.ndarray) -> Order:
    """Always the largest weight left that brings the sum of the weights back toward 0."""
    left = ascending(weights)
    assert isinstance(left, tuple)
    first, last, total = 0, len(left), 0
    order: list[int] = []
    while first < last:
        if total > 0:
            order.append(left[first])
            first += 1
        else:
            last -= 1
            order.append(left[last])
        total += int(weights[order[-1]])
    return tuple(order)


ORDERS: dict[str, Callable[[np.ndarray], Order]] = {
    "natural": natural,
    "reversed": reversed_,
    "sorted, ascending": ascending,
    "sorted, descending": descending,
    "by magnitude": by_magnitude,
    "balanced": balanced,
}


def run(
    seed: int = 1, *, n_inputs: int = N_INPUTS, weight_deviation: float = WEIGHT_DEVIATION
) -> Recovery:
    """One neuron in every order of ``ORDERS``, by both rules."""
    rng = np.random.default_rng(seed)
    drawn = np.rint(rng.normal(0, weight_deviation, K)).astype(np.int64)
    weights = np.clip(drawn, WEIGHT.min, WEIGHT.max)
    inputs = rng.integers(INPUT.min, INPUT.max + 1, (n_inputs, K))
    totals = inputs @ weights
    register = IntFormat(ACC_BITS)
    fits = (totals >= register.min) & (totals <= register.max)

    def recovered(order: Order, overflow: Overflow) -> float:
        stages = (StageSpec(bits=ACC_BITS, overflow=overflow),)
        array = MatmulArray(
            AccumulatorSpec(stages=stages, order=order), input_format=INPUT, weight_format=WEIGHT
        )
        registers = array.accumulate(inputs[fits], weights[None, :]).registers[:, 0]
        return float((registers == totals[fits]).mean()) if registers.size else float("nan")

    orders = {name: find(weights) for name, find in ORDERS.items()}
    return Recovery(
        fits=float(fits.mean()),
        wrap={name: recovered(order, Overflow.WRAP) for name, order in orders.items()},
        saturate={name: recovered(order, Overflow.SATURATE) for name, order in orders.items()},
    )


def run_many(n_neurons: int, *, n_inputs: int = 400) -> list[Recovery]:
    """Neurons of the seeds 0, 1, ... of which at least a tenth of the totals fit."""
    neurons = (run(seed, n_inputs=n_inputs) for seed in range(n_neurons))
    return [neuron for neuron in neurons if neuron.fits >= 0.1]


def percentiles(neurons: list[Recovery], order: str) -> tuple[float, float, float]:
    """What saturation recovers in an order: the 10th, 50th and 90th percentile of the neurons."""
    low, middle, high = np.percentile([n.saturate[order] for n in neurons], [10, 50, 90])
    return float(low), float(middle), float(high)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Saturation depends on the order of addition.")
    parser.add_argument("--seed", type=int, default=1, help="of the neuron shown (1)")
    parser.add_argument("--neurons", type=int, default=100, help="neurons to repeat it with (100)")
    options = parser.parse_args()
    one, many = run(options.seed), run_many(options.neurons)
    print(
        f"K = {K}, {ACC_BITS}-bit register, {N_INPUTS} inputs of one neuron (seed {options.seed})"
    )
    print(f"totals that fit the register: {one.fits:.1%}. Of those are right at the end:\n")
    print(
        f"{'order':<20}{'wrap':>8}{'saturate':>10}    "
        f"saturate, {len(many)} neurons: 10 % / median / 90 %"
    )
    for name in ORDERS:
        spread = " / ".join(f"{share:.1%}" for share in percentiles(many, name))
        print(f"{name:<20}{one.wrap[name]:>8.1%}{one.saturate[name]:>10.1%}    {spread}")


def _permutation(indices: np.ndarray) -> tuple[int, ...]:
    return tuple(indices.tolist())


if __name__ == "__main__":
    main()
