"""The verdict on a network's run: node by node, against the float reference on the same codes."""

from dataclasses import dataclass

import numpy as np

from lsqsim.errors import DataError
from lsqsim.network.folds import NodeFold
from lsqsim.network.network import Network, NetworkRun
from lsqsim.network.reference import node_reference
from lsqsim.network.units import NodeResult
from lsqsim.overflow import OverflowCounts
from lsqsim.sqnr import sqnr_db


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeComparison:
    """One node's integer output against the float reference.

    Attributes
    ----------
    name, kind
        The node.
    n_outputs
        Number of output codes.
    n_differing
        Codes that are not the reference's ideal code for the same codes of
        the sources.
    max_lsb
        Largest such difference.
    bound_lsb
        The largest of its channels' bounds; infinite where none holds.
    n_beyond_bound
        Codes farther from the reference than their bound although the
        accumulator holds its exact total: 0, or a defect.
    n_inexact
        Outputs whose accumulator does not hold its exact total.
    overflow
        Outputs by kind of overflow; None without an accumulator.
    n_strayed
        Codes that are not those of the reference of the whole network, whose
        own codes pass from node to node.
    sqnr_db
        Against the reference of the whole network, in its real units.
    """

    name: str
    kind: str
    n_outputs: int
    n_differing: int
    max_lsb: int
    bound_lsb: float
    n_beyond_bound: int
    n_inexact: int
    overflow: OverflowCounts | None
    n_strayed: int
    sqnr_db: float


def compare_network(
    network: Network, run: NetworkRun, inputs: object = None
) -> list[NodeComparison]:
    """Compare a run with the float reference, every node in order.

    Parameters
    ----------
    network : Network
        The network.
    run : NetworkRun
        Its run, observed, with the results of all nodes kept.
    inputs : float array or QTensor, optional
        What the reference of the whole network starts from; the codes of the
        run unless given.

    Raises
    ------
    DataError
        A run without all results, or not observed.
    """
    if len(run.results) < len(network.nodes) or (_has_registers(run) and not run.overflow):
        raise DataError("to compare, run the network with keep=Keep.ALL and observe=True")
    folds = {fold.name: fold for fold in network.fold_report()}
    whole = network.reference(run.input if inputs is None else inputs)
    found: list[NodeComparison] = []
    for name, node in network.nodes.items():
        result = run.results[name]
        local = node_reference(node, [run.codes(source) for source in node.sources])
        difference = np.abs(result.output.codes - local.codes)
        bound, beyond = _beyond(folds.get(name), result, local.output)
        found.append(
            NodeComparison(
                name=name,
                kind=node.kind,
                n_outputs=difference.size,
                n_differing=int((difference > 0).sum()),
                max_lsb=int(difference.max(initial=0)),
                bound_lsb=bound,
                n_beyond_bound=int((beyond & _exact(result)).sum()),
                n_inexact=int((~_exact(result)).sum()),
                overflow=run.overflow.get(name),
                n_strayed=int((result.output.codes != whole[name].codes).sum()),
                sqnr_db=sqnr_db(whole[name].output, result.output.dequantize()),
            )
        )
    return found


def _beyond(
    fold: NodeFold | None, result: NodeResult, real: np.ndarray
) -> tuple[float, np.ndarray]:
    """The bound, and which codes lie beyond it; a node that only moves codes has none: 0."""
    output = result.output
    distance = np.abs(output.codes - output.zero_point - real / output.step_size)
    if fold is None:
        return 0.0, np.rint(distance) > 0
    return float(fold.bound_lsb.max()), distance > fold.bound_lsb


def _exact(result: NodeResult) -> np.ndarray:
    if result.overflow is None:
        return np.ones(result.output.codes.shape, bool)
    return np.asarray(result.accumulators == result.overflow.total)


def _has_registers(run: NetworkRun) -> bool:
    return any(result.accumulators is not None for result in run.results.values())
