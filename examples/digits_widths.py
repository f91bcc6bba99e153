"""How wide must the accumulator of each layer be? One bound after another, on a real network.

The network that scikit-learn trained on its handwritten digits, as `lsqsim demo` has it: weights
and activations of 8, 4, 3 and 2 bits, outputs of 8. Bounds hold for any input; the observed
widths are those of the 600 test images. Prints a Markdown table, that of docs/overflow.md.

    python examples/digits_widths.py [--seed 0]
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import cache

from lsqsim import CompiledLayer
from lsqsim.budget.bounds import layer_bounds
from lsqsim.chain import Chain
from lsqsim.demo.designs import LOGITS, Design
from lsqsim.demo.network import Digits, Network, load_digits, train
from lsqsim.design.grid import chain_inputs
from lsqsim.observed.networks import observe_chain

CODE_BITS = (8, 4, 3, 2)
WIDE_BITS = 32
COLUMNS = (
    *("bits of w / x", "layer", "K", "data type", "l1", "zero-centered"),
    *("exact", "observed, totals", "observed, prefixes"),
)


@cache
def trained(seed: int = 0) -> tuple[Digits, Network]:
    """The digits, and the float network trained on them."""
    digits = load_digits()
    return digits, train(digits, seed=seed)


def network(bits: int, seed: int = 0) -> Chain:
    """The digits network on codes of ``bits`` bits and an accumulator wide enough for all."""
    design = Design(weight_bits=bits, activation_bits=bits, acc_bits=WIDE_BITS)
    layers = trained(seed)[1].layers(bits, bits)
    specs = [design.datapath()] * (len(layers) - 1) + [design.datapath(output=LOGITS)]
    return Chain([CompiledLayer(layer, spec) for layer, spec in zip(layers, specs, strict=True)])


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
    parser.add_argument("--seed", type=int, default=0, help="of the float training (0)")
    print(table(parser.parse_args().seed))


if __name__ == "__main__":
    main()
