"""F52: a chat is deleted while its answer is written."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.chaos.world import World

#: Seconds in which a deletion can be taken back, and after which nothing may be left.
UNDO = 30.0
GONE = 60.0


async def keys_of(world: World, chat_id: str) -> list[bytes]:
    return [key async for key in world.redis.scan_iter(match=f"*{chat_id}*", count=1000)]


@pytest.mark.timeout(120)
async def test_f52_chat_deleted_mid_answer(split: World) -> None:
    answer = await split.ask("n=3000 rate=50 seed=520")
    kept = await split.ask("n=20 rate=50 seed=521")
    await split.grown(answer, 200)
    deleted_at = time.monotonic()
    assert (await split.request("DELETE", f"/api/chats/{answer.chat_id}")).status_code == 204
    # Every viewer gets its end, the provider is hung up on, and nobody who comes later finds anything.
    await asyncio.wait_for(asyncio.gather(*(viewer.task for viewer in answer.viewers)), 5)
    assert all(viewer.gone or viewer.end == {
        "status": "stopped", "finish_reason": None, "usage": None, "error": None
    } for viewer in answer.viewers)  # fmt: skip
    [call] = split.oracle.calls(answer)
    await asyncio.wait_for(call.client_gone.wait(), 2)
    assert (await split.request("GET", f"{answer.path}/events")).status_code == 404
    assert (await split.request("GET", f"/api/chats/{answer.chat_id}")).status_code == 404
    while await keys_of(split, answer.chat_id):
        assert time.monotonic() - deleted_at < GONE, "something of the chat is left"
        await asyncio.sleep(0.2)
    assert time.monotonic() - deleted_at > UNDO, "it could not have been taken back"
    assert (await split.request("POST", f"/api/chats/{answer.chat_id}/restore")).status_code == 404
    while (left := GONE - (time.monotonic() - deleted_at)) > 0:
        assert await keys_of(split, answer.chat_id) == [], "made anew"
        await asyncio.sleep(min(1.0, left))
    assert await keys_of(split, answer.chat_id) == []
    assert len(split.oracle.calls(answer)) == 1
    await split.check(kept)
    assert not any("Traceback" in node.process.log for node in split.nodes.values())
