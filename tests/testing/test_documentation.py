"""The examples of docs/testing-your-hardware.md run, C compiler included."""

import doctest
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing-your-hardware.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="the page compiles a C library with cc")
def test_every_session_shows_what_the_page_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (source,), (build,) = blocks("c"), blocks("sh")
    Path("rescale.c").write_text(source)
    subprocess.run(build.split(), check=True, timeout=60)
    text = "".join(blocks("pycon"))
    session = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    assert len(session.examples) > 15
    report = io.StringIO()
    doctest.DocTestRunner(verbose=False).run(session, out=report.write)
    assert not report.getvalue(), report.getvalue()
