"""Somebody who follows one answer across everything, coming back by the last id each time."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tests.support.sse import SSEClient, SSEEvent

__all__ = ("Viewer", "order")

#: Seconds of silence after which a connection counts as dead: the page's own watchdog waits 30.
SILENCE = 30.0
#: Seconds between two attempts: shorter than the page's, so that a run meets more moments.
PAUSE = 0.1


def order(event_id: str) -> tuple[int, int]:
    fence, _, seq = event_id.partition("-")
    return int(fence), int(seq)


class Viewer:
    """One reader of an answer's JSON events; `seen` is told every (id, digest of all text up to it)."""

    def __init__(
        self,
        addresses: Callable[[], Sequence[str]],
        path: str,
        cookies: Mapping[str, str],
        seen: Callable[[Viewer, str, bytes, int], None],
        *,
        start: int = 0,
        silence: float = SILENCE,
    ) -> None:
        self._addresses = addresses
        self._path = path
        self._cookies = cookies
        self._seen = seen
        self._turn = start
        self._silence = silence
        self._stream: asyncio.Task[None] | None = None
        self._digest = hashlib.sha256()
        self.text = ""
        self.ids: list[str] = []
        self.events = 0
        self.heartbeats = 0
        self.resets = 0
        self.doubled: list[str] = []  #: ids that did not rise
        self.connections = 0
        self.refusals: list[int] = []
        self.end: dict[str, Any] | None = None
        #: The answer was not there (404): right only where Redis lost its beginning.
        self.gone = False
        self.task = asyncio.create_task(self._follow())

    @property
    def last_id(self) -> str:
        return self.ids[-1] if self.ids else ""

    def hang_up(self) -> None:
        """Close the connection and come back."""
        if self._stream is not None:
            self._stream.cancel()

    async def leave(self) -> None:
        """Go away for good."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _follow(self) -> None:
        while self.end is None and not self.gone:
            self._stream = asyncio.create_task(self._read())
            try:
                await asyncio.wait({self._stream})
            finally:
                self._stream.cancel()
                await asyncio.gather(self._stream, return_exceptions=True)
            if self.end is None:
                await asyncio.sleep(PAUSE)

    async def _read(self) -> None:
        addresses = self._addresses()
        base = addresses[self._turn % len(addresses)]
        self._turn += 1
        headers, target = {}, base + self._path
        if self.last_id and self._turn % 2:
            headers["Last-Event-ID"] = self.last_id
        elif self.last_id:
            target += f"?after={self.last_id}"
        with suppress(OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            async with SSEClient.open(target, headers, self._cookies, timeout=self._silence) as stream:
                self.connections += 1
                if stream.status != 200:
                    self.refusals.append(stream.status)
                    self.gone = stream.status == 404
                    return
                async for event in stream:
                    self._take(event)

    def _take(self, event: SSEEvent) -> None:
        data = json.loads(event.data)
        self.events += 1
        if event.event == "heartbeat":
            self.heartbeats += 1
            return
        if event.event == "end":
            self.end = data
        else:
            if event.event == "reset":
                self.resets += 1
                self.text, self._digest = "", hashlib.sha256()
            self.text += data["text"]
            self._digest.update(data["text"].encode())
        if event.id is None:
            return
        # 0 is the fence of what is said of an answer whose log is gone.
        follows = not self.ids or event.event == "reset" or event.id.startswith("0-")
        if not follows and order(event.id) <= order(self.last_id):
            self.doubled.append(event.id)
        self.ids.append(event.id)
        self._seen(self, event.id, self._digest.digest(), len(self.text))
