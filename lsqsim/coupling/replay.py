"""Hardware in the loop: what the accelerator computes takes the place of training's own values.

The forward pass runs on the integers, with the accelerator's registers and its rescaler; every
stored code, and every layer's sum as its register holds it, goes back into the network in
training. Its backward pass then finds the values that the hardware had, and passes gradients
straight through what registers did to them.
"""

import numpy as np

from lsqsim.coupling.fold import FoldedNetwork, fold_model
from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.datapath import CompiledLayer
from lsqsim.learn.graph import BatchNormNode, Conv2dNode, LinearNode, QuantizeNode
from lsqsim.learn.model import Model
from lsqsim.network.network import Keep, NetworkRun
from lsqsim.network.nodes import LayerNode


class HardwareReplay:
    """A hook of training: the values of a batch by the integer datapath.

    The accelerator folds batch normalizations by their running statistics: they must be frozen
    (:meth:`Model.freeze_batch_norm`), so that training means the same network.

    Parameters
    ----------
    hardware : HardwareSpec
        The accelerator, as narrow as it will be.
    output_step : float
        Real units a code of the output.
    """

    def __init__(self, hardware: HardwareSpec, output_step: float) -> None:
        self.hardware = hardware
        self.output_step = output_step

    def __call__(self, model: Model, values: np.ndarray) -> dict[str, np.ndarray]:
        """Values of every quantizer and every layer of ``model``, float32, by node.

        The model is folded as it is at this moment.

        Parameters
        ----------
        model : Model
            All of whose step sizes have started.
        values : float32 array (n, ...)
            Real inputs.
        """
        folded = fold_model(model, self.hardware, output_step=self.output_step)
        run = folded.network.run(values, keep=Keep.ALL)
        replayed = self._sums(model, folded, run)
        for node in model.graph.nodes:
            is_stored = isinstance(node, QuantizeNode) or node is model.graph.nodes[-1]
            if is_stored:
                replayed[node.name] = _real_codes(folded, run, node.name)
        return replayed

    def _sums(self, model: Model, folded: FoldedNetwork, run: NetworkRun) -> dict[str, np.ndarray]:
        """What every layer put out before its normalization, as its last register holds it."""
        sums: dict[str, np.ndarray] = {}
        for node in model.graph.nodes:
            if not isinstance(node, Conv2dNode | LinearNode):
                continue
            integer = folded.network.nodes[node.name]
            registers = run.results[node.name].accumulators
            assert isinstance(integer, LayerNode)
            assert registers is not None
            real = _real_sums(integer.unit, registers) + _residual(folded, node.name)
            norm = next(
                (n for n in model.graph.consumers(node.name) if isinstance(n, BatchNormNode)), None
            )
            sums[node.name] = (real if norm is None else _before(model, norm, real)).astype(
                np.float32
            )
        return sums


def _real_codes(folded: FoldedNetwork, run: NetworkRun, name: str) -> np.ndarray:
    """Real values of the codes behind training node ``name``, in training's own arithmetic."""
    meaning = folded.meanings[name]
    codes = run.codes(folded.names[name]).codes - meaning.encoding.zero_point
    values = codes.astype(np.float32) * np.float32(meaning.encoding.step_size)
    return values + np.float32(meaning.residual)


def _residual(folded: FoldedNetwork, layer: str) -> float:
    """What codes of the layer's output leave to their taker: its bias is less by that."""
    [stored] = [name for name, node in folded.names.items() if node == layer]
    return folded.meanings[stored].residual


def _real_sums(unit: CompiledLayer, registers: np.ndarray) -> np.ndarray:
    """Registers as real values, normalization and bias included; float64.

    They count from the residual of the output's codes.
    """
    real = registers * (np.float64(unit.layer.input_step) * unit.weight.step_size)
    if unit.rescaler_bias is None:
        return real
    return real + unit.rescaler_bias * np.asarray(unit.layer.output_step)


def _before(model: Model, norm: BatchNormNode, normalized: np.ndarray) -> np.ndarray:
    """What the frozen normalization turns into ``normalized``."""
    gamma, beta, mean, variance = (
        model.array(f"{norm.name}.{part}").astype(np.float64)
        for part in ("gamma", "beta", "mean", "variance")
    )
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return (normalized - beta) / np.where(factor == 0, 1, factor) + mean
