from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from metaray.platform.report.page_writer import Plot, draw_images, score_bars
from metaray.platform.report.style import DARK, LIGHT, Theme, color_ramp, dark_colors, new_figure

pytestmark = pytest.mark.drawn


def svg_of(uri: str) -> str:
    return base64.b64decode(uri.partition(",")[2]).decode()


def plot(theme: Theme) -> Figure:
    figure = new_figure()
    axes = figure.subplots()
    axes.plot([0, 1], color=theme.main)
    ramp = color_ramp(theme)
    axes.pcolormesh([[0.0, 0.3], [0.6, 1.0]], cmap=ramp)
    axes.set(xlabel="step")
    return figure


def test_a_plot_is_drawn_once_for_its_file_and_for_light_and_dark_pages(tmp_path: Path) -> None:
    themes: list[Theme] = []

    def draw(theme: Theme) -> Figure:
        themes.append(theme)
        return plot(theme)

    (image,) = draw_images([Plot(name="p", title="P", caption="c", draw=draw)], tmp_path)
    assert themes == [LIGHT]
    assert (tmp_path / "p.png").is_file()
    assert image.light != image.dark


def test_the_dark_image_has_the_colors_that_a_dark_drawing_would_have(tmp_path: Path) -> None:
    (image,) = draw_images([Plot(name="p", title="P", caption="c", draw=plot)], tmp_path)
    colors = set(re.findall(r": (#[0-9a-f]{6})\b", svg_of(image.dark)))
    assert {DARK.paper, DARK.ink, DARK.grid, DARK.main, DARK.other} <= colors
    assert colors <= set(dark_colors().values())


def test_no_two_colors_of_the_light_theme_that_differ_in_the_dark_one_are_the_same() -> None:
    dark = dark_colors()
    for name, color in vars(LIGHT).items():
        if isinstance(color, str):
            assert dark[color] == getattr(DARK, name)
    assert [dark[color] for color in LIGHT.series] == list(DARK.series)


def test_a_plot_without_data_has_no_image_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"of an older page")
    nothing = Plot(name="p", title="P", caption="c", draw=lambda _: None)
    assert draw_images([nothing], tmp_path) == []
    assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize(
    ("is_error", "lengths", "text"),
    [(False, [50.0, 25.0], "50.00 %"), (True, [100.0, 50.0], "0.5")],
)
def test_bars_compare_accuracies_with_one_and_errors_with_the_largest(
    is_error: bool, lengths: list[float], text: str
) -> None:
    rows = [("method", 0.5, 0.01, "main"), ("untrained", 0.25, None, "other")]
    bars = score_bars(rows, is_error=is_error)
    assert [bar.length for bar in bars] == lengths
    assert bars[0].text == text
    assert bars[1].interval == ""
