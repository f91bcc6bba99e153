"""What is wrong with an implementation's answer, and the error that says so."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis.errors import HypothesisException

from lsqsim.testing.calls import Call
from lsqsim.testing.literals import as_call, literal
from lsqsim.trace import Difference, Trace, first_difference

Candidate = Callable[..., Any]

_FEW = 16
"""Arrays of up to so many elements are shown in full."""


class BitMismatch(AssertionError):  # noqa: N818 - a verdict, as AssertionError is
    """An implementation is not bit-exact; the message shows the smallest case found.

    Attributes
    ----------
    arguments
        The keyword arguments of the call.
    expected
        Our array of the register that differs.
    got
        The implementation's; None when it raised.
    difference
        Where the two first differ, ours left; None when there are no bits to
        compare: another shape or dtype, an unknown register, or an exception,
        which is the ``__cause__``.
    """

    def __init__(self, message: str, call: Call, fault: "Fault") -> None:
        super().__init__(message)
        self.arguments = call.arguments
        self.expected = call.expected[fault.register]
        self.got = fault.got
        self.difference = fault.difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one answer; ``register`` is the one of ours to show beside it."""

    reason: str
    register: str
    got: Any = None
    difference: Difference | None = None
    cause: Exception | None = None


def fault_of(candidate: Candidate, call: Call) -> Fault | None:
    """Call ``candidate`` and say what is wrong with its answer; None when every bit is right."""
    arguments = {
        name: value.copy() if isinstance(value, np.ndarray) else value
        for name, value in call.arguments.items()
    }
    try:
        answer = candidate(**arguments)
    except HypothesisException:  # an assumption of the candidate's
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the candidate's answer
        reason = f"it raised {type(error).__name__}: {error}"
        return Fault(reason=reason, register=call.main, cause=error)
    return _fault_in(answer, call)


def _fault_in(answer: object, call: Call) -> Fault | None:
    named = answer if isinstance(answer, dict) else {call.main: answer}
    if not named:
        return Fault(reason="it returned no registers", register=call.main, got=answer)
    registers: dict[str, np.ndarray] = {}
    for name in named:
        if name not in call.expected.registers:
            legal = ", ".join(call.expected)
            reason = f"it returned a register {name!r}; there are {legal}"
            return Fault(reason=reason, register=call.main, got=answer)
    for name in (name for name in call.expected if name in named):
        try:
            registers[name] = np.asarray(named[name])
        except ValueError:
            reason = f"{name} must be an array, got {named[name]!r}"
            return Fault(reason=reason, register=name, got=named[name])
        reason = _refusal(name, call.expected[name], registers[name])
        if reason:
            return Fault(reason=reason, register=name, got=registers[name])
    return _first_fault(call.expected, registers)


def _refusal(name: str, expected: np.ndarray, got: np.ndarray) -> str:
    """Why ``got`` can't be compared with ``expected``; empty when it can."""
    kinds, described = ("f", "floats") if expected.dtype.kind == "f" else ("iu", "integers")
    if got.dtype.kind not in kinds:
        return f"{name} must be {described}, got dtype {got.dtype}"
    if got.shape != expected.shape:
        return f"{name} must have shape {expected.shape}, got {got.shape}"
    return ""


def _first_fault(expected: Trace, registers: dict[str, np.ndarray]) -> Fault | None:
    difference = first_difference(expected, Trace(registers, {}))
    if difference is None:
        return None
    return Fault(
        reason=f"{difference.where}: expected {difference.left}, got {difference.right}",
        register=difference.register,
        got=registers[difference.register],
        difference=difference,
    )


def mismatch(name: str, kind: str, call: Call, fault: Fault) -> BitMismatch:
    """The error for a fault: what is wrong, where, and the call that shows it."""
    lines = [
        f"{name} is not bit-exact to its {kind}",
        fault.reason,
        as_call(name, call.arguments),
    ]
    expected = call.expected[fault.register]
    if expected.size <= _FEW:
        lines.append(f"expected {fault.register}: {literal(expected)}")
        if isinstance(fault.got, np.ndarray) and fault.got.size <= _FEW:
            lines.append(f"got {fault.register}: {literal(fault.got)}")
    return BitMismatch("\n".join(lines), call, fault)
