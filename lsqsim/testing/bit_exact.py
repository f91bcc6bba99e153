"""``assert_bit_exact``: a user's implementation against ours, down to the smallest difference."""

from dataclasses import dataclass
from typing import Any, get_args

import hypothesis
from hypothesis import HealthCheck, Phase, strategies as st
from hypothesis.errors import Flaky

from lsqsim.errors import SpecError
from lsqsim.specs import (
    AccumulatorSpec,
    DatapathSpec,
    QuantizerSpec,
    RescalerSpec,
)
from lsqsim.testing.calls import (
    Call,
    array_calls,
    datapath_calls,
    quantizer_calls,
    rescaler_calls,
)
from lsqsim.testing.mismatch import BitMismatch, Candidate, fault_of, mismatch
from lsqsim.testing.simpler import SIMPLER

Checkable = QuantizerSpec | AccumulatorSpec | RescalerSpec | DatapathSpec


def assert_bit_exact(
    candidate: Candidate,
    spec: Checkable,
    *,
    max_examples: int = 200,
    seed: int | None = None,
    settings: hypothesis.settings | None = None,
    **limits: Any,
) -> None:
    """Search for arguments for which ``candidate`` differs from ``spec`` in any bit.

    The candidate is any callable: a wrapper of an RTL simulation, a C function
    behind ctypes, a model in NumPy. It is called by keyword, with arrays and
    plain numbers (arrays are its own copies, int64 where no other dtype is
    named):

    =============== ============================================================
    ``spec``        keywords
    =============== ============================================================
    QuantizerSpec   ``values`` (n,) float; ``step_size``, ``zero_point``
    AccumulatorSpec ``x`` (m, k); ``w`` (n, k); ``bias`` (n,);
                    ``input_zero_point``; ``weight_zero_point`` (n,)
    RescalerSpec    ``acc`` (n,); parameters; ``zero_point``; ``low``, ``high``:
                    the clip
    DatapathSpec    ``values`` float, ``input_step``, ``input_zero_point``;
                    ``x``: the input codes; ``w``, ``bias``: codes;
                    ``weight_zero_point`` (channels,); those of a rescaler but
                    ``acc``; for a convolution ``stride``, ``padding``,
                    ``dilation``, ``groups``, ``channels_last``
    =============== ============================================================

    The parameters of a rescaler are ``multiplier`` and ``shift`` for a
    fixed-point scaling, ``scale`` (a NumPy float of the scaling's width),
    ``shift``, or ``thresholds`` (codes - 1,). Where ``spec`` is per channel,
    they are arrays (channels, ...), and ``acc`` is (n, channels); so are
    ``step_size`` and ``zero_point`` of a quantizer, whose values then have more
    axes.

    It returns its output codes (accumulators for an AccumulatorSpec) as an
    integer array; or a dict of registers, named as in
    :class:`lsqsim.trace.Trace`, so that the first one in datapath order that
    differs is reported with its tile and K range. Values are compared, never
    with a tolerance; any integer dtype will do, a float will not. It may call
    :func:`hypothesis.assume` to leave out what the hardware need not do.

    Parameters
    ----------
    candidate
        The implementation.
    spec
        What it claims to implement.
    max_examples
        Number of calls of the search; shrinking makes more.
    seed
        Draw the same calls every time; None draws anew.
    settings
        Hypothesis settings to start from, for a database or ``derandomize``.
        Unless given, nothing is kept between runs.
    limits
        What the hardware is restricted to: keywords of ``quantizer_calls``,
        ``array_calls`` (which needs ``input_format`` and ``weight_format``),
        ``rescaler_calls`` (which needs ``acc_format``) or ``datapath_calls``
        (``layer``: a :class:`lsqsim.layer.Layer` or its specification).

    Raises
    ------
    BitMismatch
        The smallest difference found; also an answer of another shape or dtype,
        and an exception of the candidate.
    SpecError
        A missing keyword, or another kind of specification.

    Examples
    --------
    Hardware that halves with an arithmetic shift, where the specification
    rounds to nearest, ties toward plus infinity. The smallest difference is
    half of 1:

    >>> import numpy as np
    >>> from lsqsim.formats import IntFormat
    >>> from lsqsim.specs import PowerOfTwo, RescalerSpec
    >>> spec = RescalerSpec(output=IntFormat(8), scaling=PowerOfTwo())
    >>> def shifter(acc, shift, zero_point, low, high):
    ...     return np.clip((acc >> shift) + zero_point, low, high)
    >>> try:
    ...     assert_bit_exact(shifter, spec, acc_format=IntFormat(16), zero_point=0, seed=1)
    ... except BitMismatch as mismatch:
    ...     print(mismatch)
    shifter is not bit-exact to its RescalerSpec
    output[0]: expected 1, got 0
    shifter(
        acc=np.array([1], np.int64),
        shift=1,
        zero_point=0,
        low=-128,
        high=127,
    )
    expected output: np.array([1], np.int64)
    got output: np.array([0], np.int64)
    """
    __tracebackhide__ = True  # pytest then shows the line that called
    calls = _calls(spec, limits)
    search = _Search(candidate, type(spec), _searching(settings, max_examples), seed)
    found = search.run(calls)
    if found is None:
        return
    kept: dict[str, Any] = {}
    for simpler in SIMPLER[type(spec)]:
        if not limits.keys().isdisjoint(simpler.limits):
            continue
        if simpler.holds(found.arguments):
            kept |= simpler.limits
            continue
        smaller = search.run(_calls(spec, limits | kept | simpler.limits))
        if smaller is not None:
            found, kept = smaller, kept | simpler.limits
    raise found from found.__cause__


@dataclass(frozen=True, slots=True)
class _Search:
    """How to look for a mismatch of one candidate."""

    candidate: Candidate
    kind: type
    settings: hypothesis.settings
    seed: int | None

    def run(self, calls: st.SearchStrategy[Call]) -> BitMismatch | None:
        """The smallest mismatch that Hypothesis finds."""
        name = getattr(self.candidate, "__name__", "candidate")
        seen: list[BitMismatch] = []

        @self.settings
        @hypothesis.given(calls)
        def search(call: Call) -> None:
            fault = fault_of(self.candidate, call)
            if fault is not None:
                seen.append(mismatch(name, self.kind.__name__, call, fault))
                raise seen[-1] from fault.cause

        if self.seed is not None:
            search = hypothesis.seed(self.seed)(search)
        try:
            search()
        except BitMismatch as found:
            found.__notes__ = []  # Hypothesis's own, which repeat the message
            return found.with_traceback(None)
        except Flaky:
            seen[-1].__notes__ = ["The same call was answered otherwise, too: it does not repeat."]
            return seen[-1].with_traceback(None)
        return None


def _searching(base: hypothesis.settings | None, max_examples: int) -> hypothesis.settings:
    """Settings that search and shrink without limits of time, and end in one error."""
    if base is None:
        phases = (Phase.generate, Phase.target, Phase.shrink)
        base = hypothesis.settings(database=None, phases=phases)
    return hypothesis.settings(
        base,
        max_examples=max_examples,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=(*base.suppress_health_check, HealthCheck.too_slow),
    )


def _calls(spec: Checkable, limits: dict[str, Any]) -> st.SearchStrategy[Call]:
    match spec:
        case QuantizerSpec():
            return quantizer_calls(spec, **limits)
        case AccumulatorSpec():
            _require(spec, limits, "input_format", "weight_format")
            return array_calls(spec, **limits)
        case RescalerSpec():
            _require(spec, limits, "acc_format")
            return rescaler_calls(spec, **limits)
        case DatapathSpec():
            return datapath_calls(spec, **limits)
        case _:
            kinds = ", ".join(kind.__name__ for kind in get_args(Checkable))
            raise SpecError(f"spec must be one of {kinds}, got {spec!r}")


def _require(spec: Checkable, limits: dict[str, Any], *names: str) -> None:
    for name in names:
        if name not in limits:
            raise SpecError(
                f"{type(spec).__name__} does not say what its unit receives: give {name}, "
                f"such as {name}=IntFormat(8)"
            )
