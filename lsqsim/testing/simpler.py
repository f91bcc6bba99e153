"""Ever simpler calls, in which a mismatch is sought again once it is found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lsqsim.specs import (
    AccumulatorSpec,
    DatapathSpec,
    LinearSpec,
    QuantizerSpec,
    RescalerSpec,
)
from lsqsim.testing.array_operands import ArraySizes


@dataclass(frozen=True, slots=True)
class Simpler:
    """One way for a call to be simple.

    Attributes
    ----------
    limits
        Limits under which a mismatch, once found, is sought again.
    holds
        Whether the arguments of a mismatch are so simple already.
    """

    limits: dict[str, Any]
    holds: Callable[[dict[str, Any]], bool]


def _is_zero(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda arguments: not np.any(arguments[name])


def _one_output(longest: int) -> Simpler:
    def holds(arguments: dict[str, Any]) -> bool:
        return (
            arguments["x"].shape[1] <= longest and len(arguments["x"]) == len(arguments["w"]) == 1
        )

    return Simpler({"sizes": ArraySizes(m=1, n=1, k=(0, longest))}, holds)


SIMPLER: dict[type, list[Simpler]] = {
    QuantizerSpec: [
        Simpler({"n_channels": 1}, lambda a: np.size(a["step_size"]) == 1),
        Simpler({"size": 1}, lambda a: a["values"].size == np.size(a["step_size"])),
        Simpler({"specials": False}, lambda _: False),
        Simpler({"zero_point": 0}, _is_zero("zero_point")),
        Simpler({"step_size": 1.0}, lambda a: bool(np.all(a["step_size"] == 1))),
        Simpler({"dtypes": (np.float64,)}, lambda a: a["values"].dtype == np.float64),
    ],
    AccumulatorSpec: [
        _one_output(12),
        _one_output(5),
        _one_output(2),
        Simpler({"input_zero_point": 0}, _is_zero("input_zero_point")),
        Simpler({"weight_zero_point": 0}, _is_zero("weight_zero_point")),
        Simpler({"bias": 0}, _is_zero("bias")),
    ],
    RescalerSpec: [
        Simpler({"size": 1}, lambda a: len(a["acc"]) == 1),
        Simpler({"n_channels": 1}, lambda a: a["acc"].size == len(a["acc"])),
        Simpler({"zero_point": 0}, _is_zero("zero_point")),
    ],
    DatapathSpec: [
        Simpler({"layer": LinearSpec()}, lambda a: "stride" not in a),
        Simpler({"batch": 1}, lambda a: len(a["values"]) == 1),
        Simpler({"n_outputs": 1}, lambda a: len(a["w"]) == 1),
    ],
}
