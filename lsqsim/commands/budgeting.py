"""The command ``budget``: accumulators of a layer or a network side by side."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lsqsim.budget.bounds import layer_bounds
from lsqsim.budget.input_range import InputRange
from lsqsim.chain import Chain
from lsqsim.commands.loading import as_codes, check_paths
from lsqsim.commands.network import NetworkFiles, load_chain
from lsqsim.commands.terminal import Tell, make_console, print_json, progress
from lsqsim.design.grid import DesignGrid, chain_inputs, common_accumulator
from lsqsim.design.side_by_side import compare_designs
from lsqsim.errors import DataError, WidthError
from lsqsim.files import bytes_writer, load_array, write_files
from lsqsim.formats import MAX_BITS, Overflow
from lsqsim.observed.networks import observe_chain
from lsqsim.report import (
    budget_csv,
    budget_report,
    draw_budget,
    print_budget,
    require_drawable,
)
from lsqsim.specs import MIN_REGISTER_BITS, StageSpec
from lsqsim.tensor import QTensor

_BELOW, _ABOVE = 2, 1
"""Widths shown beyond the least and the largest bound, unless widths are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgeting:
    """Arguments of ``lsqsim budget``; empty ``acc_bits`` are found from the bounds."""

    files: NetworkFiles
    acc_bits: tuple[int, ...]
    overflows: tuple[Overflow, ...]
    tiles: tuple[int | None, ...]
    tile_bits: tuple[int, ...]
    input_range: InputRange | None
    data: Path | None
    codes: bool
    labels: Path | None
    figure: Path | None


def budget(arguments: Budgeting, *, as_json: bool, as_csv: bool) -> None:
    """Compare designs, print them, and draw them where asked."""
    _check(arguments)
    with progress() as tell, np.errstate(all="ignore"):
        report = _compare(arguments, tell, with_channels=as_json)
        if arguments.figure is not None:
            tell("drawing")
            picture = draw_budget(report, arguments.figure.suffix.lower())
            write_files({arguments.figure: bytes_writer(picture)})
    if as_json:
        print_json(report)
    elif as_csv:
        sys.stdout.write(budget_csv(report))
    else:
        print_budget(report, make_console())


def _check(arguments: Budgeting) -> None:
    files = arguments.files
    inputs = [("a layer", path) for path in files.layers]
    inputs += [("a datapath", path) for path in files.datapaths]
    inputs += [("the data", arguments.data), ("the labels", arguments.labels)]
    check_paths(inputs, {"--figure": arguments.figure})
    if arguments.figure is not None:
        n_lines = len(arguments.overflows) * sum(
            1 if tile is None else max(len(arguments.tile_bits), 1) for tile in arguments.tiles
        )
        require_drawable(arguments.figure, n_lines)


def _compare(arguments: Budgeting, tell: Tell, *, with_channels: bool) -> dict[str, Any]:
    data = None if arguments.data is None else load_array(arguments.data)
    labels = None if arguments.labels is None else load_array(arguments.labels)
    if data is not None:
        _check_samples(arguments, data, labels)
    tell("calibrating")
    chain = load_chain(arguments.files, data, are_codes=arguments.codes)
    inputs = chain_inputs(chain, arguments.input_range)
    values = as_codes(chain.layers[0], data) if arguments.codes and data is not None else data
    tell("measuring")
    grid = DesignGrid(
        acc_bits=arguments.acc_bits or _interesting_bits(chain, inputs, values),
        overflows=arguments.overflows,
        tiles=arguments.tiles,
        tile_bits=arguments.tile_bits,
    )
    comparison = compare_designs(
        chain,
        grid.designs(chain, inputs),
        inputs=inputs,
        data=values,
        labels=labels,
        steps=tell.steps,
    )
    return budget_report(chain, inputs, comparison, with_channels=with_channels)


def _check_samples(arguments: Budgeting, data: np.ndarray, labels: np.ndarray | None) -> None:
    """What a long run would end in, found before it."""
    if data.ndim < 2 or not len(data):
        raise DataError(
            f"{arguments.data}: must hold samples along axis 0, at least one, got shape "
            f"{data.shape}"
        )
    if labels is None:
        return
    if labels.dtype.kind not in "iu":
        raise DataError(f"{arguments.labels}: classes are integers, got dtype {labels.dtype}")
    if labels.shape[:1] != data.shape[:1]:
        raise DataError(
            f"{arguments.labels}: there must be one class for each of {len(data)} samples, got "
            f"shape {labels.shape}"
        )


def _interesting_bits(
    chain: Chain, inputs: list[InputRange], values: np.ndarray | QTensor | None
) -> tuple[int, ...]:
    """From a little below the least bound to a little above the data-type bound."""
    bounds = [
        layer_bounds(unit, legal)[-1].largest()
        for unit, legal in zip(chain.layers, inputs, strict=True)
    ]
    least = max(bound["wrap"] for bound in bounds)
    largest = min(max(bound["data_type"] for bound in bounds) + _ABOVE, MAX_BITS)
    if values is not None:
        while largest > MIN_REGISTER_BITS and not _can_rescale(chain, largest):
            largest -= 1
        least = min(least, largest, _observed_bits(chain, values, largest))
    return tuple(range(max(least - _BELOW, MIN_REGISTER_BITS), largest + 1))


def _can_rescale(chain: Chain, bits: int) -> bool:
    """Whether no layer's rescaler refuses accumulators of ``bits``."""
    alone = replace(common_accumulator(chain), stages=(StageSpec(bits=bits),))
    try:
        chain.with_accumulator(alone)
    except WidthError:
        return False
    return True


def _observed_bits(chain: Chain, values: np.ndarray | QTensor, bits: int) -> int:
    """Width of the widest total in the data."""
    alone = replace(common_accumulator(chain), stages=(StageSpec(bits=bits),))
    seen = observe_chain(chain, values, [alone])
    return max(layer.profile_of(alone).observed_total_bits for layer in seen.layers)
