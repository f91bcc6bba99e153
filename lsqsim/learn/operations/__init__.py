"""The engine's operations: forward and backward passes, node by node."""

from lsqsim.learn.operations.building import build_operation as build_operation
from lsqsim.learn.operations.operation import Operation as Operation
