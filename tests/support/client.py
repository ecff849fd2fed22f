"""A person (or a program) with a session, talking to the JSON API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2

from tests.support.sse import Answer, SSEClient, read_answer

__all__ = ("Begun", "Person", "person")

COOKIE = "chat_session"


class Begun:
    """An answer that has begun, and its addresses."""

    def __init__(self, base: str, body: Mapping[str, Any]) -> None:
        self.chat_id: str = body["chat_id"]
        self.user_message_id: str = body["user_message_id"]
        self.message_id: str = body["message_id"]
        self.chat = f"/api/chats/{self.chat_id}"
        self.path = f"{self.chat}/messages/{self.message_id}"
        self.events = f"{base}{body['events_url']}"
        self.page = f"{base}/chats/{self.chat_id}"
        self.html = f"{self.page}/messages/{self.message_id}/stream"


class Person:
    """One session; every method raises for an unexpected status."""

    def __init__(self, base: str, http: httpx2.AsyncClient) -> None:
        self.base = base
        self.http = http

    @property
    def cookies(self) -> dict[str, str]:
        return {COOKIE: self.http.cookies[COOKIE]} if COOKIE in self.http.cookies else {}

    async def begin(self, prompt: str, *, chat_id: str | None = None, key: str | None = None) -> Begun:
        """Ask a question in a new chat, or in `chat_id`."""
        headers = {"Idempotency-Key": key} if key else {}
        path = f"/api/chats/{chat_id}/messages" if chat_id else "/api/chats"
        response = await self.http.post(path, json={"prompt": prompt}, headers=headers)
        assert response.status_code == 201, response.text
        return Begun(self.base, response.json())

    async def message(self, begun: Begun) -> dict[str, Any]:
        """Return the answer's Message."""
        response = await self.http.get(begun.path)
        assert response.status_code == 200, response.text
        message: dict[str, Any] = response.json()
        return message

    async def follow(self, begun: Begun, *, cuts: Sequence[int] = (), **options: Any) -> Answer:
        """Read the answer to its end, hanging up after each of `cuts` bytes."""
        return await read_answer(begun.events, cookies=self.cookies, cuts=cuts, **options)

    def stream(
        self, url: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> AbstractAsyncContextManager[SSEClient]:
        """Open one stream."""
        return SSEClient.open(url, headers, self.cookies, **options)

    async def stop(self, begun: Begun) -> dict[str, Any]:
        """Stop the answer and return its Message."""
        response = await self.http.post(f"{begun.path}/stop")
        assert response.status_code == 200, response.text
        message: dict[str, Any] = response.json()
        return message


@asynccontextmanager
async def person(base: str) -> AsyncIterator[Person]:
    """A new session with the server at `base`."""
    async with httpx2.AsyncClient(base_url=base, timeout=20) as http:
        yield Person(base, http)
