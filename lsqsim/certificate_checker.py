"""What an overflow certificate claims, found anew; not a line is shared with the prover.

Arrays hold Python integers; axis 0 is the low and the high end of what inputs can make of a term,
axis 1 the output channel. Inputs are free of each other, so that ends of terms add up.
"""

from itertools import accumulate
from typing import Any

import numpy as np


class Reduction:
    """Weights (n, K) on inputs between two ends (2, n, K), all in the order of entry."""

    def __init__(self, spec: Any, weights: Any, inputs: Any, constant: Any, coupling: Any) -> None:
        self.stages, self.preloads = spec["stages"], spec["bias"] == "preload"
        self.constant, self.all = constant, np.full(len(constant), fill_value=True)
        scaled = (factor * inputs for factor in (weights, coupling, weights + coupling))
        self.products, self.alone, self.both = (np.stack([x.min(0), x.max(0)]) for x in scaled)

    def claims(self) -> Any:
        """Of each stage, ends of sums and results (2, n), given exact sums; and verdicts (n,)."""
        ideal, terms, exact, forgiven = self.products, self.products, self.all, 0 * self.all - 1
        for level, stage in enumerate(self.stages):
            ideal_sums, sums = self._sums(level, ideal, self.all), self._sums(level, terms, exact)
            fits, later, least = _fit(stage, sums), terms, stage["bits"]
            for outer, its in enumerate(self.stages[level:], level):
                if its["overflow"] != "wrap":
                    break
                later, least = self._adds(outer, later, exact).sum(-1), min(least, its["bits"])
                right = _fit(its, later) & (its["bits"] == least) & ~fits
                forgiven = np.where(right & (forgiven < level), outer, forgiven)
            unsafe, ideal = ~fits & (forgiven < level), ideal_sums[..., -1]
            # 0 is saturate-safe, 1 wrap-safe, 2 unsafe; by what arrives, exact or not
            yield _hull(ideal_sums), _hull(ideal), np.where(unsafe, 2, forgiven >= level)
            clamp = _keep(stage | {"overflow": "saturate"})
            kept = self._sums(level, terms, exact, clamp)[..., -1]
            if stage["overflow"] == "wrap":  # what is kept of a range can be anything
                kept = kept + np.array([[[-1 << 99]], [[1 << 99]]])
            terms, exact = np.where(unsafe[:, None], clamp(kept), sums[..., -1]), exact & ~unsafe

    def first_lost(self, level: int, tile: int) -> tuple[int, int] | None:
        """(entry, sum) that first leaves a register, for one input; None if it ends up right."""
        terms, k, size, keep = self.products, self.products.shape[-1], 1, _keep(self.stages[level])
        for inner, its in enumerate(self.stages[:level]):
            terms = _keep(its)(self._sums(inner, terms, ~self.all, _keep(its))[..., -1])
            size = k if its["fan_in"] == "all" else size * its["fan_in"]
        adds = self._adds(level, terms, ~self.all)[0, 0, tile]
        sums = self._sums(level, terms, ~self.all, keep)[0, 0, tile]
        lost, wraps = np.flatnonzero(sums != keep(sums)), self.stages[level]["overflow"] == "wrap"
        if not lost.size or (wraps and keep(sums)[-1] == adds.sum()):
            return None
        at, is_last = int(lost[0]), level == len(self.stages) - 1
        n_entered = min((tile * len(adds) + at + (not (is_last and self.preloads))) * size, k)
        is_bias = is_last and not self.preloads and at == len(adds) - 1
        return n_entered - (not is_bias), sums[at]

    def _adds(self, level: int, terms: Any, exact: Any) -> Any:
        """What each register of a stage adds, (2, n, registers, additions)."""
        if level < len(self.stages) - 1:
            return _cut(terms, self.stages[level])
        joint, addend = self.both - self.alone, self.constant + self.alone.sum(-1)
        for stage in self.stages[:-1]:
            joint = _cut(joint, stage).sum(-1)
        if self.preloads:  # while sums are exact, an input counts by addend and product at once
            row = [addend[..., None], np.where(exact[:, None], joint, terms)]
        else:
            rest = self.constant + self.both.sum(-1) - terms.sum(-1)
            row = [terms, np.where(exact, rest, addend)[..., None]]
        return np.concatenate(row, -1)[:, :, None]

    def _sums(self, level: int, terms: Any, exact: Any, keep: Any = lambda sums: sums) -> Any:
        adds = np.moveaxis(self._adds(level, terms, exact), -1, 0)
        return np.stack([*accumulate(adds, lambda held, added: keep(held) + added)], -1)


def _keep(stage: Any) -> Any:
    half = 1 << stage["bits"] - 1
    if stage["overflow"] == "wrap":
        return lambda sums: (sums + half) % (2 * half) - half
    return lambda sums: np.clip(sums, -half, half - 1)


def _fit(stage: Any, sums: Any) -> Any:
    return (_keep(stage | {"overflow": "saturate"})(_hull(sums)) == _hull(sums)).all(0)


def _cut(terms: Any, stage: Any) -> Any:
    n, size = terms.shape[-1], max(terms.shape[-1], 1)
    size = size if stage["fan_in"] == "all" else min(stage["fan_in"], size)
    zeros = np.full((*terms.shape[:2], -n % size), 0, object)  # change no sum
    return np.concatenate([terms, zeros], -1).reshape(*terms.shape[:2], -1, size)


def _hull(sums: Any) -> Any:
    sums = sums if sums.size else np.zeros((*sums.shape[:2], 1), object)
    ends = sums.reshape(*sums.shape[:2], -1)
    return np.stack([ends[0].min(-1), ends[1].max(-1)])
