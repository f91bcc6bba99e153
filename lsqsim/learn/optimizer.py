"""Stochastic gradient descent with momentum, and what it may not do to step sizes."""

from collections.abc import Mapping, Sequence

import numpy as np

from lsqsim.errors import DataError
from lsqsim.learn.failure import TrainingError
from lsqsim.learn.parameters import Kind, Parameter
from lsqsim.learn.quantizer import LearnedQuantizer
from lsqsim.learn.rule import Method, Positivity
from lsqsim_kernels import momentum as kernels

LEAST_GAMMA = np.float32(2**-10)
"""The least factor of a batch normalization in a quantized network."""

_LEAST_STEP = float(np.finfo(np.float32).tiny)
_LARGEST_LOG, _LARGEST_LOG2 = 88, 126
"""Magnitudes up to which a step size is within float32."""


class Sgd:
    """v = momentum * v + (grad + decay * p); p -= learning rate * v, as PyTorch has it.

    Weight decay is for weights only: not for biases, batch normalizations and step sizes.

    Parameters
    ----------
    parameters : sequence of Parameter
        What is moved, in place.
    quantizers : mapping of str to LearnedQuantizer
        Those whose step sizes are among the parameters; by their names in messages. With any,
        the network is a quantized one: factors of its batch normalizations are then kept at
        2**-10 or above, for the integer rescaler that they are folded into needs a positive
        factor.
    momentum : float
        0 or more, below 1.
    weight_decay : float
        0 or more.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        quantizers: Mapping[str, LearnedQuantizer],
        *,
        momentum: float,
        weight_decay: float,
    ) -> None:
        self._parameters = list(parameters)
        self._quantizers = dict(quantizers)
        self._momentum = np.float32(momentum)
        self._weight_decay = np.float32(weight_decay)
        self._velocities = {p.name: np.zeros_like(p.value) for p in self._parameters}

    def update(self, learning_rate: float) -> None:
        """One step down the gradient; on an error, nothing is moved.

        A learned step size (PACT: clip value) that would become 0 or negative follows its
        rule's ``positivity``: ``HALVE`` moves it to half of what it was and no further.

        Raises
        ------
        TrainingError
            A gradient that is not finite; a step size that would become 0, negative, or too
            small or large for float32.
        """
        for parameter in self._parameters:
            if not np.isfinite(parameter.grad).all():
                raise TrainingError(
                    f"the gradient of {parameter.name} is not finite: lower the learning rate"
                )
        rate = np.float32(learning_rate)
        steps = {name: self._next_step(q, rate) for name, q in self._quantizers.items()}
        for parameter in self._parameters:
            self._move(parameter, rate)
        for name, value in steps.items():
            self._quantizers[name].step.value[:] = value

    def state(self) -> dict[str, np.ndarray]:
        """Velocities by parameter names: copies, float32."""
        return {name: velocity.copy() for name, velocity in self._velocities.items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from :meth:`state`; DataError where it does not fit, with nothing changed."""
        if state.keys() != self._velocities.keys():
            names = sorted(state.keys() ^ self._velocities.keys())
            raise DataError(f"momenta do not fit the network's parameters: {', '.join(names)}")
        for name, velocity in self._velocities.items():
            given = state[name]
            if given.shape != velocity.shape or given.dtype != velocity.dtype:
                raise DataError(
                    f"the momentum of {name} must be float32 of shape {velocity.shape}, got "
                    f"{given.dtype} of shape {given.shape}"
                )
        for name, velocity in self._velocities.items():
            velocity[:] = state[name]

    def _move(self, parameter: Parameter, rate: np.float32) -> None:
        is_weight = parameter.kind is Kind.WEIGHT
        kernels.descend(
            parameter.value.reshape(-1),
            self._velocities[parameter.name].reshape(-1),
            parameter.grad.reshape(-1),
            rate,
            self._momentum,
            self._weight_decay if is_weight else np.float32(0),
        )
        if parameter.kind is Kind.GAMMA and self._quantizers:
            np.maximum(parameter.value, LEAST_GAMMA, out=parameter.value)

    def _next_step(self, quantizer: LearnedQuantizer, rate: np.float32) -> np.ndarray:
        """What ``quantizer.step`` becomes; nothing is moved yet."""
        step = quantizer.step
        if step.name not in self._velocities:
            return step.value.copy()
        old, velocity = step.value.copy(), self._velocities[step.name].copy()
        new = old.copy()
        kernels.descend(new, velocity, step.grad, rate, self._momentum, np.float32(0))
        if _is_step_itself(quantizer) and quantizer.rule.positivity is Positivity.HALVE:
            new = np.maximum(new, old / 2)
        _require_positive(quantizer, old, new)
        return new


def _is_step_itself(quantizer: LearnedQuantizer) -> bool:
    """Whether what is learned must be positive: neither a logarithm nor TQT's threshold."""
    rule = quantizer.rule
    if rule.method is Method.TQT:
        return False
    return rule.method is Method.PACT or rule.positivity is not Positivity.LOGARITHM


def _require_positive(quantizer: LearnedQuantizer, old: np.ndarray, new: np.ndarray) -> None:
    rule = quantizer.rule
    if _is_step_itself(quantizer):
        good = (new >= _LEAST_STEP) & np.isfinite(new)
        what = "clip value" if rule.method is Method.PACT else "step size"
    elif rule.method is Method.TQT:
        good = np.abs(new) <= _LARGEST_LOG2
        what = "binary logarithm of the threshold"
    else:
        good = np.abs(new) <= _LARGEST_LOG
        what = "logarithm of the step size"
    if good.all():
        return
    first = int(good.argmin())
    where = f" of channel {first}" if new.size > 1 else ""
    raise TrainingError(
        f"{quantizer.name}: an update would take the {what}{where} from {old[first]:.6g} to "
        f"{new[first]:.6g}: {_remedy(quantizer)}"
    )


def _remedy(quantizer: LearnedQuantizer) -> str:
    words = "lower the learning rate"
    if _is_step_itself(quantizer) and quantizer.rule.positivity is Positivity.REFUSE:
        words += ', or set positivity = "halve"'
        if quantizer.rule.method is not Method.PACT:
            words += ' or "logarithm"'
    return words
