"""How this program connects to Redis: one connection for all commands, others for what blocks."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Self, cast
from urllib.parse import urlsplit, urlunsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chatapp.errors import SettingsError
from chatapp.storage.line import Client, Line

__all__ = ("BLOCK_MS", "UNREACHABLE", "Connections", "RedisError", "steady", "without_password")

#: How long a blocking read may wait. Far below every idle timeout on the way, and below `_READ_TIMEOUT`:
#: redis-py's own default of 5 s would turn a longer wait into a TimeoutError.
BLOCK_MS = 4000
_READ_TIMEOUT = 10.0
_COMMAND_TIMEOUT = 5.0
_CHECK_TIMEOUT = 8.0
#: Seconds before a command that got lost with its connection is sent again.
_PAUSES = (0.04, 0.08, 0.16)

#: What a client raises while Redis cannot be reached, once it is `steady`.
UNREACHABLE = (RedisConnectionError, RedisTimeoutError, OSError)


class Connections:
    """All of one process' connections to Redis: at most six, whatever the number of viewers and answers.

    `commands` is what all tasks share; `disk`, `writer`, `hub` and `wake` have a connection each, because
    what blocks or a large flush must never stand in another's way. The sixth is for redis-py's pipelines.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        quick = Retry(ExponentialBackoff(cap=0.2, base=0.02), retries=3)
        # The others repeat by themselves: they know from where.
        never: Retry = Retry(NoBackoff(), retries=0)
        self.commands = _client(url, timeout=_COMMAND_TIMEOUT, retry=quick, pauses=_PAUSES)
        self.disk = _client(url, timeout=_COMMAND_TIMEOUT, retry=never)
        self.writer = _client(url, timeout=_COMMAND_TIMEOUT, retry=never)
        self.hub = _client(url, timeout=_READ_TIMEOUT, retry=never)
        self.wake = _client(url, timeout=_READ_TIMEOUT, retry=never)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def check(self) -> None:
        """Raise SettingsError with one line for people when Redis cannot be used."""
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT):
                await self.commands.ping()
        except TimeoutError:
            shown = without_password(self.url)
            raise SettingsError(
                "REDIS_URL", f"nothing at {shown} answers as Redis does (TLS or not?)"
            ) from None
        except (RedisError, OSError) as error:
            # The part of redis-py's sentence that is for people: it goes on with the connection's innards.
            reason = str(error).partition(" : ")[0].splitlines()[0] if str(error) else type(error).__name__
            if "HELLO" in reason:
                # The first word that is said to it, which came with version 6.
                reason = f"{reason}: it is too old; 6.2 or newer is needed"
            raise SettingsError(
                "REDIS_URL", f"cannot use Redis at {without_password(self.url)}: {reason}"
            ) from None

    async def aclose(self) -> None:
        """Close every connection."""
        for client in (self.commands, self.disk, self.writer, self.hub, self.wake):
            await client.aclose()


def without_password(url: str) -> str:
    """Return the address as it may be shown."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def steady(client: Redis) -> Redis:
    """Make a client treat every connection that is of no more use as a lost one."""
    pool = client.connection_pool
    kind: type[AbstractConnection] = pool.connection_class
    pool.connection_class = type(f"Steady{kind.__name__}", (_Steady, kind), {})
    return client


class _Steady(AbstractConnection):
    """A connection that is lost when uvloop has closed its socket, or its server has become a replica.

    redis-py would pass uvloop's RuntimeError on as it is. And it would ask a replica to write again and
    again, while the name leads to another server by now.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            # The error has no class of its own.
            if "the handler is closed" not in str(error):
                raise
            raise RedisConnectionError("the connection was closed meanwhile") from error

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except ReadOnlyError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(str(error)) from error


class _SentinelClient(Client):
    """A client that also closes what it asked its Sentinels over; redis-py leaves that open."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close every connection."""
        await super().aclose(close_connection_pool)
        for sentinel in cast(Any, self.connection_pool).sentinel_manager.sentinels:
            await sentinel.aclose()


def _client(url: str, *, timeout: float, retry: Retry, pauses: Sequence[float] = ()) -> Client:
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": _COMMAND_TIMEOUT,
        "socket_keepalive": True,
        "retry": retry,
        # The same Python shapes on RESP2 and RESP3 servers.
        "legacy_responses": False,
    }
    if url.startswith("unix:"):
        del options["socket_connect_timeout"], options["socket_keepalive"]
    parts = urlsplit(url)
    if parts.scheme == "redis+sentinel":
        client = _sentinel_client(url, options)
    else:
        pool = BlockingConnectionPool.from_url(url, max_connections=1, timeout=20, **options)
        client = cast(Client, Client.from_pool(pool))
    client.line = Line(client.connection_pool, timeout, pauses)
    steady(client)
    return client


def _sentinel_client(url: str, options: dict[str, Any]) -> Client:
    """Connect by `redis+sentinel://[user:password@]host:port[,host:port…]/[service][/db]`."""
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    nodes = [
        (host or "127.0.0.1", int(port or 26379))
        for host, _, port in (h.partition(":") for h in hosts.split(","))
    ]
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        nodes, sentinel_kwargs={"socket_timeout": _COMMAND_TIMEOUT, "retry": Retry(NoBackoff(), retries=0)}
    )
    master: Client = sentinel.master_for(
        service or "mymaster",
        redis_class=_SentinelClient,
        db=int(database or 0),
        username=username or None,
        password=password or None,
        max_connections=1,
        **options,
    )
    return master
