"""The command ``check-certificate``: a certificate against a layer file, by independent code."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from lsqsim.certificate_audit import check_certificate
from lsqsim.commands.loading import check_parameters, compile_integers
from lsqsim.commands.terminal import progress
from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.files import load_json
from lsqsim.layer_file import load_layer
from lsqsim.report import certificate_lines
from lsqsim.specs import DatapathSpec
from lsqsim.specs.toml import from_table


def check_certificate_file(certificate: Path, layer: Path) -> None:
    """Print that all of a certificate holds for a layer; DataError names what does not."""
    with progress() as tell, np.errstate(all="ignore"):
        table = load_json(certificate)
        loaded = load_layer(layer)
        spec = _datapath(certificate, table)
        check_parameters(loaded, spec)
        compiled = compile_integers(loaded, spec)
        tell("checking")
        try:
            check_certificate(table, compiled, progress=tell.rows)
        except LsqsimError as error:
            raise DataError(f"{certificate}: {error}") from None
    for line in certificate_lines(table, loaded.name):
        sys.stdout.write(f"{line}\n")


def _datapath(certificate: Path, table: dict[str, Any]) -> DatapathSpec:
    if "datapath" not in table:
        raise DataError(f"{certificate}: is no overflow certificate: it lacks the key 'datapath'")
    try:
        return from_table(DatapathSpec, table["datapath"])
    except SpecError as error:
        raise DataError(f"{certificate}: datapath: {error}") from None
