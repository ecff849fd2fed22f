"""Redis, web processes, workers, and a proxy on every way between them: each may break by name."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Literal

import httpx2

from tests.chaos.node import Node
from tests.chaos.oracle import Oracle
from tests.chaos.storage import OURS, LossyProxy, Storage, connected
from tests.chaos.tracked import Terms, Tracked
from tests.chaos.viewer import Viewer
from tests.conftest import environment
from tests.support.processes import ServerProcess
from tests.support.provider import ScriptedProvider
from tests.support.proxy import FaultProxy

__all__ = ("World", "world")

SECRET_KEY = "a-secret-key-that-no-log-may-show"


class World:
    """Everything that runs, by name, and what was asked of it."""

    def __init__(
        self, storage: Storage, provider: ScriptedProvider, redis: Any, stack: AsyncExitStack
    ) -> None:
        self.storage = storage
        self.provider = provider
        self.redis = redis
        self.oracle = Oracle(redis, provider)
        self.nodes: dict[str, Node] = {}
        self.answers: list[Tracked] = []
        self.cookies: dict[str, str] = {}
        self._stack = stack
        #: In every question, so that a log that repeats one is found.
        self.word = f"wort{secrets.token_hex(6)}"

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    @property
    def webs(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.kind == "web"]

    def addresses(self) -> list[str]:
        return [node.url for node in self.webs]

    async def web(self, name: str = "web", **options: Any) -> Node:
        return await self._add(name, "web", **options)

    async def worker(self, name: str = "worker", **options: Any) -> Node:
        return await self._add(name, "worker", **options)

    async def _add(
        self,
        name: str,
        kind: Literal["web", "worker"],
        *,
        inline: bool = True,
        env: Mapping[str, str] | None = None,
        module: str = "chatapp",
        front: bool = True,
        direct: bool = False,
        redis_port: int | None = None,
        ready: bool = True,
    ) -> Node:
        """`direct`: without proxies behind it, which cost this process much where many answers run."""
        storage = model = None
        redis_port, model_port = redis_port or self.storage.port, self.provider.port
        if not direct:
            storage = await self._stack.enter_async_context(LossyProxy(redis_port))
            model = await self._stack.enter_async_context(FaultProxy("127.0.0.1", model_port, http=False))
            redis_port, model_port = storage.port, model.port
        settings = environment(f"redis://127.0.0.1:{redis_port}/0", f"http://127.0.0.1:{model_port}/v1") | {
            "SECRET_KEY": SECRET_KEY,
            "OPENAI_API_KEY": f"sk-test-{name}-0123456789abcdef",
            "CHATAPP_WORKERS": "inline" if inline or kind == "worker" else "external",
            **(env or {}),
        }
        process = ServerProcess([kind], settings, module=module)
        self._stack.push_async_callback(self._end, process)
        node = self.nodes[name] = Node(name, kind, process)
        node.storage, node.model = storage, model
        process.start()
        if ready:
            await node.ready()
        if kind == "web" and front:
            node.front = await self._stack.enter_async_context(FaultProxy("127.0.0.1", process.port))
        return node

    async def _end(self, process: ServerProcess) -> None:
        process.kill()
        await process.__aexit__()

    async def request(
        self, method: str, path: str, *, node: Node | None = None, **options: Any
    ) -> httpx2.Response:
        """Send one request, past the proxies."""
        base = (node or self.webs[0]).process.url
        # Nothing here is HTTPS, and to read the certificates would take most of a request's time.
        async with httpx2.AsyncClient(base_url=base, cookies=self.cookies, timeout=10, verify=False) as http:
            response = await http.request(method, path, **options)
            self.cookies |= dict(http.cookies)
            return response

    async def persist(self, method: str, path: str, within: float = 40, **options: Any) -> httpx2.Response:
        """Send a request until somebody answers it, as a program with an idempotency key does."""
        deadline = time.monotonic() + within
        number = 0
        while True:
            node = self.webs[number % len(self.webs)]
            number += 1
            failure: object = "?"
            # A connection that is reset while it is made is an AttributeError with this client.
            with suppress(httpx2.HTTPError, AttributeError):
                response = await self.request(method, path, node=node, **options)
                if response.status_code < 500:
                    return response
                failure = response.status_code
            if time.monotonic() > deadline:
                raise AssertionError(f"{method} {path}: {failure} for {within} s")
            await asyncio.sleep(0.1)

    async def ask(
        self, script: str, *, viewers: int = 2, terms: Terms | None = None, chat_id: str | None = None
    ) -> Tracked:
        """Begin an answer and let viewers follow it."""
        prompt = f"{script} {self.word}"
        path = f"/api/chats/{chat_id}/messages" if chat_id else "/api/chats"
        key = secrets.token_hex(16)
        asked_at = time.monotonic()
        response = await self.persist("POST", path, json={"prompt": prompt}, headers={"Idempotency-Key": key})
        assert response.status_code == 201, response.text
        body = response.json()
        answer = Tracked(body["chat_id"], body["message_id"], prompt, terms or Terms())
        answer.begun_at = asked_at
        for number in range(viewers):
            self.view(answer, start=number)
        self.answers.append(answer)
        return answer

    def view(self, answer: Tracked, *, start: int = 0, node: Node | None = None, **options: Any) -> Viewer:
        """Let one more viewer follow an answer."""
        addresses = (lambda: [node.url]) if node else self.addresses
        path = f"{answer.path}/events"
        viewer = Viewer(addresses, path, self.cookies, answer.seen, start=start, **options)
        answer.viewers.append(viewer)
        return viewer

    async def stop(self, answer: Tracked) -> None:
        """Stop an answer by its owner's wish."""
        await self.persist("POST", f"{answer.path}/stop")

    async def grown(self, answer: Tracked, characters: int = 1, within: float = 20) -> None:
        """Wait until every viewer has so many characters."""
        deadline = time.monotonic() + within
        while not all(len(viewer.text) >= characters for viewer in answer.viewers):
            assert time.monotonic() < deadline, f"{answer.grown} characters, not {characters}: {answer}"
            await asyncio.sleep(0.01)

    async def connected(self, answer: Tracked, times: int = 1, within: float = 60) -> None:
        """Wait until every viewer has been connected so many times."""
        deadline = time.monotonic() + within
        while left := [viewer for viewer in answer.viewers if viewer.connections < times]:
            assert time.monotonic() < deadline, f"{len(left)} of {len(answer.viewers)} are not back: {answer}"
            await asyncio.sleep(0.02)

    async def generation(self, answer: Tracked) -> dict[str, str]:
        """The generation's hash in Redis."""
        raw: Any = await self.redis.hgetall(answer.generation_key)
        return {name.decode(): value.decode() for name, value in raw.items()}

    def owner(self, answer: Tracked) -> Node | None:
        """Who made the newest upstream call for an answer."""
        calls = self.oracle.calls(answer)
        if not calls:
            return None
        return next((n for n in self.nodes.values() if n.key in (calls[-1].authorization or "")), None)

    async def called(self, answer: Tracked, times: int = 1, within: float = 20) -> None:
        """Wait until the provider was asked so many times."""
        await self.provider.until(lambda: len(self.oracle.calls(answer)) >= times, within)

    async def check(self, *answers: Tracked, within: float = 30.0) -> None:
        """Judge answers completely, and all processes' logs."""
        self.oracle.figures.faults += 1
        await self.oracle.check(*(answers or self.answers), within=within)
        self.check_secrets()

    def check_secrets(self) -> None:
        logs = {name: node.process.log for name, node in self.nodes.items()}
        keys = [node.key for node in self.nodes.values()]
        self.oracle.check_secrets(logs, [SECRET_KEY, self.word, *keys, *self.cookies.values()])

    async def fail_over(self, stack: AsyncExitStack, storage: Storage) -> None:
        """Kill Redis and lead every process to another one."""
        self.storage.kill()
        self.storage = storage
        self.redis = self.oracle.redis = await stack.enter_async_context(connected(storage))
        for node in self.nodes.values():
            assert node.storage is not None
            node.storage.target = ("127.0.0.1", storage.port)
            node.storage.cut_all(reset=True)

    async def clients(self) -> int:
        """Redis clients beside our own."""
        return len([client for client in await self.redis.client_list() if client["name"] != OURS])

    async def idle(self, base: Mapping[str, int], within: float = 30) -> None:
        """Wait until every process holds no more files than before (I7)."""
        deadline = time.monotonic() + within
        while True:
            now = self.files()
            # The pool's own connections are made when they are first needed: six a process.
            over = {name: n for name, n in now.items() if n > base.get(name, n) + 6}
            clients = await self.clients()
            if not over and clients <= 6 * len(self.nodes):
                return
            assert time.monotonic() < deadline, (
                f"I7: open files {now}, before {base}; {clients} Redis clients"
            )
            await asyncio.sleep(0.1)

    def files(self) -> dict[str, int]:
        return {name: node.files for name, node in self.nodes.items() if not node.process.ended}


@asynccontextmanager
async def world(options: Sequence[str] = ()) -> AsyncIterator[World]:
    """A Redis and a provider; processes are added by name."""
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(Storage(options=options))
        provider = await stack.enter_async_context(ScriptedProvider())
        redis = await stack.enter_async_context(connected(storage))
        made = World(storage, provider, redis, stack)
        try:
            yield made
        finally:
            storage.resume()
            for answer in made.answers:
                for viewer in answer.viewers:
                    await viewer.leave()
