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


def equations_of(name: str) -> list[int]:
    """Numbers at the end of an indented line, as they come."""
    text = (ROOT / "docs" / name).read_text()
    return [int(n) for n in re.findall(r"^ {4}.*\((\d+)\)$", text, re.MULTILINE)]


WITH_EQUATIONS = ("quantization.md", "overflow.md", "gradients.md")
EQUATIONS = [n for name in WITH_EQUATIONS for n in equations_of(name)]


def test_equations_are_numbered_in_one_row():
    """overflow.md goes on where quantization.md ends, and gradients.md where that ends."""
    assert list(range(1, len(EQUATIONS) + 1)) == EQUATIONS
    assert [equations_of(name)[0] for name in WITH_EQUATIONS] == [1, 15, 26]


def test_cited_equations_exist():
    """Every equation number that code or a document cites stands in one of them."""
    for source in [*(ROOT / "lsqsim").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]:
        for cited in re.findall(r"equations? (\d+)(?: (?:to|and) (\d+))?", source.read_text()):
            assert {int(n) for n in cited if n} <= set(EQUATIONS), source
    for name in WITH_EQUATIONS:
        cited = re.findall(r"\((\d+)\)", (ROOT / "docs" / name).read_text())
        assert {int(n) for n in cited} <= set(EQUATIONS), name


def test_readme_example_runs(capsys):
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - it is our own text
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "OverflowCounts(outputs=800, transient=409, persistent=335)",
        "within 9 LSB",
    ]
    assert lines[2] == "[input]"


def test_overflow_example_runs(capsys):
    """Its code, and the output that stands behind it."""
    text = (ROOT / "docs" / "overflow.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [expected] = re.findall(r"It prints\n\n```text\n(.*?)```", text, re.DOTALL)
    exec(compile(code, "overflow.md", "exec"), {})  # noqa: S102 - it is our own text
    assert capsys.readouterr().out == expected
