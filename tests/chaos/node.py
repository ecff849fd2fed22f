"""One process of the program, with the ways to and from it, which a test may break."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM
from typing import Literal

from tests.chaos.storage import LossyProxy
from tests.support.processes import ServerProcess
from tests.support.proxy import FaultProxy

__all__ = ("Node",)

_READY_WORKER = "worker waits for answers to generate"


class Node:
    """One process of the program, and the ways to and from it."""

    def __init__(self, name: str, kind: Literal["web", "worker"], process: ServerProcess) -> None:
        self.name = name
        self.kind = kind
        self.process = process
        self.front: FaultProxy | None = None  #: browser to web
        self.storage: LossyProxy | None = None  #: process to Redis
        self.model: FaultProxy | None = None  #: process to provider
        #: Held while the process is being killed, stopped or started: one fault at a time.
        self.lock = asyncio.Lock()
        self.stopped = False
        self._starts = 1

    @property
    def key(self) -> str:
        """Its own provider key, by which the provider tells who asks."""
        return f"sk-test-{self.name}-0123456789abcdef"

    @property
    def url(self) -> str:
        return self.front.url if self.front else self.process.url

    async def ready(self, timeout: float = 30) -> None:
        if self.kind == "web":
            await self.process.wait_ready(timeout=timeout)
            return
        deadline = time.monotonic() + timeout
        while self.process.log.count(_READY_WORKER) < self._starts:
            if self.process.ended:
                raise RuntimeError(f"{self.name} ended before it was ready:\n{self.process.log}")
            assert time.monotonic() < deadline, f"{self.name} is not ready:\n{self.process.log}"
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.stopped = False

    def start(self) -> None:
        self.process.start()
        self._starts = self.process.log.count(_READY_WORKER) + 1

    async def restart(self, attempts: int = 10) -> None:
        """Start the ended process, again and again as a platform does where Redis is away just then."""
        for attempt in range(attempts):
            self.start()
            try:
                await self.ready()
            except RuntimeError:
                if attempt == attempts - 1:
                    raise
                await asyncio.sleep(0.5)
            else:
                return

    async def terminate(self, timeout: float = 30) -> int:
        return await self.process.terminate(timeout)

    def freeze(self) -> None:
        self.process.signal(SIGSTOP)
        self.stopped = True

    def thaw(self) -> None:
        self.process.signal(SIGCONT)
        self.stopped = False

    def term(self) -> None:
        self.process.signal(SIGTERM)

    @property
    def files(self) -> int:
        """Open file descriptors."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    @property
    def memory(self) -> int:
        """Resident bytes."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * 4096
