"""What a release leaves in Redis when it is killed: `python -m tests.support.snapshot NAME` writes it.

To be run by the release itself, into `tests/releases/NAME.json`; `tests/test_releases.py` lets today's
program go on with it. Times in it are of that day, as they are where nobody came back for a while.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.conftest import environment
from tests.support.client import Begun, Person, person
from tests.support.processes import RedisProcess, ServerProcess
from tests.support.provider import ScriptedProvider

__all__ = ("ENV", "FOLDER", "PROMPTS", "load")

FOLDER = Path(__file__).parents[1] / "releases"
ENV = {"CHATAPP_RESUME": "prefill"}
#: A question for each state in which a chat may be.
PROMPTS = {
    "done": "n=40 kind=showcase done",
    "stopped": "n=60 rate=100 kind=emoji fault=stall@25 stopped",
    "deleted": "n=3 deleted",
    "running": "n=60 rate=100 kind=markdown fault=stall@30 running",
    "thinking": "n=40 kind=space fault=reasoning@4,stall@20 thinking",
    "silent": "n=20 fault=hold silent",
    "queued": "n=20 kind=math queued",
}
#: Seconds: what is gone sooner is not what another release finds.
_SHORT = 3600


async def load(redis: Redis, keys: dict[str, Any]) -> None:
    """Put the keys of a snapshot into an empty Redis."""
    for key, (kind, value) in keys.items():
        if kind == "string":
            await redis.set(key, zlib.decompress(base64.b64decode(value)))
        elif kind == "stream":
            for entry_id, fields in value["entries"]:
                await redis.xadd(key, fields, id=entry_id)
            for group, last in value["groups"].items():
                await redis.xgroup_create(key, group, id=last, mkstream=True)
        elif kind == "hash":
            await redis.hset(key, mapping=value)
        else:
            await redis.zadd(key, value)


async def _dump(redis: Redis, url: str) -> dict[str, Any]:
    """Return every key that lasts, as its type and value."""
    binary = Redis.from_url(url)
    keys: dict[str, Any] = {}
    for key in sorted([key async for key in redis.scan_iter()]):
        kind = await redis.type(key)
        if 0 <= await redis.ttl(key) < _SHORT:
            continue
        value: Any
        if kind == "string":
            content: Any = await binary.get(key)
            value = base64.b64encode(zlib.compress(content, 9)).decode()
        elif kind == "stream":
            groups: Any = await redis.xinfo_groups(key)
            value = {
                "entries": await redis.xrange(key),
                "groups": {group["name"]: group["last-delivered-id"] for group in groups},
            }
        elif kind == "hash":
            value = await redis.hgetall(key)
        else:
            members: Any = await redis.zrange(key, 0, -1, withscores=True)
            value = dict(members)
        keys[key] = [kind, value]
    await binary.aclose()
    return keys


async def _grown(redis: Redis, begun: Begun, kind: str, entries: int) -> None:
    """Wait until an answer's log has so many entries of a kind, and no more come."""
    count = -1
    async with asyncio.timeout(20):
        while True:
            log: Any = await redis.xrange(f"chat:{{{begun.chat_id}}}:log:{begun.message_id}")
            if len(log) == count and sum(fields["t"] == kind for _, fields in log) >= entries:
                return
            count = len(log)
            await asyncio.sleep(0.5)


async def _live(ann: Person, redis: Redis) -> dict[str, Begun]:
    """Do what leaves the states of `PROMPTS`, but for the last."""
    begun = {name: await ann.begin(PROMPTS[name]) for name in list(PROMPTS)[:-1]}
    await ann.follow(begun["done"])
    again = (await ann.http.post(f"{begun['done'].path}/regenerate")).json()
    await ann.follow(Begun(ann.base, again))
    await ann.http.post(f"{begun['done'].chat}/share")
    await ann.follow(begun["deleted"])
    for name in ("stopped", "running", "thinking"):
        await _grown(redis, begun[name], "d", 1)
    await _grown(redis, begun["silent"], "c", 1)
    await ann.stop(begun["stopped"])
    await ann.http.delete(begun["deleted"].chat)
    return begun


async def _snapshot() -> dict[str, Any]:
    async with RedisProcess() as server, ScriptedProvider() as provider:
        env = environment(server.url, provider.base_url) | ENV
        redis = Redis.from_url(server.url, decode_responses=True)
        async with ServerProcess(["web"], env) as web:
            await web.wait_ready()
            async with person(web.url) as ann:
                await ann.http.get("/api/chats")
                begun = await _live(ann, redis)
                cookies = ann.cookies
            # Longer than it keeps listed what has ended, and names its chats.
            await asyncio.sleep(15)
            web.kill()
        async with ServerProcess(["web"], env | {"CHATAPP_WORKERS": "external"}) as web:
            await web.wait_ready()
            async with person(web.url) as ann:
                ann.http.cookies.update(cookies)
                begun["queued"] = await ann.begin(PROMPTS["queued"])
            web.kill()
        chats = {name: [one.chat_id, one.user_message_id, one.message_id] for name, one in begun.items()}
        found = {"cookies": cookies, "chats": chats, "keys": await _dump(redis, server.url)}
        await redis.aclose()
        return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(asyncio.run(_snapshot()), indent=1)
    (FOLDER / f"{sys.argv[1]}.json").write_text(f"{text}\n")
