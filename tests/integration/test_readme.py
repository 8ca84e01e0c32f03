"""The README, command by command in its order, with small budgets, on such data as people have.

Commands of a cluster are not run here: ``test_jobs.py`` does them in their order.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import documented  # type: ignore[import-not-found]
import numpy as np
import pytest
from conftest import Command  # type: ignore[attr-defined]
from PIL import Image

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

README = documented.PAGES[0]
ELSEWHERE = {"cluster", "submit", "jobs", "watch", "logs", "stop", "fetch", "scale"}
TRAIN = [
    "train.outer_steps=2", "train.meta_batch_size=2", "train.shard_size=2",
    "train.validate_every=2", "train.validate_episodes=2", "train.checkpoint_every=1",
    "train.schedule=constant", "model.width=4", "evaluate.num_episodes=2", "workers.count=0",
]  # fmt: skip
TRANSFER = ["train.steps=2", "model.width=4", "workers.count=0", "train.batch_size=16"]
BUDGETS = {
    "train": TRAIN,
    "compare": TRAIN[1:],
    "sweep": TRAIN,
    "transfer": TRANSFER,
    "evaluate": ["evaluate.num_episodes=4", "workers.count=0"],
    "fit": [*(one for one in TRAIN if "schedule" not in one), "data.image_size=28"],
}
FEW_GLYPHS = ["data.num_classes=200", "data.image_size=16"]
"""where a command leaves the data open: drawing the default ones takes a quarter of a minute"""
FEWER = {"maml,protonet,baseline": "maml,baseline"}
SMALLER = {"--steps": "2", "--seeds": "1", "--time": "2", "--num-trials": "1"}


def blocks() -> list[documented.Block]:
    """Those whose commands this file runs."""
    return [
        block
        for block in documented.blocks(README)
        if block.language == "sh"
        and not {words[0] for words in documented.commands(block)} & ELSEWHERE
        and not re.search(r"s3://|--address|make train", block.text)
    ]


def with_budget(words: list[str], cache: str) -> list[str]:
    """The command with the budget of a test; ``cache`` is for the processes of the shared Ray."""
    words = [FEWER.get(word, word) for word in words]
    smaller = {} if words[0] == "fit" else SMALLER  # which ends after its steps
    words = [smaller.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    if "--resume" in words:
        return [word.replace("outer_steps=20000", "outer_steps=3") for word in words]
    if words[0] == "compare":
        words += ["--shots", "1", "--ways", "5", "--curve-episodes", "2"]
        words += [] if "--seeds" in words else ["--seeds", "1"]
    budget = BUDGETS.get(words[0], [])
    if words[0] in ("compare", "sweep"):
        budget = [*budget, f"data.cache={cache}"]
    if words[:2] == ["data", "show"]:
        budget = FEW_GLYPHS
    if words[0] == "evaluate" and "data.name=glyphs" in words:  # of the run's image size
        budget = [*budget, FEW_GLYPHS[0]]
    if words[0] in ("train", "compare", "sweep") and not any(
        word.endswith(".toml") or word.startswith("data.") for word in words
    ):
        budget = [*budget, *FEW_GLYPHS]
    return words + [part for item in budget for part in ("--set", item)]


def draw(path: Path, seed: int, size: int, mode: str) -> None:
    """Patches that stay apart when the image is made smaller."""
    patches = np.random.default_rng(seed).integers(0, 256, (15, 15, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(patches).resize((size, size), Image.Resampling.NEAREST).convert(mode).save(path)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who follows the README.

    Photographs in a zip, a folder for each of 12 classes; a small Omniglot in its published
    layout, which has too few characters for the published split and is divided at random.
    """
    desk = tmp_path_factory.mktemp("desk")
    for number in range(12):
        for image in range(20):
            draw(
                desk / "photos" / f"class {number}" / f"IMG_{image}.jpg",
                20 * number + image,
                40,
                "RGB",
            )
    for number, folder in enumerate(("few/cup", "few/key", "new")):
        draw(desk / folder / "IMG.jpg", 900 + number, 40, "RGB")
    with zipfile.ZipFile(desk / "photos.zip", "w") as archive:
        for file in sorted((desk / "photos").rglob("*.jpg")):
            archive.write(file, file.relative_to(desk))
    for number in range(96):
        part = "images_background" if number < 48 else "images_evaluation"
        folder = desk / "path" / "to" / "omniglot" / part / f"Script_{number // 8}"
        for drawing in range(1, 21):
            file = folder / f"character{number % 8 + 1:02d}" / f"{number:04d}_{drawing:02d}.png"
            draw(file, 1000 + 20 * number + drawing, 105, "1")
    for block in documented.blocks(README):
        for name, text in documented.files_in(block).items():
            (desk / name).write_text(text.replace('split = "vinyals"', 'split = "random"'))
    for name, method in (("a.toml", "maml"), ("b.toml", "anil")):
        (desk / name).write_text("\n".join([f'method.name = "{method}"', *FEW_GLYPHS]))
    return desk


@pytest.fixture(scope="module", autouse=True)
def own_cache(cache: Path) -> Iterator[str]:
    """The small Omniglot is none for other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METARAY_CACHE", str(cache / "readme"))
        yield str(cache / "readme")


@pytest.mark.parametrize("block", blocks(), ids=lambda block: f"line{block.line}")
def test_commands_of_the_readme(
    block: documented.Block, desk: Path, here: Command, own_cache: str, tmp_path: Path
) -> None:
    """Blocks follow one another: later ones use the runs of earlier ones."""
    tmp_path.rmdir()
    tmp_path.symlink_to(desk)  # ``here`` runs commands in this folder
    for words in documented.commands(block):
        done = here(*with_budget(words, own_cache))
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr}"


def test_blocks_are_found() -> None:
    first = [words[0] for block in blocks() for words in documented.commands(block)]
    assert {
        "train",
        "evaluate",
        "compare",
        "sweep",
        "data",
        "transfer",
        "settings",
        "fit",
        "predict",
        "export",
    } <= set(first)
