"""A background answer of the Responses API: it goes on whoever listens, and may be read from any event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tests.support.script import Script

__all__ = ("Background",)


class Background:
    """One answer being said, and its numbered events so far."""

    def __init__(self, response_id: str, script: Script, released: asyncio.Event) -> None:
        self.id = response_id
        self.script = script
        self.said = 0  #: chunks
        self.cancelled = False
        self._events: list[dict[str, Any]] = []
        self._changed = asyncio.Event()
        self._released = released
        self._task = asyncio.create_task(self._say())

    def cancel(self) -> None:
        """Say no more, as told by the client."""
        self.cancelled = True
        self._task.cancel()
        self._add("response.cancelled", response=self._response("cancelled"))

    def end(self) -> None:
        """Stop with the provider."""
        self._task.cancel()

    async def events(self, after: int) -> AsyncIterator[dict[str, Any]]:
        """Yield the events behind a number, as they come, to the last."""
        number = after + 1
        while True:
            while number >= len(self._events):
                await self._changed.wait()
            yield self._events[number]
            if self._events[number]["type"] in _LAST:
                return
            number += 1

    async def _say(self) -> None:
        script = self.script
        self._add("response.created", response=self._response("queued"))
        self._add("response.in_progress", response=self._response("in_progress"))
        await asyncio.sleep(script.first)
        for chunk in script.chunks():
            if script.fault("stall") == self.said:
                await self._released.wait()
            if script.fault("error") == self.said:
                self._add("error", code="server_error", message="scripted failure in the stream", param=None)
                return
            await asyncio.sleep(1 / script.rate if script.rate else 0)
            self._add(
                "response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=chunk
            )
            self.said += 1
        if script.fault("stall") is not None:
            await self._released.wait()
        ended = self._response("completed" if script.finish == "stop" else "incomplete")
        if script.finish != "stop":
            reason = "max_output_tokens" if script.finish == "length" else script.finish
            ended["incomplete_details"] = {"reason": reason}
        ended["usage"] = {"input_tokens": 3, "output_tokens": self.said, "total_tokens": 3 + self.said}
        self._add(f"response.{ended['status']}", response=ended)

    def _response(self, status: str) -> dict[str, Any]:
        return {"id": self.id, "object": "response", "status": status, "background": True, "error": None}

    def _add(self, kind: str, **fields: Any) -> None:
        self._events.append({"type": kind, "sequence_number": len(self._events), **fields})
        self._changed.set()
        self._changed = asyncio.Event()


_LAST = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "error")
