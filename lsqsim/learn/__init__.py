"""The gradient engine: the patent's computing node, which learns every step size."""
