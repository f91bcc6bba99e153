"""Every register of one layer's run, and where two such records first differ."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lsqsim.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The registers of one run, in the order in which data passes them.

    Attributes
    ----------
    registers
        Name to array: ``input_codes``, ``weight_codes``, ``bias_codes``; ``stage_0``,
        ``stage_1``, ... (output shape plus a last axis of tiles: the results
        of each stage); ``accumulator``; ``product``; ``output``.
    tile_sizes
        Name of a stage to the number of products (in order of entry) that one
        of its tiles covers; all stages or none. The last stage's is K, and the
        last tile of another may cover fewer.
    """

    registers: dict[str, np.ndarray]
    tile_sizes: dict[str, int]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.registers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.registers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where two runs first differ.

    Attributes
    ----------
    register
        Name of the first register, in datapath order, with a difference.
    index
        Index of the first differing element, in C order; without the tile.
    tile
        Which result of a stage; None for registers that have no tiles.
    k_range
        First and last position, in order of entry, of the products the tile
        covers. Where the very addition is known, the natural K index of the
        last product that entered before it, twice.
    left, right
        The two values.
    """

    register: str
    index: tuple[int, ...]
    tile: int | None
    k_range: tuple[int, int] | None
    left: float
    right: float

    @property
    def where(self) -> str:
        """The place without the values: ``stage_0[0, 1] tile 2 k 8..11``."""
        where = f"{self.register}{list(self.index)}"
        if self.tile is not None:
            where += f" tile {self.tile}"
        if self.k_range is not None:
            first, last = self.k_range
            where += f" k {first}" if first == last else f" k {first}..{last}"
        return where

    def __str__(self) -> str:
        return f"{self.where}: {self.left!r} against {self.right!r}"


def first_difference(left: Trace, right: Trace) -> Difference | None:
    """The first difference between two traces; None when they agree in every bit.

    Only registers that both have are compared, so that a device that shows
    few of them can be compared too.

    Raises
    ------
    DataError
        When a register has two shapes.
    """
    for name, values in left.registers.items():
        if name not in right.registers:
            continue
        others = right.registers[name]
        if values.shape != others.shape:
            raise DataError(f"register {name} has shapes {values.shape} and {others.shape}")
        different = np.argwhere(values != others)
        if different.size:
            return _describe(name, tuple(int(i) for i in different[0]), left, values, others)
    return None


def _describe(
    name: str, at: tuple[int, ...], trace: Trace, left: np.ndarray, right: np.ndarray
) -> Difference:
    tile = k_range = None
    index = at
    if name in trace.tile_sizes:
        index, tile = at[:-1], at[-1]
        size, n_products = trace.tile_sizes[name], max(trace.tile_sizes.values())
        k_range = (tile * size, min((tile + 1) * size, n_products) - 1)
    return Difference(
        register=name, index=index, tile=tile, k_range=k_range,
        left=left[at].item(), right=right[at].item(),
    )  # fmt: skip
