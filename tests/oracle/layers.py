"""Which pairs of codes form each output of a layer: plain index loops on nested lists."""

from itertools import product

from lsqsim.specs import Conv2dSpec, Layout

Pairs = list[tuple[int, int]]


def linear_operands(x: list[list[int]], w: list[list[int]]) -> list[tuple[int, Pairs]]:
    """(output channel, pairs in K order) of each output, in C order of (rows, n)."""
    return [(j, list(zip(row, channel, strict=True))) for row in x for j, channel in enumerate(w)]


def conv2d_output_size(
    spec: Conv2dSpec, height: int, width: int, kh: int, kw: int
) -> tuple[int, int]:
    """oh and ow; a number below 1 means the kernel does not fit."""
    top, bottom, left, right = spec.padding
    return (
        (height + top + bottom - spec.dilation[0] * (kh - 1) - 1) // spec.stride[0] + 1,
        (width + left + right - spec.dilation[1] * (kw - 1) - 1) // spec.stride[1] + 1,
    )


def conv2d_operands(x, w, spec: Conv2dSpec, z_x: int) -> list[tuple[int, Pairs]]:
    """(output channel, pairs in K order) of each output, in C order of the output.

    ``x`` and ``w`` are nested lists in the layout's order.
    """
    if spec.layout is Layout.NCHW:
        channels, height, width = len(x[0]), len(x[0][0]), len(x[0][0][0])
        outputs, group_size, kh, kw = len(w), len(w[0]), len(w[0][0]), len(w[0][0][0])
    else:
        height, width, channels = len(x[0]), len(x[0][0]), len(x[0][0][0])
        outputs, kh, kw, group_size = len(w), len(w[0]), len(w[0][0]), len(w[0][0][0])
    assert channels == group_size * spec.groups
    oh, ow = conv2d_output_size(spec, height, width, kh, kw)
    top, _, left, _ = spec.padding

    def x_code(n: int, c: int, row: int, column: int) -> int:
        if not (0 <= row < height and 0 <= column < width):
            return z_x
        return x[n][c][row][column] if spec.layout is Layout.NCHW else x[n][row][column][c]

    def w_code(j: int, c: int, i: int, k: int) -> int:
        return w[j][c][i][k] if spec.layout is Layout.NCHW else w[j][i][k][c]

    def taps():
        """(channel of the group, kernel row, kernel column) in K order."""
        if spec.layout is Layout.NCHW:
            yield from product(range(group_size), range(kh), range(kw))
        else:
            for i, k, c in product(range(kh), range(kw), range(group_size)):
                yield c, i, k

    def pairs(n: int, j: int, row: int, column: int) -> Pairs:
        first_channel = j // (outputs // spec.groups) * group_size
        return [
            (
                x_code(
                    n,
                    first_channel + c,
                    row * spec.stride[0] + i * spec.dilation[0] - top,
                    column * spec.stride[1] + k * spec.dilation[1] - left,
                ),
                w_code(j, c, i, k),
            )
            for c, i, k in taps()
        ]

    if spec.layout is Layout.NCHW:
        places = product(range(len(x)), range(outputs), range(oh), range(ow))
        return [(j, pairs(n, j, row, column)) for n, j, row, column in places]
    places = product(range(len(x)), range(oh), range(ow), range(outputs))
    return [(j, pairs(n, j, row, column)) for n, row, column, j in places]
