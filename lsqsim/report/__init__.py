"""What the command line says, as plain data and as tables: both from the same dictionary."""

from lsqsim.report.budget import CSV_COLUMNS, budget_csv, budget_report
from lsqsim.report.budget_figure import draw_budget, require_drawable
from lsqsim.report.budget_tables import print_budget
from lsqsim.report.budget_words import budget_sentences
from lsqsim.report.certificate import certificate_lines, certificate_report, witness_lines
from lsqsim.report.certificate_tables import print_certificate
from lsqsim.report.content import (
    datapath_report,
    description_report,
    factor_report,
    layer_report,
    overflow_report,
    simulation_report,
)
from lsqsim.report.network import network_report
from lsqsim.report.network_tables import print_network
from lsqsim.report.tables import print_description, print_simulation
from lsqsim.report.words import unit_rows

__all__ = [
    "CSV_COLUMNS",
    "budget_csv",
    "budget_report",
    "budget_sentences",
    "certificate_lines",
    "certificate_report",
    "datapath_report",
    "description_report",
    "draw_budget",
    "factor_report",
    "layer_report",
    "network_report",
    "overflow_report",
    "print_budget",
    "print_certificate",
    "print_description",
    "print_network",
    "print_simulation",
    "require_drawable",
    "simulation_report",
    "unit_rows",
    "witness_lines",
]
