"""The ways to Redis beside a plain address: over TLS, as PaaS demand it, and by a Sentinel."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from chatapp.errors import SettingsError
from chatapp.storage.connections import UNREACHABLE, Connections
from chatapp.storage.scripts import Command, run_in_order
from tests.support.processes import RedisProcess, SentinelProcess

pytestmark = pytest.mark.timeout(60)


class TlsEnd:
    """What takes TLS off in front of a Redis."""

    def __init__(self, redis: RedisProcess, context: ssl.SSLContext) -> None:
        self._redis = redis
        self._context = context
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["TlsEnd"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", self._redis.port)
        self._writers += (writer, behind[1])
        await asyncio.gather(_pass_on(reader, behind[1]), _pass_on(behind[0], writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def tls(tmp_path: Path) -> AsyncIterator[TlsEnd]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with RedisProcess() as redis, TlsEnd(redis, context).serving() as end:
        yield end


@pytest.mark.parametrize("trust", ["ssl_cert_reqs=none", "ssl_ca_certs={folder}/ca.pem"])
async def test_tls(tls: TlsEnd, tmp_path: Path, trust: str) -> None:
    large = b"x" * (3 << 20)
    async with Connections(f"rediss://127.0.0.1:{tls.port}/0?{trust.format(folder=tmp_path)}") as connections:
        await connections.check()
        await run_in_order(connections.writer, Command("SET", "large", large))
        asked = [Command("ECHO", 7), Command("GET", "large")]
        replies = await asyncio.gather(*(run_in_order(connections.commands, *asked) for _ in range(9)))
        assert replies == [[b"7", large]] * 9
        assert await run_in_order(
            connections.hub, Command("XREAD", "BLOCK", 20, "STREAMS", "none", "0-0")
        ) == [None]
        tls.cut()
        # What all tasks share is repeated; the others' owners know from where.
        assert await run_in_order(connections.commands, Command("STRLEN", "large")) == [len(large)]


async def test_a_certificate_that_nobody_vouches_for(tls: TlsEnd) -> None:
    async with Connections(f"rediss://127.0.0.1:{tls.port}/0") as connections:
        with pytest.raises(SettingsError, match=r"REDIS_URL.*certificate"):
            await connections.check()


async def test_a_sentinel_tells_who_is_the_one_to_write_to() -> None:
    async with RedisProcess() as first:
        following = ["--replicaof", f"127.0.0.1 {first.port}", "--repl-diskless-sync-delay", "0"]
        async with (
            RedisProcess(options=following),
            SentinelProcess(first) as sentinel,
            Connections(f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster") as connections,
        ):
            commands = connections.commands
            await connections.check()
            await run_in_order(commands, Command("SET", "key", "kept"))
            async with asyncio.timeout(30):
                # Both have it, and the Sentinel knows of both.
                while await run_in_order(commands, Command("WAIT", 1, 100)) != [1] or not await _knows(
                    sentinel
                ):
                    await asyncio.sleep(0.05)
                await asyncio.to_thread(first.kill)
                while True:
                    with suppress(*UNREACHABLE):
                        await run_in_order(commands, Command("SET", "after", "the change"))
                        break
                    await asyncio.sleep(0.1)
            assert await run_in_order(commands, Command("GET", "key")) == [b"kept"]


async def _knows(sentinel: SentinelProcess) -> bool:
    """Whether the Sentinel has found the replica."""
    async with Connections(sentinel.url) as connections:
        [replicas] = await run_in_order(connections.commands, Command("SENTINEL", "REPLICAS", "mymaster"))
        return bool(replicas)
