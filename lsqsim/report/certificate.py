"""What there is to say about a certificate, as a JSON-ready dictionary and in sentences."""

from collections.abc import Sequence

import numpy as np

from lsqsim.budget.bounds import StageBounds
from lsqsim.budget.certificate import Certificate
from lsqsim.budget.witness import witness_input
from lsqsim.convolution import weight_matrix
from lsqsim.datapath import CompiledLayer
from lsqsim.report.content import Report, plain
from lsqsim.report.layout import channels, k_index
from lsqsim.specs import Conv2dSpec

N_FIRST_CODES = 8

_UNSAFE = "unsafe"


def certificate_report(certificate: Certificate, bounds: Sequence[StageBounds]) -> Report:
    """A certificate, the bounds beside it, and what a reader asks next.

    Returns
    -------
    dict
        ``layer``, ``is_safe``, ``n_safe_channels``, ``n_zero_channels`` (those
        without a weight that is not zero), ``bounds`` and ``outputs`` (the
        index of the output that each stage's witness reaches, or None), one
        entry a stage, and the ``certificate`` as it is written in a file.
    """
    compiled = certificate.compiled
    layer = compiled.layer
    is_convolution = isinstance(layer.spec, Conv2dSpec)
    report = {
        "layer": {
            "name": layer.name,
            "kind": "conv2d" if is_convolution else "linear",
            "k": int(np.prod(layer.weight_shape[1:], dtype=np.int64)),
            "n": layer.n_outputs,
        },
        "is_safe": certificate.is_safe,
        "n_safe_channels": int(certificate.safe_channels.sum()),
        "n_zero_channels": _n_zero_channels(compiled),
        "registers": [stage.spec.format.describe() for stage in certificate.stages],
        "bounds": [stage.to_dict() for stage in bounds],
        "outputs": [
            None if stage.witness is None else witness_input(compiled, stage.witness)[1]
            for stage in certificate.stages
        ],
        "certificate": certificate.to_dict(),
    }
    return plain(report)


def certificate_notes(report: Report) -> list[str]:
    """Sentences on how many channels are certified, and on what is special."""
    layer, n_safe = report["layer"], report["n_safe_channels"]
    n = layer["n"]
    if n_safe == n:
        which = f"All {n} channels are" if n > 1 else "The one channel is"
        notes = [f"{which} certified: no input in range makes an accumulator lose its total."]
    else:
        notes = [f"{n_safe} of {channels(n)} certified."]
    for level, stage in enumerate(report["certificate"]["stages"]):
        if stage["verdict"] != _UNSAFE and stage["headroom_bits"] < 0:
            notes.append(
                f"Stage {level} would lack bits for exact sums: it is safe as a stage before it "
                f"loses the values that would not fit."
            )
    if layer["k"] == 0:
        notes.append("K is 0: every accumulator holds its bias alone.")
    elif report["n_zero_channels"]:
        n_zero = report["n_zero_channels"]
        have = "has" if n_zero == 1 else "have"
        notes.append(f"{channels(n_zero)} {have} no nonzero weight: the total is the bias alone.")
    return notes


def witness_lines(report: Report) -> list[str]:
    """For each unsafe stage: which input loses a value there, and where."""
    lines: list[str] = []
    stages = report["certificate"]["stages"]
    for level, (stage, output) in enumerate(zip(stages, report["outputs"], strict=True)):
        witness = stage["witness"]
        if witness is None:
            continue
        codes, register = witness["codes"], report["registers"][witness["stage"]]
        inner = ""
        if witness["stage"] != level:
            inner = f" its farthest inputs lose their value in stage {witness['stage']} already:"
        first = ", ".join(map(str, codes[:N_FIRST_CODES]))
        which = f"first {N_FIRST_CODES} of {len(codes)}" if len(codes) > N_FIRST_CODES else "all"
        lines += [
            f"Stage {level} is unsafe:{inner} {_where(witness, len(codes))}, outside {register}.",
            f"  Input codes ({which}): {first or 'none'}; they reach output {output}.",
        ]
    return lines


def certificate_lines(table: Report, layer: str) -> list[str]:
    """What a certificate that was found true says of ``layer``."""
    n = len(table["stages"][0]["prefix_low"])
    what = f"{layer}, input codes {input_words(table)}, {channels(n)}"
    unsafe = [level for level, stage in enumerate(table["stages"]) if stage["verdict"] == _UNSAFE]
    if not unsafe:
        return [f"valid: {what}: no stage is unsafe, no accumulator loses its total"]
    witness = table["stages"][unsafe[0]]["witness"]
    word = "stage" if len(unsafe) == 1 else "stages"
    where = _where(witness, len(witness["codes"]))
    return [f"valid, and unsafe in {word} {', '.join(map(str, unsafe))}: {what}: {where}"]


def input_words(table: Report) -> str:
    """The range of a certificate's inputs."""
    low, high = table["input_low"], table["input_high"]
    if isinstance(low, list):
        return f"{min(low)}..{max(high)} by input channel"
    return f"{low}..{high}"


def _where(witness: Report, k: int) -> str:
    if witness["k_index"] < 0:
        when = "before the first product"
    elif witness["k_index"] >= k:
        when = "when the bias is added"
    else:
        when = f"at {k_index(witness['k_index'])}"
    channel, tile, value = witness["channel"], witness["tile"], witness["value"]
    return f"in channel {channel}, tile {tile}, the sum is {value} {when}"


def _n_zero_channels(compiled: CompiledLayer) -> int:
    codes = weight_matrix(compiled.weight.codes)
    zeros = np.broadcast_to(compiled.weight.zero_point, (len(codes),))
    return int((codes == zeros[:, None]).all(axis=1).sum())
