"""A Redis that can lose its last second, and a way to it that can lose replies."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from chatapp.storage.connections import steady
from tests.support.processes import RedisProcess
from tests.support.proxy import FaultProxy, _cut, _Link

__all__ = ("OURS", "LossyProxy", "Storage", "connected")

AOF = "appendonlydir"
#: The name of our own connections, which look past all proxies.
OURS = "oracle"


class Storage(RedisProcess):
    """A Redis whose append-only file can be put back to what it was."""

    def __init__(self, *, port: int | None = None, options: Sequence[str] = ()) -> None:
        super().__init__(port=port, options=["--auto-aof-rewrite-percentage", "0", *options])

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def copy(self, name: str = "copy") -> Path:
        """Copy the append-only directory as it is now."""
        target = self._folder / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self._folder / AOF, target)
        return target

    def lose_tail(self, copy: Path) -> None:
        """Kill the server and start it again with an older copy of its data."""
        self.kill()
        shutil.rmtree(self._folder / AOF)
        shutil.copytree(copy, self._folder / AOF)
        self.start()

    def mark(self) -> tuple[str, int]:
        """Remember how long the append-only file is: cheaper than a copy."""
        path = max((self._folder / AOF).glob("*.incr.aof"), key=lambda file: int(file.name.split(".")[2]))
        return path.name, path.stat().st_size

    def truncate_to(self, mark: tuple[str, int]) -> bool:
        """Kill the server and cut its append-only file back to a mark; false when that file is no more."""
        self.kill()
        path = self._folder / AOF / mark[0]
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(mark[1])
        self.start()
        return path.exists()

    def empty(self) -> None:
        """Kill the server and start it without any data."""
        self.kill()
        shutil.rmtree(self._folder / AOF)
        self.start()


class LossyProxy(FaultProxy):
    """Raw TCP that can pass commands on, and lose their replies with the connection."""

    def __init__(self, target_port: int) -> None:
        super().__init__("127.0.0.1", target_port, http=False)
        self.swallow = 0  #: replies still to be lost
        #: The first bytes of a connection are its handshake: losing them would lose no command of ours.
        self.handshake = 400
        self.swallowed = 0

    async def _send_down(self, link: _Link, data: bytes) -> None:
        if self.swallow and link.request.bytes_down > self.handshake:
            self.swallow -= 1
            self.swallowed += 1
            _cut(link, reset=True)
            return
        await super()._send_down(link, data)


@asynccontextmanager
async def connected(storage: Storage) -> AsyncIterator[Redis]:
    """A client of our own past all proxies, which outlives restarts of the server."""
    retry: Retry = Retry(ConstantBackoff(0.05), retries=200)
    client = steady(Redis.from_url(storage.url, retry=retry, socket_timeout=5, client_name=OURS))
    try:
        folder: Any = await client.config_get("dir")
        found = next(iter(folder.values()))
        found = found.decode() if isinstance(found, bytes) else found
        # Before anything destructive: a port may be somebody else's Redis.
        assert found == str(storage.folder), found
        yield client
    finally:
        await client.aclose()
