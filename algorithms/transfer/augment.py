"""Augmentations out of ``torchvision.transforms.v2``, as functions of an image and a generator.

* ``simclr_transform``: Chen et al. 2020 (arXiv 2002.05709), appendix A; without blur up to 32
  pixels, as in appendix B.9.
* ``moco_transform``: v1, He et al. 2020 (arXiv 1911.05722), section 4; v2, Chen et al. 2020 (arXiv
  2003.04297), section 3.
* ``standard_transform``: shifted by up to an eighth over a black margin, and flipped (He et al.
  2016, section 4.2: 4 of 32 pixels).

Images of one channel are taken for characters: they have no colour to change, and are not
flipped, since the mirror image of a character is another one or none.

torchvision draws from torch's global generator. It is seeded from the given one for the time of a
call, and then put back, one call at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import torch
from torch import Tensor
from torchvision.transforms import v2

from metaray.algorithms.transfer.moco_config import MoCoConfig
from metaray.algorithms.transfer.objective import Transform
from metaray.algorithms.transfer.simclr_config import SimCLRConfig

_NO_BLUR_UP_TO = 32  # pixels
_global_generator = Lock()


def simclr_transform(input_shape: tuple[int, ...], config: SimCLRConfig) -> Transform:
    """Crop, flip, colour jitter, greying and blur of images ``[C, H, W]``."""
    s = config.jitter
    jitter = (0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s)
    steps = _crop(input_shape, config.smallest_crop)
    if s:
        steps.append(_sometimes(_jitter(input_shape, jitter), 0.8))
    return _Seeded([*steps, *_grey(input_shape), *_blur(input_shape)])


def moco_transform(input_shape: tuple[int, ...], config: MoCoConfig) -> Transform:
    """Crop, flip, colour jitter and greying of images ``[C, H, W]``; v2 also blurs."""
    steps = _crop(input_shape, config.smallest_crop)
    if config.version == "v1":
        steps += [*_grey(input_shape), _jitter(input_shape, (0.4, 0.4, 0.4, 0.4))]
    else:
        steps.append(_sometimes(_jitter(input_shape, (0.4, 0.4, 0.4, 0.1)), 0.8))
        steps += [*_grey(input_shape), *_blur(input_shape)]
    return _Seeded(steps)


def standard_transform(input_shape: tuple[int, ...]) -> Transform:
    """Shift and flip of images ``[C, H, W]``."""
    _, height, width = input_shape
    shift = v2.RandomCrop((height, width), padding=[width // 8, height // 8])
    return _Seeded([shift, *_flip(input_shape)])


class _Seeded:
    """Steps one after the other, by the numbers of a generator."""

    def __init__(self, steps: Sequence[v2.Transform]) -> None:
        self._steps = tuple(steps)

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        seed = int(torch.randint(2**62, (), generator=generator))
        with _global_generator:
            before = torch.default_generator.get_state()
            try:
                torch.default_generator.manual_seed(seed)  # of the CPU alone
                for step in self._steps:
                    image = step(image)
            finally:
                torch.default_generator.set_state(before)
        return image


def _is_grey(input_shape: tuple[int, ...]) -> bool:
    return input_shape[0] == 1


def _crop(input_shape: tuple[int, ...], smallest: float) -> list[v2.Transform]:
    crop = v2.RandomResizedCrop(input_shape[1:], scale=(smallest, 1.0), antialias=True)
    return [crop, *_flip(input_shape)]


def _flip(input_shape: tuple[int, ...]) -> list[v2.Transform]:
    return [] if _is_grey(input_shape) else [v2.RandomHorizontalFlip()]


def _jitter(
    input_shape: tuple[int, ...], amounts: tuple[float, float, float, float]
) -> v2.Transform:
    return v2.ColorJitter(*(amounts[:2] if _is_grey(input_shape) else amounts))


def _grey(input_shape: tuple[int, ...]) -> list[v2.Transform]:
    return [] if _is_grey(input_shape) else [v2.RandomGrayscale(0.2)]


def _blur(input_shape: tuple[int, ...]) -> list[v2.Transform]:
    size = max(input_shape[1:])
    if size <= _NO_BLUR_UP_TO:
        return []
    kernel = size // 10 | 1  # a tenth of the image, odd
    return [_sometimes(v2.GaussianBlur(max(3, kernel), (0.1, 2.0)), 0.5)]


def _sometimes(step: v2.Transform, probability: float) -> v2.Transform:
    return v2.RandomApply([step], probability)
