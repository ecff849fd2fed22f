"""All tasks share one connection: each gets its own replies, whatever happens to it or to the others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chatapp.storage import connections as connections_module
from chatapp.storage.connections import Connections
from chatapp.storage.line import Line, _Open
from chatapp.storage.scripts import Command, run_all, run_in_order
from tests.support.processes import RedisProcess
from tests.support.proxy import FaultProxy

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisProcess]:
    async with RedisProcess(options=["--unixsocket", str(tmp_path / "redis.sock")]) as redis:
        yield redis


@pytest.fixture
async def proxy(redis: RedisProcess) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", redis.port, http=False) as proxy:
        yield proxy


def url(proxy: FaultProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


async def echoed(connections: Connections, number: int) -> None:
    """Ask for several replies that nobody else asks for."""
    words = [f"{number}:{place}" for place in range(number % 4 + 1)]
    replies = await run_in_order(connections.commands, *(Command("ECHO", word) for word in words))
    assert replies == [word.encode() for word in words]


async def begun(work: asyncio.Task[Any]) -> None:
    """Let a task send its command."""
    await asyncio.sleep(0.05)
    assert not work.done()


async def freed(redis: RedisProcess, name: str, work: asyncio.Task[Any]) -> None:
    """Put something into the list that a connection waits for, until that is seen."""
    async with Connections(redis.url) as others:
        while not work.done():
            await others.commands.rpush(name, "x")
            await asyncio.sleep(0.01)


async def test_everyone_gets_the_own_replies_over_one_connection(proxy: FaultProxy) -> None:
    async with Connections(url(proxy)) as connections:
        await asyncio.gather(*(echoed(connections, number) for number in range(300)))
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("address", ["{tcp}?protocol=2", "{tcp}?protocol=3", "unix://{socket}"])
async def test_replies_of_every_kind(redis: RedisProcess, tmp_path: Path, address: str) -> None:
    there = address.format(tcp=redis.url, socket=tmp_path / "redis.sock")
    large = b"x" * (3 << 20)
    async with Connections(there) as connections:
        commands = connections.commands
        await commands.set("large", large)
        replies = await run_all(
            commands,
            [Command("GET", "large"), Command("LPUSH", "large", 1), Command("GET", "none"), Command("PING")],
        )
        assert replies[0] == large
        assert isinstance(replies[1], ResponseError)
        assert replies[2:] == [None, b"PONG"]
        await commands.hset("hash", mapping={"a": "1"})
        assert await commands.hgetall("hash") == {b"a": b"1"}
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await commands.hgetall("large")
        assert (await commands.info("server"))["tcp_port"] == redis.port


async def test_what_the_server_says_by_itself_is_no_reply(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections, Connections(redis.url) as others:
        await run_in_order(connections.commands, Command("CLIENT", "TRACKING", "ON"), Command("GET", "key"))
        await others.commands.set("key", "value")
        await asyncio.gather(*(echoed(connections, number) for number in range(20)))
        assert await connections.commands.get("key") == b"value"


async def test_who_is_cancelled_takes_nothing_from_the_others(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections:
        slow = asyncio.create_task(run_in_order(connections.commands, Command("BLPOP", "list", 0)))
        await begun(slow)
        others = [asyncio.create_task(echoed(connections, number)) for number in range(20)]
        await begun(others[0])
        for cancelled in (slow, others[3], others[19]):
            cancelled.cancel()
        await freed(redis, "list", others[0])
        done = await asyncio.gather(slow, *others, return_exceptions=True)
        assert [isinstance(each, asyncio.CancelledError) for each in done].count(True) == 3
        assert done.count(None) == 18


async def test_nobody_waits_behind_a_reply_that_nobody_wants(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections:
        slow = asyncio.create_task(run_in_order(connections.commands, Command("BLPOP", "none", 5)))
        await begun(slow)
        slow.cancel()
        with suppress(asyncio.CancelledError):
            await slow
        began = monotonic()
        await echoed(connections, 1)
        assert monotonic() - began < 2


@pytest.mark.parametrize("reset", [False, True])
async def test_what_was_under_way_on_a_lost_connection_is_repeated(
    redis: RedisProcess, proxy: FaultProxy, reset: bool
) -> None:
    async with Connections(url(proxy)) as connections:
        await echoed(connections, 0)
        for name in ("one", "two", "three", "four", "five"):
            slow = asyncio.create_task(run_in_order(connections.commands, Command("BLPOP", name, 0)))
            await begun(slow)
            others = [asyncio.create_task(echoed(connections, number)) for number in range(50)]
            await begun(others[0])
            proxy.cut_all(reset=reset)
            await freed(redis, name, slow)
            assert await slow == [[name.encode(), b"x"]]
            await asyncio.gather(*others)
        assert len(proxy.requests) == 6


async def test_a_connection_that_died_while_nobody_used_it(proxy: FaultProxy) -> None:
    async with Connections(url(proxy)) as connections:
        for client in (connections.commands, connections.writer, connections.hub):
            await run_in_order(client, Command("PING"))
        proxy.cut_all()
        await asyncio.sleep(0.1)
        for client in (connections.commands, connections.writer, connections.hub):
            assert await run_in_order(client, Command("PING")) == [b"PONG"]


def black_hole(proxy: FaultProxy, redis: RedisProcess) -> Callable[[], None]:
    del redis
    proxy.blackhole()
    return proxy.heal


def frozen(proxy: FaultProxy, redis: RedisProcess) -> Callable[[], None]:
    del proxy
    redis.pause()
    return redis.resume


@pytest.mark.parametrize("fault", [black_hole, frozen])
async def test_silence_is_a_lost_connection(
    redis: RedisProcess,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[FaultProxy, RedisProcess], Callable[[], None]],
) -> None:
    monkeypatch.setattr(connections_module, "_COMMAND_TIMEOUT", 0.3)
    monkeypatch.setattr(connections_module, "_PAUSES", ())
    async with Connections(url(proxy)) as connections:
        await echoed(connections, 0)
        heal = fault(proxy, redis)
        began = monotonic()
        asked = [asyncio.create_task(echoed(connections, number)) for number in range(10)]
        failed = await asyncio.gather(*asked, return_exceptions=True)
        assert 0.2 < monotonic() - began < 3
        assert all(isinstance(error, RedisTimeoutError) for error in failed), failed
        assert len({id(error) for error in failed}) == 10
        heal()
        async with asyncio.timeout(5):
            while True:
                with suppress(RedisTimeoutError, RedisConnectionError):
                    await echoed(connections, 1)
                    break


async def test_a_slow_command_is_no_silence_as_long_as_others_are_answered(
    redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "_COMMAND_TIMEOUT", 0.5)
    async with Connections(redis.url) as connections:
        until = monotonic() + 1.2
        while monotonic() < until:
            assert await run_in_order(connections.commands, Command("BLPOP", "none", "0.1")) == [None]
        await asyncio.sleep(0.8)
        # Nobody waited meanwhile.
        await echoed(connections, 1)
        assert await run_in_order(connections.commands, Command("BLPOP", "none", "0.3")) == [None]
        clients: Any = await connections.commands.client_list()
        assert len(clients) == 1


async def test_a_connection_that_is_lost_before_it_is_used(
    redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Line._connect
    opened: list[_Open] = []

    async def lost_at_first(line: Line) -> _Open:
        connection = await connect(line)
        if not opened:
            connection._transport.abort()
            await connection.closed
        opened.append(connection)
        return connection

    monkeypatch.setattr(Line, "_connect", lost_at_first)
    async with Connections(redis.url) as connections:
        await asyncio.gather(*(echoed(connections, number) for number in range(20)))
        assert len(opened) == 2
        lost = opened[0]
        assert not lost.usable
        with pytest.raises(RedisConnectionError):
            lost.ask(b"PING\r\n", 1)


@pytest.mark.parametrize(
    "words", ["READONLY You", "ERR Error running script (call to f_0): @user_script: 1: -READONLY You"]
)
async def test_a_server_that_has_become_a_replica_is_left(redis: RedisProcess, words: str) -> None:
    """Redis 6.2 says it of a script in a sentence of its own."""
    async with Connections(redis.url) as connections:
        await echoed(connections, 1)
        [before] = await connections.commands.client_list()
        with pytest.raises(RedisConnectionError, match="You can not write"):
            await run_in_order(
                connections.commands, Command("EVAL", f"return redis.error_reply('{words} can not write')", 0)
            )
        [after] = await connections.commands.client_list()
        assert before["id"] != after["id"]


async def test_a_connection_that_is_lost_while_it_is_opened(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections:
        connection: Any = cast(Any, connections.commands.connection_pool).make_connection()
        await connection.connect()
        connection._writer.transport.abort()
        await asyncio.sleep(0.05)
        with pytest.raises(RedisConnectionError):
            _Open(connection, 5)
        connection._close()


async def test_a_server_that_comes_back_in_time_is_not_missed(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections:
        await echoed(connections, 0)
        redis.kill()
        asked = [asyncio.create_task(echoed(connections, number)) for number in range(50)]
        await asyncio.sleep(0.05)
        redis.start()
        await asyncio.gather(*asked)


async def test_a_server_that_stays_away_is_told_to_everyone(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections:
        await echoed(connections, 0)
        redis.kill()
        asked = [asyncio.create_task(echoed(connections, number)) for number in range(50)]
        failed = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(error, RedisConnectionError) for error in failed)
        redis.start()
        await echoed(connections, 1)


async def test_all_wait_for_one_attempt_to_connect(proxy: FaultProxy) -> None:
    proxy.delay(0.05)
    async with Connections(url(proxy)) as connections:
        asked = [asyncio.create_task(echoed(connections, number)) for number in range(50)]
        await begun(asked[0])
        # Who began the attempt gives up.
        asked[0].cancel()
        await asyncio.gather(*asked[1:])
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("connected", [True, False])
async def test_closing_tells_who_waits(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    monkeypatch.setattr(connections_module, "_PAUSES", ())
    async with Connections(url(proxy)) as connections:
        if connected:
            await echoed(connections, 0)
        else:
            proxy.blackhole()
        slow = asyncio.create_task(run_in_order(connections.commands, Command("BLPOP", "none", 5)))
        await begun(slow)
    with pytest.raises(RedisConnectionError):
        await slow
