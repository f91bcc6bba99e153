"""The demonstration: a real network's layers through quantizer, integer array and rescaler."""

from lsqsim.demo.designs import DESIGNS, Design
from lsqsim.demo.printing import print_demo
from lsqsim.demo.results import DemoResult, DesignRun, LayerRun
from lsqsim.demo.runs import Progress, run_demo
from lsqsim.demo.saving import save_demo

__all__ = [
    "DESIGNS",
    "DemoResult",
    "Design",
    "DesignRun",
    "LayerRun",
    "Progress",
    "print_demo",
    "run_demo",
    "save_demo",
]
