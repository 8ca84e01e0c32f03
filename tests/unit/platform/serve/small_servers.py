"""A learner, pictures and limits for servers of tests."""

from __future__ import annotations

import io

import numpy as np
from fixtures import SMALL
from PIL import Image

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.platform.inference.learner import Learner, LearnerSpec
from metaray.platform.serve.limits import ServeLimits

TOKEN = "a token of tests"
LIMITS = ServeLimits(max_request_mb=1, max_pictures=6, max_classes=4, max_support=8, max_tasks=3)


def learner_of(name: str, seed: int = 0) -> Learner:
    spec = LearnerSpec(
        title="a test",
        model=ModelConfig(name="conv4_strided", width=4),
        method=SMALL[name],
        num_outputs=3,
        preprocessing=Preprocessing(
            height=16, width=16, stored_channels=1, channels=1, inverted=True
        ),
        calibration=None,
        origin={"params_sha256": f"{name}{seed}"},
    )
    return Learner(spec, spec.build().init(seed))


def picture(seed: int, size: int = 20) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
