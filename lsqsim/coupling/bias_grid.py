"""Biases as the accelerator holds them, for the training network to see."""

import numpy as np

from lsqsim.channels import along_axis
from lsqsim.coupling.fold import FoldedNetwork, TrainedModel
from lsqsim.coupling.layer_folding import State
from lsqsim.datapath import CompiledLayer
from lsqsim.learn.graph import BatchNormNode


def biases_on_grid(model: TrainedModel, folded: FoldedNetwork) -> State:
    """Arrays of ``model`` whose biases are moved to the integers that folding rounded them to.

    An integer bias is a multiple of s_x * s_w, which at few bits is a good
    part of an output step: rounding it moves codes that training did not see
    move. With these arrays the training network computes with the same
    biases as the accelerator, so that what still differs is float32's
    rounding and the fold errors of the factors. Biases that the rescaler adds
    are fine enough as they are, and stay.

    Parameters
    ----------
    model : TrainedModel
        The network.
    folded : FoldedNetwork
        What it was folded to.

    Returns
    -------
    dict
        Float32 arrays by name: ``beta`` of each batch normalization that
        follows a layer, ``bias`` of other layers that have one. Folding a
        model with them gives the same integers.
    """
    state = model.state()
    norms = {node.source: node for node in model.graph.nodes if isinstance(node, BatchNormNode)}
    found: State = {}
    for name, node in folded.network.layers.items():
        key = f"{norms[name].name}.beta" if name in norms else f"{name}.bias"
        if key in state:
            moved = state[key].astype(np.float64) + _rounding(node.unit)
            found[key] = moved.astype(np.float32)
    return found


def _rounding(compiled: CompiledLayer) -> np.ndarray:
    """By how much the integer bias exceeds the real one, real units; float64 (channels,) or ()."""
    if compiled.bias is None or compiled.layer.bias is None:
        return np.zeros(())
    held = compiled.bias.codes * along_axis(compiled.bias.step_size, compiled.bias.channel_axis, 1)
    return held - compiled.layer.bias
