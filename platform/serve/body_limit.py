"""Requests that are too large are refused while they arrive, not after."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _TooLargeError(Exception):
    pass


class BodyLimit:
    """ASGI middleware: answers 413 where the body of a request has more than ``most_bytes``."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count what arrives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and int(said) > self._most:
            await self._refuse(scope, receive, send)
            return
        seen, begun = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            if seen <= self._most or begun:
                begun = True
                await send(message)

        with suppress(_TooLargeError):
            await self._app(scope, counted, noted)
        if seen > self._most and not begun:  # in the place of what the application said
            await self._refuse(scope, receive, send)

    async def _refuse(self, *call: Any) -> None:
        sentence = (
            f"the request has more than the {self._most // 2**20} MB that it may have: send fewer "
            "or smaller pictures"
        )
        await JSONResponse({"detail": sentence}, 413)(*call)
