"""Layers in a row: each takes the codes that the one before it puts out."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lsqsim.datapath import CompiledLayer, LayerResult
from lsqsim.errors import SpecError
from lsqsim.reference import Reference, ideal_input_codes, reference_from_codes
from lsqsim.specs import AccumulatorSpec
from lsqsim.tensor import QTensor


class Chain:
    """A sequential network on the integers.

    Parameters
    ----------
    layers : sequence of CompiledLayer
        At least one, in the order in which data passes them.

    Raises
    ------
    SpecError
        No layers, or neighbors that do not meet: the codes one puts out must
        have the format, step size and zero point that the next one takes.

    Examples
    --------
    Half of a half of 8, and of 4, through two layers of one weight.

    >>> from lsqsim.layer import Layer
    >>> from lsqsim.specs import LinearSpec, simple_datapath
    >>> half = Layer(spec=LinearSpec(), weight=np.array([[0.5]]), input_step=1.0,
    ...              weight_step=0.5, output_step=1.0)
    >>> unit = CompiledLayer(half, simple_datapath(weight_bits=4, activation_bits=4))
    >>> [result.output.codes.tolist() for result in Chain([unit, unit]).run([[8.0], [4.0]])]
    [[[4], [2]], [[2], [1]]]
    """

    def __init__(self, layers: Sequence[CompiledLayer]) -> None:
        if not layers:
            raise SpecError("a chain needs at least one layer")
        self.layers = tuple(layers)
        for former, latter in pairwise(self.layers):
            _check_pair(former, latter)

    def with_accumulator(self, accumulator: AccumulatorSpec) -> "Chain":
        """The same chain with every layer on ``accumulator``."""
        return Chain([unit.with_accumulator(accumulator) for unit in self.layers])

    def run(self, inputs: object, *, observe: bool = True) -> list[LayerResult]:
        """Every layer's run, the first on ``inputs``, the others on the codes before them.

        Parameters
        ----------
        inputs : float array or QTensor
            What the first layer takes.
        observe : bool
            Also report exact totals and overflows.

        Raises
        ------
        DataError
            What a layer raises; the message starts with its name.
        """
        results: list[LayerResult] = []
        values = inputs
        for unit in self.layers:
            results.append(unit.run(values, observe=observe))
            values = results[-1].output
        return results

    def reference(self, inputs: object) -> list[Reference]:
        """Every layer by the float reference, which rounds where the codes are (fake quantization).

        Parameters
        ----------
        inputs : float array or QTensor
            Real inputs, or the first layer's codes.
        """
        first = self.layers[0]
        codes = (
            inputs.codes
            if isinstance(inputs, QTensor)
            else ideal_input_codes(first.layer, first.spec, inputs)
        )
        references: list[Reference] = []
        for unit in self.layers:
            tensor = QTensor(
                codes=codes,
                format=unit.spec.input.format,
                step_size=np.asarray(unit.layer.input_step),
                zero_point=np.asarray(unit.layer.input_zero_point),
            )
            reference = reference_from_codes(unit.layer, unit.spec, tensor, unit.weight)
            references.append(reference)
            codes = reference.codes
        return references

    def classes(self, codes: np.ndarray) -> np.ndarray:
        """The channel with the largest of the last layer's output codes; int64.

        The first of equals. One for each sample, or for each position of a
        convolution's output.
        """
        return codes.argmax(axis=self.layers[-1].layer.output_channel_axis)


def _check_pair(former: CompiledLayer, latter: CompiledLayer) -> None:
    output, step = former.spec.rescaler.output, np.asarray(former.layer.output_step, np.float64)
    zero, taken = former.layer.output_zero_point, latter.input_quantizer
    meet = (
        output == taken.spec.format
        and step.ndim == 0
        and step == taken.step_size[0]
        and zero == taken.zero_point[0]
    )
    if not meet:
        raise SpecError(
            f"{former.layer.name} puts out {output} of step size {step}, zero point {zero}, but "
            f"{latter.layer.name} takes {taken.spec.format} of step size {taken.step_size[0]}, "
            f"zero point {taken.zero_point[0]}: give both the same"
        )
