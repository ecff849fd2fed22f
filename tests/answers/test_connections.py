"""A connection that Redis has closed is a lost connection, whatever the event loop calls it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.scripts import SCHEDULE, Call, Command, run, run_in_order
from tests.support.processes import RedisProcess
from tests.support.proxy import FaultProxy


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisProcess]:
    async with RedisProcess(options=["--unixsocket", str(tmp_path / "redis.sock")]) as redis:
        yield redis


async def taken(connections: Connections) -> Any:
    """A connection out of the pool, open and about to be used."""
    pool: Any = connections.commands.connection_pool
    return await pool.get_connection()


async def refused(connections: Connections, connection: Any) -> None:
    """The loop has closed the socket: the connection is lost, and the pool makes another."""
    async with asyncio.timeout(5):
        while not connection._writer.transport.is_closing():
            await asyncio.sleep(0.01)
    # The handle itself is closed a little later.
    await asyncio.sleep(0.05)
    with pytest.raises(RedisConnectionError):
        await connection.send_command("PING")
    await connections.commands.connection_pool.release(connection)
    assert await run_in_order(connections.commands, Command("PING")) == [b"PONG"]


async def test_a_socket_that_was_reset_meanwhile(redis: RedisProcess) -> None:
    async with (
        FaultProxy("127.0.0.1", redis.port, http=False) as proxy,
        Connections(f"redis://127.0.0.1:{proxy.port}/0") as connections,
    ):
        connection = await taken(connections)
        proxy.cut_all(reset=True)
        await refused(connections, connection)


async def test_a_socket_in_the_file_system(redis: RedisProcess, tmp_path: Path) -> None:
    async with Connections(f"unix://{tmp_path / 'redis.sock'}") as connections:
        connection = await taken(connections)
        # Nobody resets such a socket: as after a write that found nobody there.
        connection._writer.transport.abort()
        await refused(connections, connection)


async def test_an_error_of_our_own_is_not_taken_for_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Connections(redis_url) as connections:
        connection = await taken(connections)

        def fail(_: object) -> None:
            raise RuntimeError("of our own")

        monkeypatch.setattr(connection._writer, "writelines", fail)
        with pytest.raises(RuntimeError, match="of our own"):
            await connection.send_command("PING")
        await connections.commands.connection_pool.release(connection)


async def test_a_server_that_became_a_replica_is_left(redis: RedisProcess) -> None:
    """The name leads to another by now, but nobody has closed what is open to the old one."""
    async with (
        RedisProcess() as promoted,
        FaultProxy("127.0.0.1", redis.port, http=False) as name,
        Connections(f"redis://127.0.0.1:{name.port}/0") as connections,
    ):
        clients = connections.commands, connections.writer, connections.wake
        # An announcement is a write, and so is taking one.
        write = Call(SCHEDULE, [keys.DUE], "work", 0, "")
        for client in clients:
            assert (await run(client, write))[0] == "OK"
        async with Connections(redis.url) as past:
            await run_in_order(past.commands, Command("REPLICAOF", "127.0.0.1", promoted.port))
        name.target = ("127.0.0.1", promoted.port)
        for client in clients:
            with suppress(RedisConnectionError):
                # Who does not repeat by itself learns it once.
                await run(client, write)
            assert (await run(client, write))[0] == "OK"
            await client.set("key", "value")
