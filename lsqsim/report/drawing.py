"""What all figures share: matplotlib on demand, one look, and the same bytes for the same data."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lsqsim.errors import LsqsimError

INK, FAINT, BLUE, ORANGE, GREEN = "#222222", "#777777", "#0072b2", "#d55e00", "#00704f"

_SETTINGS = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "svg.hashsalt": "lsqsim",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def load_matplotlib() -> Any:
    """matplotlib; LsqsimError without it."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - only a figure needs it
    except ImportError:
        raise LsqsimError("the figure needs matplotlib: pip install 'lsqsim[plot]'") from None
    return mpl


@contextmanager
def look(settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Draw in one look, with ``settings`` of the figure's own, and leave none behind."""
    mpl = load_matplotlib()
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS | dict(settings or {}))
        yield


def picture_of(figure: Any, suffix: str) -> bytes:
    """``figure`` as a file, ``.png`` or ``.svg``, without the date and the version."""
    file = io.BytesIO()
    metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
    figure.savefig(file, format=suffix[1:], dpi=160, metadata=metadata)
    return file.getvalue()
