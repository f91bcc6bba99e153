"""Writes the golden vectors of this folder: python tests/golden/generate.py, from the root.

Every expected value is the oracle's, which is written from docs/datapath.md
alone. Numbers published elsewhere carry their source in the case's name.
"""

import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

import oracle  # noqa: E402
from lsqsim.formats import (  # noqa: E402
    Generator,
    IntFormat,
    Overflow,
    Rounding,
    StochasticRounding,
)
from lsqsim.specs import (  # noqa: E402
    AccumulatorSpec,
    BiasPlacement,
    FloatScale,
    KOrder,
    QuantizerSpec,
    StageSpec,
    StepArithmetic,
    Thresholds,
    ZeroPointHandling,
)
from shipped_units import UNITS  # noqa: E402

SOURCE = {
    "source": "tests/oracle, written from docs/datapath.md",
    "generator": "tests/golden/generate.py",
}
INT8 = IntFormat(8)


def quantizer_cases():
    rng = random.Random(1)
    roundings = [
        *Rounding,
        StochasticRounding(seed=1, bits=8),
        StochasticRounding(generator=Generator.SPLITMIX64, seed=1234567, bits=32),
    ]
    for rounding in roundings:
        for arithmetic in StepArithmetic:
            spec = QuantizerSpec(format=INT8, rounding=rounding, arithmetic=arithmetic)
            step, z = 0.1, rng.randrange(-20, 20)
            values = [
                *(n * step / 2 for n in range(-5, 6)),
                *((end - z) * step for end in (INT8.min - 1, INT8.min, INT8.max, INT8.max + 1)),
                *(rng.uniform(-15, 15) for _ in range(10)),
            ]
            noise = [0] * len(values)
            if isinstance(rounding, StochasticRounding):
                noise = oracle.noise_values(rounding, len(values))
            yield {
                "name": f"{getattr(rounding, 'generator', rounding)}-{arithmetic}",
                "spec": spec.to_toml(),
                "step_size": step.hex(),
                "zero_point": z,
                "values": [v.hex() for v in values],
                "codes": [
                    oracle.quantize(v, step, z, spec, r) for v, r in zip(values, noise, strict=True)
                ],
            }


def accumulator_specs():
    wrap, saturate = Overflow.WRAP, Overflow.SATURATE
    yield "int32", AccumulatorSpec(stages=(StageSpec(bits=32),))
    yield (
        "vpmaddubsw",
        AccumulatorSpec(
            stages=(
                StageSpec(fan_in=2, bits=16, overflow=saturate),
                StageSpec(fan_in=2, bits=32),
                StageSpec(bits=32),
            )
        ),
    )
    yield "gemmini", AccumulatorSpec(stages=(StageSpec(fan_in=16, bits=20), StageSpec(bits=32)))
    for overflow in (wrap, saturate):
        for bias in BiasPlacement:
            for order in (*KOrder, (*range(1, 20, 2), *range(0, 20, 2))):
                name = order.value if isinstance(order, KOrder) else "odd-first"
                yield (
                    f"17-{overflow}-{bias}-{name}",
                    AccumulatorSpec(
                        stages=(
                            StageSpec(fan_in=3, bits=15, overflow=overflow),
                            StageSpec(bits=17, overflow=overflow),
                        ),
                        bias=bias,
                        zero_points=ZeroPointHandling.CENTER,
                        order=order,
                    ),
                )


def accumulator_cases():
    rng = random.Random(2)
    k, m, n, z_x, z_w = 20, 2, 3, 128, -3
    for name, spec in accumulator_specs():
        x = [[rng.randrange(256) for _ in range(k)] for _ in range(m)]
        w = [[rng.randrange(-128, 128) for _ in range(k)] for _ in range(n)]
        bias = [rng.randrange(-9999, 9999) for _ in range(n)]
        outputs = [
            oracle.reduce(r, c, b, spec, z_x, z_w) for r in x for c, b in zip(w, bias, strict=True)
        ]
        yield {
            "name": name,
            "spec": spec.to_toml(),
            "x": x,
            "w": w,
            "bias": bias,
            "input_zero_point": z_x,
            "weight_zero_point": z_w,
            "registers": [y.register for y in outputs],
            "total": [y.total for y in outputs],
            "kind": [y.kind for y in outputs],
            "first_stage": [y.first_stage for y in outputs],
            "first_k": [y.first_k for y in outputs],
            "stages": [y.stage_results for y in outputs],
        }


def rescaler_cases():
    rng = random.Random(3)
    for unit in UNITS:
        scaling = unit.spec.scaling
        if isinstance(scaling, FloatScale):
            parameters = {"scale": float(unit.parameters.scale).hex()}
        elif isinstance(scaling, Thresholds):
            parameters = {"thresholds": list(unit.parameters.thresholds)}
        else:
            parameters = {
                "multiplier": unit.parameters.multiplier,
                "shift": unit.parameters.shift,
            }
        acc = [*range(-6, 7), *(rng.randrange(-(1 << 19), 1 << 19) for _ in range(12))]
        yield {
            "name": str(unit),
            "spec": unit.spec.to_toml(),
            "parameters": parameters,
            "zero_point": unit.zero_point,
            "acc": acc,
            "codes": [
                oracle.rescale(a, unit.spec, unit.parameters, unit.zero_point).code for a in acc
            ],
        }


def write(name, cases):
    """One case a line, so that a change is a line of a diff."""
    head = json.dumps(SOURCE)[:-1]
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / f"{name}.json").write_text(f'{head},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    write("quantizer", quantizer_cases())
    write("matmul_array", accumulator_cases())
    write("rescaler", rescaler_cases())
