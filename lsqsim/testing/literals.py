"""Arguments as Python text that builds them again."""

from typing import Any

import numpy as np


def as_call(name: str, arguments: dict[str, Any]) -> str:
    """A call by keyword, one argument a line; ``np`` is NumPy.

    >>> print(as_call("dut", {"acc": np.array([3, -1]), "shift": 1}))
    dut(
        acc=np.array([3, -1], np.int64),
        shift=1,
    )
    """
    lines = [f"    {key}={literal(value)},\n" for key, value in arguments.items()]
    return f"{name}(\n{''.join(lines)})"


def literal(value: Any) -> str:
    """One value; an empty array by its shape, a float by its shortest exact text."""
    if isinstance(value, np.ndarray):
        if not value.size:
            return f"np.empty({value.shape}, np.{value.dtype})"
        return f"np.array({_nested(value.tolist())}, np.{value.dtype})"
    if isinstance(value, np.generic):
        return f"np.{value.dtype}({_number(value.item())})"
    return _number(value)


def _nested(values: Any) -> str:
    if isinstance(values, list):
        return f"[{', '.join(map(_nested, values))}]"
    return _number(values)


def _number(value: Any) -> str:
    text = repr(value)
    return text.replace("inf", "np.inf") if isinstance(value, float) else text
