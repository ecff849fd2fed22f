"""What it costs a server to open a long chat: CPU a page, by `python -m benchmarks.long_chats`.

The server runs in a process of its own on a Redis of its own, as in production; the chats are written by
the program's own scripts. Pages are fetched one after the other, twenty of a chat in turn, so that all chats
see the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from statistics import median
from time import perf_counter

import httpx2
import msgspec
from tests.conftest import environment
from tests.support.processes import RedisProcess, ServerProcess

from chatapp.chats.starts import Question, begin
from chatapp.models import Outcome, Status
from chatapp.storage.connections import Connections
from chatapp.storage.scripts import CLAIM, END, Call, chat_keys, run

_TICK = os.sysconf("SC_CLK_TCK")
_BLOCK = 20
_ANSWER = (
    "**Two** reasons:\n\n- one of them is `short`,\n- the other one is a little longer.\n\nThat is all.\n"
)


async def fill(redis_url: str, owner: str, chat_id: str, messages: int) -> None:
    """Write a chat of so many messages."""
    outcome = msgspec.json.encode(Outcome(status=Status.COMPLETED, finish_reason="stop"))
    async with Connections(redis_url) as connections:
        redis, head = connections.commands, ""
        for number in range(messages // 2):
            fields = {"title": "A chat", "model": "scripted", "system": ""} if not head else {}
            question = Question(
                f"Question {number}?", "scripted", False, head or None, head, create=not head, fields=fields
            )
            start = begin(owner, chat_id, question, f"r{number}", number)
            at, head = chat_keys(chat_id, start.message_id), start.message_id
            await run(redis, start.call)
            claim = Call(CLAIM, at, head, "n", 10_000, 3, b"{}", 600)
            _, fence, seq = await run(redis, claim)
            append = Call(END, at, head, fence, "n", int(seq) + 1, outcome, "completed", 600, "")
            await run(redis, append)
            # Written as if it had come as one delta: the log is not what is measured.
            await redis.hset(f"chat:{{{chat_id}}}:messages", f"{head}:text", f"{_ANSWER}\n{number}")


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


async def measure(sizes: list[int], pages: int) -> None:
    with RedisProcess() as redis:
        # Nobody asks the provider anything.
        async with ServerProcess(env=environment(redis.url, "http://127.0.0.1:9/v1")) as server:
            await server.wait_ready()
            await _compare(server, redis, sizes, pages)


async def _compare(server: ServerProcess, redis: RedisProcess, sizes: list[int], pages: int) -> None:
    async with httpx2.AsyncClient(base_url=server.url, timeout=20) as http:
        response = await http.post("/api/chats", json={"prompt": "n=1"})
        async with Connections(redis.url) as connections:
            owner = await connections.commands.hget(f"chat:{{{response.json()['chat_id']}}}", "owner")
        assert owner is not None
        chats = {size: f"{size:032x}" for size in sizes}
        for size, chat_id in chats.items():
            await fill(redis.url, owner.decode(), chat_id, size)
        used: dict[int, float] = dict.fromkeys(sizes, 0.0)
        took: dict[int, list[float]] = {size: [] for size in sizes}
        length = {}
        # The first round warms everything up.
        for number in range(pages // _BLOCK + 1):
            for size, chat_id in chats.items():
                before = cpu(server.pid)
                for _ in range(_BLOCK):
                    begun = perf_counter()
                    page = await http.get(f"/chats/{chat_id}")
                    took[size].append(perf_counter() - begun)
                    assert page.status_code == 200
                used[size] += cpu(server.pid) - before if number else 0
                length[size] = len(page.content)
    print("messages  CPU ms a page  median ms  bytes")
    for size in sizes:
        print(
            f"{size:8}  {used[size] / pages * 1000:13.2f}  {median(took[size]) * 1000:9.2f}  {length[size]}"
        )
    print(f"the longest costs {used[sizes[-1]] / used[sizes[0]]:.2f} times the shortest")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 2000])
    parser.add_argument("--pages", type=int, default=300)
    options = parser.parse_args()
    asyncio.run(measure(options.sizes, options.pages))
