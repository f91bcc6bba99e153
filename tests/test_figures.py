"""Tests of the figures of docs/overflow.md, and of the tool that draws them."""

from pathlib import Path

import matplotlib as mpl
import pytest

from tools import draw_figures

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_draws_every_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["draw_figures", str(tmp_path)])
    draw_figures.main()
    shown = capsys.readouterr().out.split()
    assert [Path(path).stem for path in shown] == list(draw_figures.FIGURES)
    for path in shown:
        assert Path(path).read_text().endswith("</svg>\n")


def test_same_data_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(draw_figures, "FIGURES", {"walk": draw_figures.register_walk})
    [first], [second] = (draw_figures.draw(tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert "dc:date" not in first.read_text()


def test_drawing_leaves_no_style_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(draw_figures, "FIGURES", {})
    before = dict(mpl.rcParams)
    assert draw_figures.draw(tmp_path) == []
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", draw_figures.FIGURES)
def test_the_document_shows_it(name):
    assert (draw_figures.FOLDER / f"{name}.svg").exists()
    text = (ROOT / "docs" / "overflow.md").read_text()
    assert f"](figures/{name}.svg)" in text
    assert "python -m tools.draw_figures" in text
