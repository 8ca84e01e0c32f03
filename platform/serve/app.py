"""The HTTP API of a served model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Path, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from torch import Tensor

import metaray
from metaray.algorithms.errors import InputError
from metaray.platform.serve.body_limit import BodyLimit
from metaray.platform.serve.errors import Refused
from metaray.platform.serve.service import Service, Upload
from metaray.platform.serve.task_store import Task
from metaray.platform.serve.token_check import TokenCheck

Predict = Callable[[str, Tensor], Awaitable["Answer"]]
"""what is predicted for one input ``[C, H, W]``, by the name of the task"""

_BEARER = HTTPBearer(auto_error=False)
Name = Annotated[str, Path(description="Name of a task.", examples=["letters"])]
Pictures = Annotated[
    list[UploadFile], Form(description="Image files, the field once for each: JPEG, PNG and so on.")
]
Labels = Annotated[
    list[str], Form(description="The class of each picture, the field once for each.")
]


class Sentence(BaseModel):
    """Why a request was refused, and what to do."""

    detail: str = Field(examples=["there is no task letters: register it first, or list the tasks"])


class TaskInfo(BaseModel):
    """A registered task."""

    name: str = Field(examples=["letters"])
    classes: dict[str, int] = Field(
        description="Support pictures of each class.", examples=[{"a": 3, "b": 2}]
    )
    version: str = Field(description="Changes with the support pictures.")
    notes: list[str] = Field(description="What should be known of its rejections.")

    @classmethod
    def of(cls, task: Task, service: Service) -> TaskInfo:
        """For the answer of a request."""
        notes = service.notes(task)
        return cls(name=task.name, classes=task.counts, version=task.version, notes=notes)


class Answer(BaseModel):
    """What is predicted for a picture."""

    label: str | None = Field(description="The class; null where it was rejected.", examples=["a"])
    probability: float = Field(description="Of the most probable class.", examples=[0.93])
    probabilities: dict[str, float] = Field(examples=[{"a": 0.93, "b": 0.07}])
    rejected: bool = Field(description="Whether it is of none of the classes.")


class PictureAnswer(BaseModel):
    """What is predicted for a picture of a request, or why it cannot be read."""

    file: str = Field(examples=["scan.png"])
    prediction: Answer | None
    error: str | None = Field(description="Why it cannot be read.")


class Predictions(BaseModel):
    """One for each picture, in their order."""

    task: str
    predictions: list[PictureAnswer]


class Model(BaseModel):
    """What is served."""

    title: str
    metaray: str = Field(description="Version.")
    ways: int | None = Field(description="Classes that a task must have; null: any from 2 on.")
    rejects: bool = Field(description="Whether pictures of no class can be rejected.")


_STATUS = {
    401: "The token is missing or wrong.",
    404: "There is no such task.",
    409: "There is a task of this name, or as many as may be.",
    413: "The request, the task, or a picture is too large.",
    422: "The request does not make sense; a picture cannot be read.",
}


def _errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Sentence, "description": _STATUS[code]} for code in (401, *codes)}


def build_app(service: Service, predict: Predict, token: str | None) -> FastAPI:
    """The application.

    Args:
        service: tasks and the learner.
        predict: answers for one picture; requests of several clients may be joined there.
        token: that each request must have; None: none.
    """
    app = FastAPI(
        title="metaray",
        version=metaray.__version__,
        description=f"{service.learner.spec.title}: register the classes of a task with a few "
        "pictures of each, then ask about others.",
    )
    app.add_middleware(BodyLimit, most_bytes=service.limits.max_request_mb * 2**20)
    app.add_middleware(TokenCheck, token=token)  # the last that is added is the first that is asked

    @app.exception_handler(Refused)
    async def refuse(request: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"detail": error.sentence}, error.status)

    @app.exception_handler(InputError)
    async def refuse_input(request: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    async def refuse_request(request: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()[0]
        place = ".".join(str(part) for part in found["loc"])
        return JSONResponse({"detail": f"{place}: {found['msg']}: see /docs"}, 422)

    protected = [Depends(_BEARER)]  # for the description; ``TokenCheck`` has asked

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return files(__package__ or "").joinpath("page.html").read_text(encoding="utf-8")

    @app.get("/healthz", tags=["state"], summary="Whether the process lives")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["state"], summary="Whether requests can be answered")
    async def ready() -> dict[str, str]:
        service.store.names()
        return {"status": "ready"}

    @app.get("/model", tags=["state"], summary="What is served", dependencies=protected,
             responses=_errors())  # fmt: skip
    async def model() -> Model:
        spec = service.learner.spec
        rejects = spec.calibration is not None and spec.calibration.refusal is not None
        return Model(title=spec.title, metaray=metaray.__version__, ways=spec.ways, rejects=rejects)

    @app.get("/tasks", tags=["tasks"], summary="All tasks", dependencies=protected,
             responses=_errors())  # fmt: skip
    async def tasks() -> list[str]:
        return service.store.names()

    @app.post("/tasks", tags=["tasks"], summary="Register a task", status_code=201,
              dependencies=protected, responses=_errors(409, 413, 422))  # fmt: skip
    async def register(
        pictures: Pictures,
        labels: Labels,
        name: Annotated[
            str | None, Form(description="Name of the task; made up where it is left out.")
        ] = None,
    ) -> TaskInfo:
        uploads = await _uploads(pictures)
        made = await asyncio.to_thread(service.register, name, uploads, labels)
        return TaskInfo.of(made, service)

    @app.get("/tasks/{name}", tags=["tasks"], summary="A task", dependencies=protected,
             responses=_errors(404))  # fmt: skip
    async def task(name: Name) -> TaskInfo:
        found = await asyncio.to_thread(service.store.read, name)
        return TaskInfo.of(found, service)

    @app.post("/tasks/{name}/pictures", tags=["tasks"], summary="Add support pictures",
              dependencies=protected, responses=_errors(404, 413, 422))  # fmt: skip
    async def add(name: Name, pictures: Pictures, labels: Labels) -> TaskInfo:
        uploads = await _uploads(pictures)
        grown = await asyncio.to_thread(service.add, name, uploads, labels)
        return TaskInfo.of(grown, service)

    @app.delete("/tasks/{name}", tags=["tasks"], summary="Delete a task", status_code=204,
                dependencies=protected, responses=_errors(404))  # fmt: skip
    async def delete(name: Name) -> None:
        await asyncio.to_thread(service.store.delete, name)

    @app.post("/tasks/{name}/predict", tags=["predictions"], summary="Classify pictures",
              dependencies=protected, responses=_errors(404, 413, 422))  # fmt: skip
    async def classify(
        name: Name,
        pictures: Pictures,
        reject: Annotated[
            bool, Query(description="Reject pictures that are of none of the classes.")
        ] = False,
    ) -> Predictions:
        if reject:
            (await asyncio.to_thread(service.model, name)).check_refusal()
        service.store.mark(name)
        uploads = await _uploads(pictures)
        inputs = await asyncio.to_thread(service.inputs, uploads)
        answers = await asyncio.gather(*(_answer(predict, name, x) for x in inputs))
        rows = [
            PictureAnswer(
                file=file,
                prediction=_decided(answer, reject),
                error=x if isinstance(x, str) else None,
            )
            for (file, _), x, answer in zip(uploads, inputs, answers, strict=True)
        ]
        return Predictions(task=name, predictions=rows)

    return app


async def _answer(predict: Predict, name: str, x: Tensor | str) -> Answer | None:
    return None if isinstance(x, str) else await predict(name, x)


def _decided(answer: Answer | None, reject: bool) -> Answer | None:
    """Without a label where it was rejected; nothing is rejected unless it was asked for."""
    if answer is None or not reject:
        return None if answer is None else answer.model_copy(update={"rejected": False})
    return answer.model_copy(update={"label": None}) if answer.rejected else answer


async def _uploads(pictures: Sequence[UploadFile]) -> list[Upload]:
    return [(one.filename or "a picture", await one.read()) for one in pictures]
