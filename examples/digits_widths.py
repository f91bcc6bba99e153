"""How wide must the accumulator of each layer be? One bound after another, on a real network.

The network of `lsqsim demo`, trained on scikit-learn's handwritten digits: weights and activations
of 8, 4, 3 and 2 bits, their step sizes learned, outputs of 16 bits. Bounds hold for any input; the
observed widths are those of the 600 test images. Prints a Markdown table, that of docs/overflow.md.

    python examples/digits_widths.py [--seed 0]
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from lsqsim.budget.bounds import layer_bounds
from lsqsim.chain import Chain
from lsqsim.data_sets import DataSet, load_digits_data_set
from lsqsim.demo.designs import Design
from lsqsim.demo.network import learn, train_float
from lsqsim.demo.runs import flat_pixels
from lsqsim.design.grid import chain_inputs
from lsqsim.learn.model import Model
from lsqsim.observed.networks import observe_chain

CODE_BITS = (8, 4, 3, 2)
WIDE_BITS = 32
COLUMNS = (
    *("bits of w / x", "layer", "K", "data type", "l1", "zero-centered"),
    *("exact", "observed, totals", "observed, prefixes"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Digits:
    """The digits; of the test images real pixels (images, 64) and classes."""

    data_set: DataSet
    test_pixels: np.ndarray
    test_classes: np.ndarray


@cache
def trained(seed: int = 0) -> tuple[Digits, Model]:
    """The digits, and the float network trained on them."""
    data_set = load_digits_data_set()
    digits = Digits(
        data_set=data_set, test_pixels=flat_pixels(data_set), test_classes=data_set.test.labels
    )
    return digits, train_float(data_set, seed=seed)


@cache
def network(bits: int, seed: int = 0) -> Chain:
    """The digits network on codes of ``bits`` bits and an accumulator wide enough for all."""
    digits, float_model = trained(seed)
    design = Design(weight_bits=bits, activation_bits=bits, acc_bits=WIDE_BITS)
    folded = learn(float_model, digits.data_set, bits, seed=seed).fold(design)
    return Chain([node.unit for node in folded.network.layers.values()])


def rows(seed: int = 0) -> Iterator[list[str]]:
    """The cells of the table below its head."""
    digits, _ = trained(seed)
    for bits in CODE_BITS:
        chain = network(bits, seed)
        design = chain.layers[0].spec.accumulator
        seen = observe_chain(chain, digits.test_pixels, [design])
        for unit, inputs, layer in zip(chain.layers, chain_inputs(chain), seen.layers, strict=True):
            [bounds] = layer_bounds(unit, inputs)
            widths = bounds.largest()
            profile = layer.profile_of(design)
            assert widths["wrap"] == widths["saturate"], "0 in every range, addend preloaded"
            figures = (
                *(widths[name] for name in ("data_type", "l1", "zero_centered", "saturate")),
                *(profile.observed_total_bits, profile.observed_bits[-1]),
            )
            k = unit.layer.weight_shape[1]
            yield [f"{bits} / {bits}", unit.layer.name, str(k), *map(str, figures)]


def table(seed: int = 0) -> str:
    """The table in Markdown."""
    lines: list[Sequence[str]] = [COLUMNS, ["---"] * len(COLUMNS), *rows(seed)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Accumulator widths of the digits network.")
    parser.add_argument("--seed", type=int, default=0, help="of the training (0)")
    print(table(parser.parse_args().seed))


if __name__ == "__main__":
    main()
