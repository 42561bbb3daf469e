"""What keeps the service to who may use it: token, rate, size, host."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Any

from fastapi import HTTPException, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 1_000_000  # of a request
WRITES_PER_MINUTE = 60


class Guard:
    """Asked before every write: the token must be right, and writes must not come too fast."""

    def __init__(self, token: str, per_minute: int = WRITES_PER_MINUTE) -> None:
        self._token, self._per_minute = token, per_minute
        self._times: list[float] = []
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> None:
        """Raise 401 or 429, or let it pass."""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        given = given if kind.lower() == "bearer" else request.headers.get("x-token", "")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            raise HTTPException(401, "writes need the token: Authorization: Bearer TOKEN")
        now = time.monotonic()
        with self._lock:
            self._times = [t for t in self._times if now - t < 60]
            if len(self._times) >= self._per_minute:
                raise HTTPException(429, f"more than {self._per_minute} writes a minute")
            self._times.append(now)


class SmallBodies:
    """Refuses requests of more than :data:`MOST_BYTES`, whatever their headers say."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body before it is used, no more of it than is allowed."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message: Message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MOST_BYTES:
                answer: Any = JSONResponse({"detail": f"more than {MOST_BYTES} bytes"}, 413)
                await answer(scope, receive, send)
                return
        sent = False

        async def once() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, once, send)
