"""What the command line says, as plain data and as tables: both from the same dictionary."""

from lsqsim.report.content import (
    datapath_report,
    description_report,
    factor_report,
    layer_report,
    overflow_report,
    simulation_report,
)
from lsqsim.report.tables import print_description, print_simulation
from lsqsim.report.words import unit_rows

__all__ = [
    "datapath_report",
    "description_report",
    "factor_report",
    "layer_report",
    "overflow_report",
    "print_description",
    "print_simulation",
    "simulation_report",
    "unit_rows",
]
