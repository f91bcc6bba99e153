"""What there is to say about an integer network and a run of it, as JSON-ready dictionaries."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lsqsim.folding import FixedPointParameters, Parameters, PowerOfTwoParameters
from lsqsim.network.comparison import NodeComparison
from lsqsim.network.folds import NodeFold
from lsqsim.network.network import Network
from lsqsim.network.nodes import INPUT
from lsqsim.report.content import Report, plain


def network_report(
    network: Network, comparisons: Sequence[NodeComparison] = (), n_samples: int | None = None
) -> Report:
    """A network, and a run of it.

    Parameters
    ----------
    network : Network
        The network.
    comparisons : sequence of NodeComparison
        Of its run's nodes; those left out are left out of the report, too.
        Without any the report describes all nodes.
    n_samples : int, optional
        Samples that were run.

    Returns
    -------
    dict
        Dictionaries, lists, strings, integers, finite floats and None only:
        ``input``; ``n_samples`` of a run; and ``nodes`` with ``name``,
        ``kind``, ``sources``, ``shape``, ``format``, ``step_size``,
        ``zero_point``, ``fold`` (None for a node that only moves codes) and,
        of a run, ``comparison``.
    """
    folds = {fold.name: fold for fold in network.fold_report()}
    chosen = [each.name for each in comparisons] or list(network.nodes)
    nodes = [_node(network, name, folds.get(name)) for name in chosen]
    for node, comparison in zip(nodes, comparisons, strict=False):
        node["comparison"] = _comparison(comparison)
    report: Report = {"input": _codes(network, INPUT)}
    if n_samples is not None:
        report["n_samples"] = n_samples
    return plain(report | {"nodes": nodes})


def _codes(network: Network, name: str) -> Report:
    encoding = network.encodings[name]
    return {
        "shape": network.shapes[name],
        "format": str(encoding.format),
        "step_size": encoding.step_size,
        "zero_point": encoding.zero_point,
    }


def _node(network: Network, name: str, fold: NodeFold | None) -> Report:
    node = network.nodes[name]
    head = {"name": name, "kind": node.kind, "sources": node.sources}
    return head | _codes(network, name) | {"fold": None if fold is None else _fold(fold)}


def _fold(fold: NodeFold) -> Report:
    return {
        "factor": fold.factor,
        "fold_error": fold.fold_error,
        "held": [_held(parameters) for parameters in fold.parameters],
        "n_clipped_bias": fold.n_clipped_bias,
        "bound_lsb": fold.bound_lsb.max(),
    }


def _held(parameters: Parameters) -> Report:
    match parameters:
        case FixedPointParameters():
            held = {"multiplier": parameters.multiplier, "shift": parameters.shift}
            return held if parameters.addend is None else held | {"addend": parameters.addend}
        case PowerOfTwoParameters():
            return {"shift": parameters.shift}
        case _:
            return {"scale": np.array([float(scale) for scale in parameters.exact_scales()])}


def _comparison(comparison: NodeComparison) -> dict[str, Any]:
    counts = comparison.overflow
    return {
        "n_outputs": comparison.n_outputs,
        "n_differing": comparison.n_differing,
        "max_lsb": comparison.max_lsb,
        "n_beyond_bound": comparison.n_beyond_bound,
        "n_inexact": comparison.n_inexact,
        "overflow": None
        if counts is None
        else {"transient": counts.transient, "persistent": counts.persistent},
        "n_strayed": comparison.n_strayed,
        "sqnr_db": comparison.sqnr_db,
    }
