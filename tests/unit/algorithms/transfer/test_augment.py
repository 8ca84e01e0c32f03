"""Augmentations: functions of image and generator, in colour and in grey."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from metaray.algorithms.transfer.augment import (
    moco_transform,
    simclr_transform,
    standard_transform,
)
from metaray.algorithms.transfer.moco_config import MoCoConfig
from metaray.algorithms.transfer.objective import Transform
from metaray.algorithms.transfer.simclr_config import SimCLRConfig

Shape = tuple[int, int, int]
MAKERS: dict[str, Callable[[Shape], Transform]] = {
    "simclr": lambda shape: simclr_transform(shape, SimCLRConfig()),
    "moco v1": lambda shape: moco_transform(shape, MoCoConfig(version="v1")),
    "moco v2": lambda shape: moco_transform(shape, MoCoConfig(version="v2")),
    "standard": standard_transform,
}
SHAPES = [(3, 32, 32), (1, 28, 28), (3, 84, 84), (1, 40, 40)]


def image(shape: Shape, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def draw(transform: Transform, x: Tensor, seed: int) -> Tensor:
    return transform(x, torch.Generator().manual_seed(seed))


def steps_of(transform: Transform) -> list[str]:
    found = []
    for step in transform._steps:  # type: ignore[attr-defined]
        inner = step.transforms[0] if isinstance(step, v2.RandomApply) else step
        found.append(type(inner).__name__)
    return found


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_view_is_a_image_and_a_function_of_the_generator(name: str, shape: Shape) -> None:
    transform, x = MAKERS[name](shape), image(shape)
    before = x.clone()
    views = [draw(transform, x, seed) for seed in range(8)]
    assert torch.equal(x, before)
    for view in views:
        assert view.shape == shape
        assert view.dtype == torch.float32
        assert 0 <= view.min() <= view.max() <= 1
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(5)  # the global generator has no effect
        assert all(torch.equal(draw(transform, x, seed), v) for seed, v in enumerate(views))
    assert not any(torch.equal(views[0], v) for v in views[1:4])


@pytest.mark.parametrize("name", MAKERS)
def test_the_global_generator_is_put_back(name: str) -> None:
    before = torch.get_rng_state()
    draw(MAKERS[name]((3, 32, 32)), image((3, 32, 32)), 0)
    assert torch.equal(before, torch.get_rng_state())


def test_it_is_put_back_after_an_error() -> None:
    transform, before = standard_transform((3, 64, 64)), torch.get_rng_state()
    with pytest.raises(ValueError, match="Required crop size"):
        draw(transform, image((3, 8, 8)), 0)
    assert torch.equal(before, torch.get_rng_state())


def test_a_generator_goes_on_from_image_to_image() -> None:
    transform, x = MAKERS["simclr"]((3, 32, 32)), image((3, 32, 32))
    generator = torch.Generator().manual_seed(0)
    assert not torch.equal(transform(x, generator), transform(x, generator))


@pytest.mark.parametrize("name", MAKERS)
def test_grey_images_are_not_mirrored_and_have_no_colour(name: str) -> None:
    steps = steps_of(MAKERS[name]((1, 28, 28)))
    assert "RandomHorizontalFlip" not in steps
    assert "RandomGrayscale" not in steps
    assert "RandomHorizontalFlip" in steps_of(MAKERS[name]((3, 28, 28)))


@pytest.mark.parametrize(
    ("name", "blurs"), [("simclr", True), ("moco v1", False), ("moco v2", True)]
)
def test_small_images_are_not_blurred(name: str, blurs: bool) -> None:
    assert "GaussianBlur" not in steps_of(MAKERS[name]((3, 32, 32)))
    assert ("GaussianBlur" in steps_of(MAKERS[name]((3, 84, 84)))) == blurs


def test_shares_of_images_that_are_flipped_greyed_and_shifted() -> None:
    shape = (3, 16, 16)
    config = SimCLRConfig(jitter=0, smallest_crop=1.0)
    left_is_bright = torch.zeros(shape)
    left_is_bright[0, :, :8] = 1.0  # and red
    views = [draw(simclr_transform(shape, config), left_is_bright, s) for s in range(400)]
    flipped = sum(bool(v[:, :, 8:].sum() > v[:, :, :8].sum()) for v in views) / 400
    grey = sum(bool(torch.equal(v[0], v[1])) for v in views) / 400
    assert flipped == pytest.approx(0.5, abs=0.08)
    assert grey == pytest.approx(0.2, abs=0.06)
    dot = torch.zeros(1, 16, 16)
    dot[0, 8, 8] = 1.0
    places = {
        tuple(torch.nonzero(draw(standard_transform((1, 16, 16)), dot, s)[0])[0].tolist())
        for s in range(300)
    }
    assert places == {(r, c) for r in range(6, 11) for c in range(6, 11)}  # an eighth either way
