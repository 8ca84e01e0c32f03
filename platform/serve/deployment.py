"""The server as an application of Ray Serve."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metaray.algorithms.errors import InputError
from metaray.platform.inference.saved import load_saved
from metaray.platform.serve.app import Answer, build_app
from metaray.platform.serve.errors import Refused
from metaray.platform.serve.limits import ServeLimits
from metaray.platform.serve.loopback_replica import listen_at_node_alone
from metaray.platform.serve.service import Service

_BATCH = 64  # pictures of all clients that are predicted together
_WAIT_S = 0.005  # for others to join a batch

Asked = tuple[str, Tensor]
"""a task, and an input ``[C, H, W]``"""


def application(
    model: Path, state: Path, limits: ServeLimits, token: str | None, replicas: int
) -> Any:
    """What ``serve.run`` takes.

    Args:
        model: folder of a saved model, which all replicas can read.
        state: folder of the tasks, which all replicas share.
        limits: of requests.
        token: that requests must have; None: none.
        replicas: processes that answer.
    """
    from ray import serve

    def build() -> Any:
        return build_replica(model, state, limits, token)

    deployment: Any = serve.deployment(
        serve.ingress(build)(),
        name="metaray",
        num_replicas=replicas,
        max_ongoing_requests=64,
        max_queued_requests=limits.max_waiting,
        ray_actor_options={"num_cpus": 1},
    )
    return deployment.bind()


def build_replica(model: Path, state: Path, limits: ServeLimits, token: str | None) -> Any:
    """The application of one replica."""
    from ray import serve

    listen_at_node_alone()
    learner = load_saved(model)
    service = Service(learner, state, limits)  # type: ignore[arg-type]

    @serve.batch(max_batch_size=_BATCH, batch_wait_timeout_s=_WAIT_S)
    async def together(asked: Sequence[Asked]) -> list[Answer | Exception]:
        return await asyncio.to_thread(answers, service, asked)

    async def predict(name: str, x: Tensor) -> Answer:
        found = await together((name, x))
        if isinstance(found, Exception):
            raise found
        return found

    return build_app(service, predict, token)


def answers(service: Service, asked: Sequence[Asked]) -> list[Answer | Exception]:
    """One for each input, in order; those of one task are predicted together."""
    found: list[Answer | Exception | None] = [None] * len(asked)
    for name in dict.fromkeys(name for name, _ in asked):
        places = [place for place, (of, _) in enumerate(asked) if of == name]
        for place, answer in zip(
            places, _of_task(service, name, [asked[p][1] for p in places]), strict=True
        ):
            found[place] = answer
    return [one for one in found if one is not None]


def _of_task(service: Service, name: str, inputs: Sequence[Tensor]) -> list[Answer | Exception]:
    try:
        classes, predicted = service.predict(name, torch.stack(list(inputs)))
    except (Refused, InputError) as error:
        return [error] * len(inputs)
    except Exception as error:  # the tasks of others in this batch have nothing to do with it
        said = f"the server cannot predict ({type(error).__name__}: {error}): see its log"
        return [Refused(500, said)] * len(inputs)
    return [
        Answer(
            label=classes[int(p.argmax())],
            probability=float(p.max()),
            probabilities=dict(zip(classes, map(float, p), strict=True)),
            rejected=bool(refused),
        )
        for p, refused in zip(predicted.probabilities, predicted.refused, strict=True)
    ]
