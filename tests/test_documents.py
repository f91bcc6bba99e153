"""Tests that README and docs are true: code runs, links lead somewhere, equations exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def anchors_of(path: Path) -> set[str]:
    """What links to a heading of this document may end in."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file) if file else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors_of(linked), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_are_there(path):
    """Paths in backticks, such as `tests/test_theorems.py`."""
    for name in re.findall(
        r"`((?:tests|docs|benchmarks|tools|lsqsim|kernels)/[\w./*]+)`", path.read_text()
    ):
        assert list(ROOT.glob(name)), name


def test_cited_equations_exist():
    """Every equation number that code or another document cites stands in quantization.md."""
    text = (ROOT / "docs" / "quantization.md").read_text()
    numbers = {int(n) for n in re.findall(r"\((\d+)\)$", text, re.MULTILINE)}
    assert numbers == set(range(1, 15))
    sources = [*(ROOT / "lsqsim").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    for source in sources:
        for cited in re.findall(r"equations? (\d+)(?: (?:to|and) (\d+))?", source.read_text()):
            assert {int(n) for n in cited if n} <= numbers, source


def test_readme_example_runs(capsys):
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - it is our own text
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "OverflowCounts(outputs=800, transient=409, persistent=335)",
        "within 9 LSB",
    ]
    assert lines[2] == "[input]"
