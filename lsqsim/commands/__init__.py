"""What the commands do, once their arguments are parsed."""

from lsqsim.commands.budgeting import Budgeting, budget
from lsqsim.commands.certificate_check import check_certificate_file
from lsqsim.commands.certification import Certification, certify
from lsqsim.commands.demonstration import demonstrate
from lsqsim.commands.description import describe, print_toml
from lsqsim.commands.network import NetworkFiles
from lsqsim.commands.simulation import Simulation, simulate
from lsqsim.commands.training import train
from lsqsim.commands.training_arguments import Training
from lsqsim.widths import Widths

__all__ = [
    "Budgeting",
    "Certification",
    "NetworkFiles",
    "Simulation",
    "Training",
    "Widths",
    "budget",
    "certify",
    "check_certificate_file",
    "demonstrate",
    "describe",
    "print_toml",
    "simulate",
    "train",
]
