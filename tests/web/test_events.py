"""What happens to a person's chats, as a stream: for the sidebar, other tabs, and programs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.conftest import Stage
from tests.support.client import Person, person
from tests.support.sse import SSEEvent

BOTH = pytest.mark.parametrize("path", ["/events", "/api/events"])
Queue = asyncio.Queue[SSEEvent]


@asynccontextmanager
async def listening(ann: Person, path: str = "/api/events") -> AsyncIterator[Queue]:
    """Somebody's events from now on; the first has been read."""
    await ann.http.get("/api/chats")
    heard: Queue = asyncio.Queue()

    async def listen() -> None:
        async with ann.stream(ann.base + path) as stream:
            async for event in stream:
                await heard.put(event)

    task = asyncio.create_task(listen())
    try:
        assert (await heard.get()).event == "open"
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def told(heard: Queue, kind: str) -> dict[str, str]:
    """Wait for an event of this kind."""
    async with asyncio.timeout(10):
        while (event := await heard.get()).event != kind:
            pass
    data: dict[str, str] = json.loads(event.data)
    assert data["type"] == kind
    return data


@BOTH
async def test_an_answer_ends(ann: Person, path: str) -> None:
    async with listening(ann, path) as heard:
        begun = await ann.begin("n=3")
        assert await told(heard, "finished") == {
            "type": "finished",
            "chat_id": begun.chat_id,
            "message_id": begun.message_id,
            "status": "completed",
        }


async def test_deleted_and_restored(ann: Person) -> None:
    begun = await ann.begin("n=3")
    await ann.follow(begun)
    async with listening(ann) as heard:
        await ann.http.delete(begun.chat)
        assert await told(heard, "deleted") == {"type": "deleted", "chat_id": begun.chat_id}
        await ann.http.post(f"{begun.chat}/restore")
        assert await told(heard, "restored") == {"type": "restored", "chat_id": begun.chat_id}


async def test_only_for_their_owner(ann: Person) -> None:
    async with person(ann.base) as bob, listening(bob) as heard:
        async with listening(ann) as own:
            begun = await ann.begin("n=1")
            await told(own, "finished")
        await ann.http.delete(begun.chat)
        mine = await bob.begin("n=1")
        events: list[SSEEvent] = []
        async with asyncio.timeout(10):
            # The last of them: the model's name for it.
            while not events or events[-1].event != "renamed":
                events.append(await heard.get())
        assert {json.loads(event.data)["chat_id"] for event in events} == {mine.chat_id}


@BOTH
async def test_every_event_once_over_cut_connections(ann: Person, path: str) -> None:
    await ann.http.get("/api/chats")
    async with ann.stream(ann.base + path) as stream:
        cursor = (await anext(aiter(stream))).id
    begun = [await ann.begin(f"n=1 seed={number}") for number in range(12)]
    for one in begun:
        await ann.follow(one)
    ids: list[str] = []
    finished: list[str] = []
    for number in range(1000):
        # Cut further and further on, so that every byte is one at which it breaks.
        by_header = number % 2
        headers = {"Last-Event-ID": cursor or ""} if by_header else {}
        url = ann.base + path + ("" if by_header else f"?after={cursor}")
        cut = 60 + 7 * number % 700
        with suppress(TimeoutError):
            async with ann.stream(url, headers, timeout=0.3, cut_after_bytes=cut) as stream:
                async for event in stream:
                    assert event.event not in ("reset", "open")
                    assert event.id is not None
                    ids.append(event.id)
                    cursor = event.id
                    if event.event == "finished":
                        finished.append(json.loads(event.data)["chat_id"])
        if len(finished) == len(begun):
            break
    assert sorted(finished) == sorted(one.chat_id for one in begun)
    assert len(set(ids)) == len(ids)


async def test_an_id_that_is_not_known(ann: Person) -> None:
    await ann.follow(await ann.begin("n=1"))
    for query in ("?after=1-1", f"?after={2**64}-0", f"?after={10**20 - 1}-{10**20 - 1}"):
        async with ann.stream(ann.base + "/api/events" + query) as stream:
            event = await anext(aiter(stream))
        assert (event.event, event.data) == ("reset", "{}")
    for query in ("", "?after=", "?after=x", "?after=1", "?after=%24"):
        async with ann.stream(ann.base + "/api/events" + query) as stream:
            event = await anext(aiter(stream))
        assert (event.event, event.data) == ("open", "{}")
        assert event.id


async def test_its_headers(stage: Stage, ann: Person) -> None:
    async with ann.stream(ann.base + "/events") as stream:
        headers = stream.headers
        await anext(aiter(stream))
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"


async def test_a_turn_begins(stage: Stage, ann: Person) -> None:
    async with listening(ann) as heard:
        # Whoever tells of its end is another task, or another process.
        begun = await ann.begin("n=1 fault=hold")
        new = await told(heard, "new")
        running = await told(heard, "running")
        for event in (new, running):
            assert (event["chat_id"], event["message_id"]) == (begun.chat_id, begun.message_id)
            assert event["status"] == "queued"
        stage.provider.release()
        await told(heard, "finished")
        again = await ann.begin("n=1 again", chat_id=begun.chat_id)
        assert (await told(heard, "running"))["message_id"] == again.message_id


async def test_stopped(ann: Person) -> None:
    async with listening(ann) as heard:
        begun = await ann.begin("n=9 fault=stall@4 stopped")
        await told(heard, "new")
        await ann.stop(begun)
        assert (await told(heard, "finished"))["status"] == "stopped"
