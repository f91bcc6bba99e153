"""One network as a .npz file: its structure as TOML text, its arrays beside it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.files import load_arrays, save_arrays
from lsqsim.layer import Layer
from lsqsim.network.encoding import InputSpec
from lsqsim.network.network import Network
from lsqsim.network.nodes import CODE_NODES, LayerNode, Node
from lsqsim.specs import DatapathSpec, LayerSpec
from lsqsim.specs.toml import Spec, from_table, to_table

STRUCTURE = "lsqsim.network"
"""Key of the TOML text, UTF-8 in uint8; arrays stand beside it under ``node/array``."""

VERSION = 1

_CODE_NODES = {node.kind: node for node in CODE_NODES}
_NEEDED = ("input_step", "weight_step", "output_step", "weight_zero_point")
_OPTIONAL = {"weight": "f", "weight_codes": "iu", "bias": "f", "bias_codes": "iu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredLayer(Spec):
    """A layer node but for its arrays."""

    name: str
    source: str
    layer: LayerSpec
    datapath: DatapathSpec
    input_zero_point: int
    output_zero_point: int


def save_network(path: str | Path, network: Network) -> None:
    """Write ``network`` so that :func:`load_network` reads it back; all of the file or nothing.

    Raises
    ------
    DataError
        A path that can't be written.
    """
    tables: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for name, node in network.nodes.items():
        if isinstance(node, LayerNode):
            stored, own = _stored(node)
            tables.append({"kind": node.kind} | to_table(stored))
            arrays |= {f"{name}/{key}": array for key, array in own.items()}
        else:
            tables.append({"kind": node.kind} | to_table(node))
    structure = {"version": VERSION, "input": to_table(network.input), "nodes": tables}
    text = np.frombuffer(tomli_w.dumps(structure).encode(), np.uint8)
    save_arrays(path, {STRUCTURE: text} | arrays)


def load_network(path: str | Path) -> Network:
    """Read a network.

    Parameters
    ----------
    path : path of a .npz file
        As :func:`save_network` writes it.

    Raises
    ------
    DataError
        No readable .npz without pickles; arrays that are missing, unknown or
        of another dtype or shape than their layer takes.
    SpecError
        A structure that is no TOML of a network, or nodes that do not meet.
    """
    arrays = load_arrays(path)
    if STRUCTURE not in arrays:
        raise DataError(f"{path}: is no network: {STRUCTURE} is missing")
    return _named(path, arrays)


def load_if_network(path: str | Path) -> Network | None:
    """The network of a file, or None where its arrays are a layer's; errors as the other's."""
    arrays = load_arrays(path)
    return _named(path, arrays) if STRUCTURE in arrays else None


def _named(path: str | Path, arrays: dict[str, np.ndarray]) -> Network:
    try:
        return network_of(arrays)
    except LsqsimError as error:
        raise type(error)(f"{path}: {error}") from None


def network_of(arrays: dict[str, np.ndarray]) -> Network:
    """The network that the arrays of a file make up; errors as :func:`load_network`."""
    structure = _structure(arrays)
    if set(structure) != {"version", "input", "nodes"}:
        raise SpecError(
            f"a network's structure has the keys version, input and nodes, got "
            f"{', '.join(structure) or 'none'}"
        )
    if structure["version"] != VERSION:
        raise SpecError(f"version must be {VERSION}, got {structure['version']!r}")
    if not isinstance(structure["nodes"], list):
        raise SpecError(f"nodes must be a list of tables, got {structure['nodes']!r}")
    left = {key: array for key, array in arrays.items() if key != STRUCTURE}
    source = from_table(InputSpec, structure["input"], "input")
    nodes = [_node(f"nodes[{i}]", table, left) for i, table in enumerate(structure["nodes"])]
    if left:
        raise DataError(f"unknown key {min(left)!r}: no layer has such an array")
    return Network(source, nodes)


def _structure(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    text = arrays[STRUCTURE]
    if text.dtype != np.uint8 or text.ndim != 1:
        raise DataError(
            f"{STRUCTURE} must be a row of uint8, got {text.dtype} of shape {text.shape}"
        )
    try:
        return tomllib.loads(text.tobytes().decode())
    except (ValueError, RecursionError) as error:
        # not UTF-8; no TOML; an integer of thousands of digits; tables nested too deeply
        raise SpecError(f"{STRUCTURE}: malformed TOML: {error}") from None


def _node(path: str, table: object, left: dict[str, np.ndarray]) -> Node:
    """The node of a table; its arrays are taken out of ``left``."""
    if not isinstance(table, dict):
        raise SpecError(f"{path} must be a table, got {table!r}")
    kind = table.get("kind")
    rest = {key: value for key, value in table.items() if key != "kind"}
    if kind == LayerNode.kind:
        return _layer_node(from_table(_StoredLayer, rest, path), left)
    if not isinstance(kind, str) or kind not in _CODE_NODES:
        legal = ", ".join([LayerNode.kind, *_CODE_NODES])
        raise SpecError(f"{path}.kind must be one of {legal}, got {kind!r}")
    return from_table(_CODE_NODES[kind], rest, path)


def _stored(node: LayerNode) -> tuple[_StoredLayer, dict[str, np.ndarray]]:
    layer = node.unit.layer
    stored = _StoredLayer(
        name=node.name,
        source=node.source,
        layer=layer.spec,
        datapath=node.unit.spec,
        input_zero_point=int(layer.input_zero_point),
        output_zero_point=int(layer.output_zero_point),
    )
    values = {key: getattr(layer, key) for key in (*_NEEDED, *_OPTIONAL)}
    return stored, {
        key: np.asarray(value) if _kinds(key) == "iu" else _reals(value)
        for key, value in values.items()
        if value is not None
    }


def _kinds(key: str) -> str:
    """Kinds of dtype that an array may have."""
    return _OPTIONAL.get(key, "iu" if key == "weight_zero_point" else "f")


def _reals(value: object) -> np.ndarray:
    """``value`` as it is, or integers as the reals that they stand for."""
    array = np.asarray(value)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _layer_node(stored: _StoredLayer, left: dict[str, np.ndarray]) -> LayerNode:
    arrays = {
        key: left.pop(f"{stored.name}/{key}")
        for key in (*_NEEDED, *_OPTIONAL)
        if f"{stored.name}/{key}" in left
    }
    for key in _NEEDED:
        if key not in arrays:
            raise DataError(f"{stored.name}: the array {stored.name}/{key} is missing")
    for key, array in arrays.items():
        kinds = _kinds(key)
        if array.dtype.kind not in kinds or array.dtype.itemsize > 8:
            noun = "integers" if kinds == "iu" else "real numbers"
            raise DataError(
                f"{stored.name}: {stored.name}/{key} must hold {noun} of at most 64 bits, got "
                f"dtype {array.dtype}"
            )
    values: dict[str, Any] = {
        key: array.item() if array.ndim == 0 else array for key, array in arrays.items()
    }
    layer = Layer(
        spec=stored.layer,
        name=stored.name,
        input_zero_point=stored.input_zero_point,
        output_zero_point=stored.output_zero_point,
        **values,
    )
    return LayerNode(source=stored.source, unit=CompiledLayer(layer, stored.datapath))
