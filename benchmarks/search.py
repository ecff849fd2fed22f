"""Search over many chats against the time of page loads: `python -m benchmarks.search [--chats 10000]`.

The chats are written straight into Redis, as the scripts leave them, and indexed by its own code.
Then the real program is asked over HTTP, one request after the other. What is printed are medians.
"""

import argparse
import asyncio
import random
import secrets
import statistics
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import httpx2
from redis.asyncio import Redis
from tests.conftest import environment
from tests.support.processes import RedisProcess, ServerProcess

from chatapp.storage import keys
from chatapp.storage.signatures import index

_HEAD = '{"id":"%s","parent_id":%s,"role":"%s","model":"bench","created_at":"2026-01-01T00:00:00Z"}'
_COMPLETED = '{"status":"completed","finish_reason":"stop"}'
_NOW = "2026-01-01T00:00:00+00:00"
_PAGES = 20
#: Words of a question and of an answer, and turns of a chat.
_QUESTION, _ANSWER, _TURNS = 15, 200, 2
_WORDS = 20_000
#: The word that one chat has, and the one that none has.
_RARE, _MISSING = "xylograph", "quokkaberry"


def vocabulary(dice: random.Random) -> list[str]:
    """Made-up words, the first of them far more frequent than the last."""
    syllables = [c + v + e for c in "bdfgklmnprstvz" for v in "aeiou" for e in ("", "n", "r", "st")]
    return ["".join(dice.choices(syllables, k=dice.randint(1, 4))) for _ in range(_WORDS)]


async def fill(redis: Redis, owner: str, count: int) -> list[str]:
    """Write the chats, and return some words: frequent, in some chats, in one, in none."""
    dice = random.Random(1)
    words = vocabulary(dice)
    weights = list(accumulate(1 / (rank + 10) for rank in range(_WORDS)))

    def text(length: int) -> str:
        return " ".join(dice.choices(words, cum_weights=weights, k=length)).capitalize() + "."

    for number in range(count):
        chat_id, parent = secrets.token_hex(16), "null"
        fields: dict[Any, Any] = {}
        texts = []
        for turn in range(_TURNS):
            question, answer = secrets.token_hex(16), secrets.token_hex(16)
            asked, said = text(_QUESTION), text(_ANSWER)
            if number == count // 2 and not turn:
                said += f" {_RARE}"
            fields |= {question: _HEAD % (question, parent, "user"), f"{question}:text": asked}
            fields |= {answer: _HEAD % (answer, f'"{question}"', "assistant"), f"{answer}:text": said}
            fields[f"{answer}:end"] = _COMPLETED
            parent = f'"{answer}"'
            texts += [asked, said]
        title = text(5)
        async with redis.pipeline(transaction=False) as pipe:
            chat = {"owner": owner, "title": title, "model": "bench", "system": "", "head": answer}
            pipe.hset(keys.chat(chat_id), mapping=chat | {"created_at": _NOW, "updated_at": _NOW})
            pipe.hset(keys.messages(chat_id), mapping=fields)
            pipe.hset(keys.generation(chat_id), mapping={"state": "completed", "message": answer})
            pipe.zadd(keys.user_chats(owner), {chat_id: float(number)})
            await pipe.execute()
        await index(redis, owner, chat_id, [title, *texts])
    await redis.hset(keys.user_slots(owner), keys.INDEXED, "1")
    return [words[0], words[3000], words[-1], f"{words[0]} {words[5000]}", words[40][:2], _RARE, _MISSING]


async def timed(http: httpx2.AsyncClient, path: str, times: int = 7) -> tuple[float, httpx2.Response]:
    """Return the median of the milliseconds that a GET takes."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        response = await http.get(path)
        taken.append((time.perf_counter() - began) * 1e3)
        assert response.status_code == 200, response.text
    return statistics.median(taken), response


async def measure(count: int) -> None:
    with RedisProcess() as server:
        # No provider is ever asked.
        async with ServerProcess(env=environment(server.url, "http://127.0.0.1:9/v1")) as web:
            await web.wait_ready()
            async with (
                httpx2.AsyncClient(base_url=web.url, timeout=60) as http,
                Redis.from_url(server.url) as redis,
            ):
                await http.get("/api/chats")
                owner = http.cookies["chat_session"].partition(".")[0]
                before: Any = await redis.info("memory")
                began = time.perf_counter()
                queries = await fill(redis, owner, count)
                print(f"{count:,} chats of {_TURNS} turns written in {time.perf_counter() - began:.0f} s")
                await report(http, redis, owner, before["used_memory"], queries)


async def report(
    http: httpx2.AsyncClient, redis: Redis, owner: str, before: int, queries: Sequence[str]
) -> None:
    after: Any = await redis.info("memory")
    signatures: Any = await redis.memory_usage(keys.user_signatures(owner), samples=0)
    slots: Any = await redis.memory_usage(keys.user_slots(owner), samples=0)
    whole = after["used_memory"] - before
    print(
        f"Redis: {whole / 1e6:.1f} MB in all, of that signatures {signatures / 1e6:.1f} MB"
        f" and their numbers {slots / 1e6:.1f} MB"
    )
    page, _ = await timed(http, "/", 20)
    print(f"a page load: {page:.1f} ms; {_PAGES} of them: {_PAGES * page:.0f} ms")
    for q in queries:
        milliseconds, response = await timed(http, f"/api/chats?q={q}")
        found = response.json()
        more = " and more" if found["next_cursor"] else ""
        print(
            f"{q!r}: {milliseconds:.1f} ms ({milliseconds / page:.1f} page loads),"
            f" {len(found['chats'])} chats{more}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chats", type=int, default=10_000)
    asyncio.run(measure(parser.parse_args().chats))
