"""The page of a server, in a browser."""

from __future__ import annotations

from pathlib import Path

import browser
import pytest
from small_servers import TOKEN, picture

import metaray as mr

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason="there is no Chromium")
CARD = "#classes .card:nth-child({})"


def fill(page: browser.Page, card: int, name: str, files: list[Path]) -> None:
    page.write(f"{CARD.format(card)} input[type=text]", name)
    page.give(f"{CARD.format(card)} input[type=file]", files)


def test_a_task_is_made_asked_and_deleted(url: str, client: mr.Client, tmp_path: Path) -> None:
    files = []
    for seed in range(6):
        files.append(tmp_path / f"{seed}.png")
        files[-1].write_bytes(picture(seed))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with browser.opened(url, tmp_path / "profile") as page:
        page.write("#token", "another")
        page.click("#enter")
        page.wait_for("document.querySelector('#message').textContent.includes('send the token')")
        page.write("#token", TOKEN)
        page.click("#enter")
        page.wait_for("document.querySelector('#door').hidden")

        fill(page, 1, "a", files[:2])
        fill(page, 2, "<b>", files[2:3])
        page.write("#name", "mine")
        page.click("#register")
        page.wait_for("document.querySelector('#done').textContent.includes('mine has')")
        assert client.task("mine")["classes"] == {"<b>": 1, "a": 2}

        fill(page, 1, "c", files[3:4])
        page.click("#add")
        page.wait_for("document.querySelector('#done').textContent.includes('c (1)')")
        assert client.task("mine")["classes"] == {"<b>": 1, "a": 2, "c": 1}

        page.give("#ask input", [files[2], files[4], broken])
        page.wait_for("document.querySelectorAll('#answers .answer').length === 3")
        labels = "[...document.querySelectorAll('#answers .label')].map(one => one.textContent)"
        shown = page.value(labels)
        predicted = client.predict("mine", files[2:5:2])
        assert shown[:2] == [one["prediction"]["label"] for one in predicted]
        assert "is not an image" in shown[2]

        page.click("#tasks .card button:nth-of-type(2)")
        page.wait_for("document.querySelectorAll('#tasks .card').length === 0")
        assert client.tasks() == []
