"""A register walk as text: four grids side by side, then the registers one a line."""

from collections.abc import Iterator, Sequence

from lsqsim.data_sets.digits import LARGEST_PIXEL
from lsqsim.demo.register_walk import RegisterWalk

_ROW = 8
"""Inputs a line: the width of an image."""
_MOST_OVERFLOWS = 3


def walk_lines(walk: RegisterWalk, *, digit: int) -> Iterator[str]:
    """The lines of a walk, 80 characters at most where weights have up to 4 bits."""
    yield (
        f"Every register of one output: {walk.design}, {walk.layer}, neuron {walk.neuron}, "
        f"image {walk.image} (a {digit})"
    )
    yield ""
    yield from _grids(walk)
    yield ""
    yield from _registers(walk)


def _grids(walk: RegisterWalk) -> Iterator[str]:
    pixels = [round(value * LARGEST_PIXEL) for value in walk.pixels]
    columns = (
        _column(f"pixels / {LARGEST_PIXEL:g}", pixels),
        _column(f"inputs, {walk.formats['input']}", walk.input_codes),
        _column(f"weights, {walk.formats['weight']}", walk.weight_codes),
        ["sums", *_first_sums(walk)],
    )
    for cells in zip(*columns, strict=True):
        yield "  ".join(cells).rstrip()


def _column(title: str, values: Sequence[int]) -> list[str]:
    cell = max(len(str(value)) for value in values)
    rows = [
        " ".join(f"{value:>{cell}}" for value in values[start : start + _ROW])
        for start in range(0, len(values), _ROW)
    ]
    width = max(len(title), len(rows[0]))
    return [line.ljust(width) for line in (title, *rows)]


def _first_sums(walk: RegisterWalk) -> list[str]:
    """Results of the first stage, each beside the last row of its products; * for an overflow."""
    rows: list[list[str]] = [[] for _ in range(0, len(walk.input_codes), _ROW)]
    marked = {addition.tile for addition in walk.overflows if addition.stage == 0}
    size = walk.tile_sizes[0]
    for tile, value in enumerate(walk.stages[0]):
        last = min((tile + 1) * size, len(walk.input_codes)) - 1
        rows[last // _ROW].append(f"{value}{'*' if tile in marked else ''}")
    return [" ".join(row) for row in rows]


def _registers(walk: RegisterWalk) -> Iterator[str]:
    yield (
        f"sums          of {walk.tile_sizes[0]} products each, one added at a time, "
        f"{walk.formats['stage_0']}"
    )
    yield from _overflows(walk)
    yield f"bias code     {walk.bias_code}: the accumulator starts from it"
    yield f"accumulator   {_operands(walk)} = {walk.accumulator}, {walk.formats['acc']}"
    off = walk.accumulator - walk.exact_total
    yield f"exact total   {walk.exact_total}{f': the accumulator is off by {off}' if off else ''}"
    yield f"product       {walk.accumulator} x {walk.multiplier} = {walk.product}"
    yield (
        f"output code   {walk.product} >> {walk.shift}, rounded, ReLU = {walk.output_code}, "
        f"{walk.formats['output']}"
    )
    yield f"real value    {_real(walk, walk.output_code)}"
    yield f"reference     {_real(walk, walk.exact_code)}; unquantized {walk.float_output:.4f}"


def _overflows(walk: RegisterWalk) -> Iterator[str]:
    shown = walk.overflows[:_MOST_OVERFLOWS]
    for addition in shown:
        is_last = addition.stage == len(walk.stages) - 1
        name = "accumulator" if is_last else f"sum {addition.tile}"
        exact = addition.before + addition.operand
        yield (
            f"* {name:<12}overflows at K index {addition.k_index}: {addition.before} "
            f"{_signed(addition.operand)} = {exact} is kept as {addition.after}"
        )
    if len(walk.overflows) > len(shown):
        yield f"* {len(walk.overflows) - len(shown)} more additions overflow"


def _operands(walk: RegisterWalk) -> str:
    """What the accumulator adds up: the bias, and the sums, if those are registers of their own."""
    if len(walk.stages) == 1:
        return f"{walk.bias_code} + {len(walk.input_codes)} products"
    return " ".join([str(walk.bias_code), *map(_signed, walk.stages[-2])])


def _real(walk: RegisterWalk, code: int) -> str:
    return f"{code} x {walk.output_step:.6g} = {code * walk.output_step:.4f}"


def _signed(value: int) -> str:
    return f"{'-' if value < 0 else '+'} {abs(value)}"
