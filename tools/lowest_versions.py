"""Print pip constraints that pin every dependency to its lower bound in pyproject.toml.

The extra ``dev`` is left out: linters check sources, and need no old versions.
"""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(requirement: Requirement) -> str:
    """``numba==0.62`` for ``numba>=0.62``."""
    (bound,) = requirement.specifier
    return f"{requirement.name}=={bound.version}"


def main() -> None:
    """Print one constraint a dependency."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    del extras["dev"]
    lists = [project["dependencies"], *extras.values()]
    for text in sorted(text for texts in lists for text in texts):
        print(lowest(Requirement(text)))


if __name__ == "__main__":
    main()
