"""Tests for tools/seed_faults.py, on a toy of one function: which faults it finds and catches."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "seed_faults.py"

TOY = '''
def limited(x, high):
    """The lesser of both: 1 < 2."""
    if x < high:
        return x
    return high
'''
TEST = """
import toy

def test_limited():
    assert [toy.limited(x, 3) for x in (2, 3, 4)] == [2, 3, 3]
"""
# At the one value where it differs, both branches return the same.
SURVIVOR = "if x <= high:"
EQUIVALENT = (
    '[[equivalent]]\nfile = "toy.py"\nfunction = "limited"\nreason = "x is high"\nfaults = '
)


def seed(root, *arguments):
    command = [sys.executable, TOOL, "--root", root, "--only", "toy.py", "--jobs", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def toy(root, source=TOY, equivalent=None):
    (root / "toy.py").write_text(source)
    (root / "test_toy.py").write_text(TEST)
    if equivalent is not None:
        (root / "tools").mkdir()
        text = EQUIVALENT + json.dumps(equivalent)
        (root / "tools" / "equivalent_faults.toml").write_text(text)
    return root


@pytest.mark.slow
class TestRun:
    def test_one_survives_unless_it_is_listed(self, tmp_path):
        out = tmp_path / "out.json"
        result = seed(toy(tmp_path), "--json", out)
        assert result.returncode == 1, result.stderr
        assert "| all | 3 | 2 | 0 | 1 | 66.7 % | 66.7 % |" in result.stdout
        assert f"toy.py:4: limited: comparison\n  - if x < high:\n  + {SURVIVOR}" in result.stdout
        killed = {entry["after"]: entry["by"] for entry in json.loads(out.read_text())}
        assert killed == {
            SURVIVOR: "",
            "if x >= high:": "test_toy.py::test_limited",
            "removed: return x": "test_toy.py::test_limited",
        }

        again = seed(toy(tmp_path, equivalent=[SURVIVOR]))
        assert again.returncode == 0, again.stderr
        assert "| all | 3 | 2 | 1 | 0 | 66.7 % | 100.0 % |" in again.stdout
        assert "3 faults are known from before" in again.stderr

    def test_a_wrong_list_is_an_error(self, tmp_path):
        listed = [SURVIVOR, "if x >= high:", "if y < high:"]
        result = seed(toy(tmp_path, equivalent=listed))
        assert result.returncode == 1
        key = "toy.py::limited::if"
        catches = "listed as equivalent, but test_toy.py::test_limited catches it"
        assert f"{catches}: {key} x >= high:" in result.stdout
        assert f"listed as equivalent, but there is no such fault: {key} y < high:" in result.stdout

    def test_what_hangs_is_caught(self, tmp_path):
        source = "def limited(x, high):\n    while x > high:\n        x -= 1\n    return x\n"
        out = tmp_path / "out.json"
        seed(toy(tmp_path, source), "--json", out, "--match", "removed: x -= 1")
        (outcome,) = json.loads(out.read_text())
        assert outcome["killed"]
        assert "TooSlowError" in outcome["why"]


class TestFaults:
    """``--list`` prints what is changed, and how."""

    @staticmethod
    def found(tmp_path, source):
        lines = seed(toy(tmp_path, source), "--list").stdout.splitlines()
        return [line.split("  ->  ")[1] for line in lines]

    @pytest.mark.parametrize(
        ("statement", "expected"),
        [
            ("y = a << 1", ["y = a >> 1", "y = a << 2", "y = a << 0"]),
            ("y = a[1:]", ["y = a[:]", "y = a[2:]", "y = a[0:]"]),
            ("y = not a", ["y = a"]),
            ("y = a and b", ["y = a or b", "y = b", "y = a"]),
            ("y = max(a, b)", ["y = min(a, b)"]),
            ("y = f(a, b)", ["y = f(b, a)"]),
            ("y = True, 0.5", ["y = (0.5, True)", "y = (False, 0.5)", "y = (True, 1.5)",
                               "y = (True, 1.0)", "y = (True, 0.25)"]),
            ("a += b", ["removed: a += b", "a -= b"]),
            ("a = b", ["removed: a = b"]),
            ("y = np.int64(a)", ["y = np.int32(a)"]),
            ("y = [i for i in range(a)]", ["y = [i for i in range(0 + 1, a)]",
                                           "y = [i for i in range(0, a - 1)]"]),
            ("y = Rule.UP", ["y = Rule.DOWN"]),
            ("y = ONE", ["y = TWO"]),
        ],
    )  # fmt: skip
    def test_kinds(self, tmp_path, statement, expected):
        source = (
            "ONE = ''\nTWO = ''\nclass Rule(Enum):\n    UP = ''\n    DOWN = ''\n"
            f"def f(a, b):\n    {statement}\n"
        )
        assert self.found(tmp_path, source) == expected

    def test_left_out(self, tmp_path):
        source = '''
            """1 < 2"""
            import a, b
            Union = int | str
            _BLOCK_ROWS = 64
            @decorated(1)
            def f(x: Literal[1], y) -> Literal[1]:
                assert x < 1
                text = f"{x + 1}" if x else ""
                for a, b in zip(x, y, strict=True):
                    pass
        '''
        lines = [line.removeprefix(" " * 12) for line in source.splitlines()]
        assert self.found(tmp_path, "\n".join(lines)) == ["for a, b in zip(y, x, strict=True):"]

    def test_of_an_error_only_class_and_presence(self, tmp_path):
        source = (
            "from errors import DataError, SpecError\n"
            "def f(x):\n    raise SpecError(f'must be {x + 1}', x + 1)\n"
        )
        message = "(f'must be {x + 1}', x + 1)"
        assert self.found(tmp_path, source) == [
            f"removed: raise SpecError{message}", f"raise DataError{message}"
        ]  # fmt: skip
