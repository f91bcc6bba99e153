"""Whether a certificate is true of a layer: sealed, of this layer, and right in every claim.

Nothing here comes from the prover; what ranges and verdicts are, the checker finds by itself.
"""

import hashlib
import json
from collections.abc import Sequence
from reprlib import repr as brief
from typing import Any

import numpy as np

from lsqsim.certificate_checker import Reduction
from lsqsim.datapath import CompiledLayer, Progress
from lsqsim.errors import DataError
from lsqsim.specs.toml import to_table

Ends = list[list[tuple[int, int]]]
_BLOCK_PRODUCTS = 1 << 18
"""Python integers take a hundred bytes a product, all in all."""
_VERDICTS = _, _WRAP_SAFE, _UNSAFE = "saturate_safe", "wrap_safe", "unsafe"
_KEYS = "kind", "version", "seal", "layer_digest", "datapath", "input_low", "input_high", "stages"


def check_certificate(
    table: dict[str, Any], compiled: CompiledLayer, *, progress: Progress | None = None
) -> None:
    """Raise DataError, naming the first claim that is wrong, unless all of ``table`` is true.

    An index of a range is the output channel: ``stages[1].prefix_low[3]`` is stage 1, channel 3.

    Parameters
    ----------
    table : dict
        The certificate, as its JSON has it.
    compiled : CompiledLayer
        The layer it should speak of.
    progress : callable, optional
        Called with (channels done, channels in all).

    Raises
    ------
    DataError
        What does not match: what is stated, and what is true.
    """
    _match("certificate", table, dict.fromkeys(_KEYS, ...))
    _match("kind", table["kind"], "lsqsim overflow certificate")
    _match("version", table["version"], 1)
    _match("seal", table["seal"], _seal(table))
    _match("certificate is for another layer: digest", table["layer_digest"], _digest(compiled))
    _match("datapath", table["datapath"], to_table(compiled.spec))
    inputs = _input_ends(table, compiled)
    found = _found(compiled, inputs, progress or (lambda *_: None))
    verdicts = [[_VERDICTS[verdict] for verdict in stage] for _, _, stage in found]
    stages = to_table(compiled.spec.accumulator)["stages"]
    claims = [
        _claims(stage, sums.tolist(), results.tolist(), words)
        for stage, (sums, results, _), words in zip(stages, found, verdicts, strict=True)
    ]
    for claim in claims:
        if claim["witness"] is not None:
            claim["witness"]["codes"] = [int] * len(inputs[0])
    _match("stages", table["stages"], claims)
    for level, stage in enumerate(table["stages"]):
        if stage["witness"] is not None:
            error = _witness_error(stage["witness"], level, compiled, inputs, verdicts)
            if error is not None:
                raise DataError(f"stages[{level}].witness proves nothing: {error}")


def _match(path: str, stated: Any, true: Any) -> None:
    """Refuse ``stated`` unless it is ``true`` to the leaf; ``int`` is any integer, ``...`` any."""
    is_like = true is ... or type(stated) is (int if true is int else type(true))
    if is_like and isinstance(true, dict):
        for key in true | stated:
            if key not in true or key not in stated:
                raise DataError(f"{path} {'lacks' if key in true else 'knows no'} key {brief(key)}")
            _match(f"{path}.{key}", stated[key], true[key])
    elif is_like and isinstance(true, list) and len(stated) == len(true):
        for index, leaf in enumerate(true):
            _match(f"{path}[{index}]", stated[index], leaf)
    elif not is_like or (true not in (int, ...) and stated != true):
        raise DataError(f"{path} is stated as {brief(stated)}, but is {brief(true)}")


def _seal(table: dict[str, Any]) -> str:
    unsealed = {key: value for key, value in table.items() if key != "seal"}
    try:
        text = json.dumps(unsealed, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"certificate is no plain JSON: {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(compiled: CompiledLayer) -> str:
    n, codes, fmt = compiled.layer.n_outputs, compiled.weight.codes, compiled.spec.weight.format
    size = next(s for s in (1, 2, 4, 8) if max(fmt.max, ~fmt.min) < 1 << 8 * s - 1)
    bias = np.zeros(n) if compiled.bias is None else compiled.bias.codes
    zeros = np.broadcast_to(compiled.weight.zero_point, n)
    words = [np.asarray(a, "<i8") for a in (bias, zeros, compiled.layer.input_zero_point)]
    parts = [codes.astype(f"<i{size}"), *words]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def _input_ends(table: dict[str, Any], compiled: CompiledLayer) -> list[list[tuple[int, int]]]:
    """Ends of the inputs of the K products of each output channel, in natural order."""
    spec, fmt = to_table(compiled.layer.spec), compiled.spec.input.format
    shape, groups = compiled.layer.weight_shape[1:], spec.get("groups", 1)
    depth, k = shape[-1 if spec.get("layout") != "nchw" else 0], int(np.prod(shape))
    low, high = ends = table["input_low"], table["input_high"]
    for key, end in zip(("input_low", "input_high"), ends, strict=True):
        _match(key, end, [int] * (depth * groups) if isinstance(low, list) else int)
    if not isinstance(low, list):
        ends = [low] * max(depth * groups, 1), [high] * max(depth * groups, 1)
    zeros = [compiled.layer.input_zero_point] if any(spec.get("padding", [])) else []
    for c, (low, high) in enumerate(zip(*ends, strict=True)):
        if not fmt.min <= low <= min([high, *zeros]) <= max([high, *zeros]) <= min(high, fmt.max):
            raise DataError(
                f"the input range {low}..{high} of channel {c} must lie in {fmt.describe()}, and "
                f"hold the zero point where the layer pads"
            )
    of = [i * depth // k if spec.get("layout") == "nchw" else i % depth for i in range(k)]
    n = compiled.layer.n_outputs
    firsts = [channel * groups // n * depth for channel in range(n)]
    rows = {f: [(ends[0][f + c], ends[1][f + c]) for c in of] for f in set(firsts)}
    return [rows[first] for first in firsts]


def _found(compiled: CompiledLayer, inputs: Ends, progress: Progress) -> list[tuple[Any, Any, Any]]:
    """Ends of sums, ends of results, verdicts: of every stage; some channels at a time."""
    n, k = len(inputs), max(len(inputs[0]), 1)
    size = max(1, _BLOCK_PRODUCTS // k)
    blocks: list[list[tuple[Any, Any, Any]]] = []
    for start in range(0, n, size):
        channels = range(start, min(start + size, n))
        part = _reduction(compiled, channels, inputs[start : start + size])
        blocks.append(list(part.claims()))
        progress(channels.stop, n)
    return [
        tuple(np.concatenate(parts, axis=-1) for parts in zip(*stage, strict=True))
        for stage in zip(*blocks, strict=True)
    ]  # pyright: ignore[reportReturnType] - three parts each


def _reduction(compiled: CompiledLayer, channels: Sequence[int], inputs: Ends) -> Reduction:
    """The checker of some output channels, whose inputs lie between ``inputs``."""
    spec, n = to_table(compiled.spec.accumulator), compiled.layer.n_outputs
    rows = list(channels)
    weights = _integers(compiled.weight.codes.reshape(n, -1)[rows])
    zeros = _integers(np.broadcast_to(compiled.weight.zero_point, n)[rows])[:, None]
    bias = np.zeros(n, int) if compiled.bias is None else compiled.bias.codes
    constant, z_x, k = _integers(bias[rows]), int(compiled.layer.input_zero_point), weights.shape[1]
    ends = np.array(inputs, object).reshape(len(rows), k, 2).transpose(2, 0, 1)
    coupling = 0 * zeros
    if spec["zero_points"] == "fold":
        constant = constant + k * z_x * zeros[:, 0] - z_x * weights.sum(1)
        coupling = -zeros
    else:
        weights, ends = weights - zeros, ends - z_x
    order = _order(spec, k)
    return Reduction(spec, weights[:, order], ends[:, :, order], constant, coupling)


def _integers(values: np.ndarray) -> np.ndarray:
    """The values as Python integers."""
    return np.array(values.tolist(), object).reshape(values.shape)


def _order(spec: dict[str, Any], k: int) -> list[int]:
    """Natural K indices in the order of entry."""
    if isinstance(spec["order"], list):
        return spec["order"]
    return list(range(k))[:: -1 if spec["order"] == "reversed" else 1]


def _claims(
    stage: dict[str, Any], sums: list[Any], results: list[Any], verdicts: list[str]
) -> dict[str, Any]:
    """The table of one stage; ``sums`` and ``results`` are (low ends, high ends) by channel."""
    saturate_bits, wrap_bits = (
        max(2, *(max(end, ~end).bit_length() + 1 for end in (*low, *high)))
        for low, high in (sums, results)
    )
    needed = wrap_bits if stage["overflow"] == "wrap" else saturate_bits
    verdict = max(verdicts, key=_VERDICTS.index)
    witness = dict.fromkeys(("channel", "codes", "stage", "tile", "k_index", "value"), int)
    return {
        "verdict": verdict,
        "wrap_safe_channels": [c for c, each in enumerate(verdicts) if each == _WRAP_SAFE],
        "unsafe_channels": [c for c, each in enumerate(verdicts) if each == _UNSAFE],
        "wrap_bits": wrap_bits,
        "saturate_bits": saturate_bits,
        "headroom_bits": stage["bits"] - needed,
        "prefix_low": sums[0],
        "prefix_high": sums[1],
        "result_low": results[0],
        "result_high": results[1],
        "witness": witness if verdict == _UNSAFE else None,
    }


def _witness_error(
    witness: dict[str, Any],
    level: int,
    compiled: CompiledLayer,
    inputs: Ends,
    verdicts: list[list[str]],
) -> str | None:
    """What is wrong with an input that is to overflow a stage, by a replay of its registers."""
    channel, stage, tile = witness["channel"], witness["stage"], witness["tile"]
    if not (0 <= channel < len(inputs) and 0 <= stage <= level and tile >= 0):
        return "there is no such channel, stage and tile"
    if verdicts[level][channel] != _UNSAFE or verdicts[stage][channel] != _UNSAFE:
        return "its channel is safe"
    ends = zip(witness["codes"], inputs[channel], strict=True)
    if not all(low <= code <= high for code, (low, high) in ends):
        return "its codes leave the input range"
    point = [[(code, code) for code in witness["codes"]]]
    try:
        lost = _reduction(compiled, [channel], point).first_lost(stage, tile)
    except IndexError:
        return "there is no such tile"
    if lost is None:
        return "no value is lost in its register"
    k = len(point[0])
    entry, value = lost
    k_index = _order(to_table(compiled.spec.accumulator), k)[entry] if 0 <= entry < k else entry
    if (k_index, value) != (witness["k_index"], witness["value"]):
        return f"the first (K index, value) to leave the register is {(k_index, value)}"
    return None
