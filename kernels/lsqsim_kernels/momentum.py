"""Gradient descent with momentum: float32 arrays of one axis, changed in place."""

from lsqsim_kernels._jit import kernel


@kernel
def descend(value, velocity, grad, rate, momentum, decay):
    """velocity = momentum * velocity + (grad + decay * value); value -= rate * velocity.

    All float32: arrays of one length, and three numbers.
    """
    for i in range(value.size):
        v = momentum * velocity[i] + (grad[i] + decay * value[i])
        velocity[i] = v
        value[i] -= rate * v
