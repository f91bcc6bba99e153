"""Paired timing: our run and a peer's in turn, so that a drifting machine moves both alike."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One line of a benchmark table.

    Attributes
    ----------
    name, peer
        What is measured, and against what.
    work
        Operations of one call: products, or elements.
    seconds, peer_seconds
        Medians over the pairs; the peer's None where it is not installed.
    ratio
        Median over the pairs of peer seconds / our seconds: above 1 we are faster. None likewise.
    """

    name: str
    peer: str
    work: int
    seconds: float
    peer_seconds: float | None
    ratio: float | None


def measure(
    name: str,
    ours: Callable[[], object],
    peer: str,
    theirs: Callable[[], object] | None,
    *,
    work: int,
    pairs: int,
) -> Measurement:
    """Time ``pairs`` pairs after one warm-up of each (kernels compile in it).

    ``theirs`` is None for a peer that is not installed.
    """
    ours()
    if theirs is None:
        alone = median(_seconds(ours) for _ in range(pairs))
        return Measurement(
            name=name, peer=peer, work=work, seconds=alone, peer_seconds=None, ratio=None
        )
    theirs()
    times = [(_seconds(ours), _seconds(theirs)) for _ in range(pairs)]
    return Measurement(
        name=name,
        peer=peer,
        work=work,
        seconds=median(a for a, _ in times),
        peer_seconds=median(b for _, b in times),
        ratio=median(b / a for a, b in times),
    )


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
