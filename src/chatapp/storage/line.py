"""One connection to Redis that all tasks share: commands go out at once, and are answered in that order.

redis-py opens it, with all that belongs to that: names, TLS, Sentinel, sign-in. Then its protocol is
replaced: nobody waits for a connection, takes a lock or sets a timeout, and a reply wakes only who asked.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from hiredis import PushNotification
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import ConnectionPool, Redis
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chatapp.tasks import shared

__all__ = ("Client", "Line")

_Lost = RedisConnectionError | RedisTimeoutError
#: What is in the error of a script that tried to write to a replica; before Redis 7 its code is another.
_READ_ONLY = "-READONLY "


class Line:
    """A connection that is opened when it is needed, and again when it was lost.

    `patience`: seconds of silence after which it counts as lost while somebody waits. `pauses`: seconds
    before each repetition of what got lost with it, which therefore must be safe to repeat.
    """

    def __init__(self, pool: ConnectionPool, patience: float, pauses: Sequence[float] = ()) -> None:
        self._pool = pool
        self._patience = patience
        self._pauses = pauses
        self._open: _Open | None = None
        self._opening: asyncio.Task[_Open] | None = None

    async def ask(self, packed: bytes, count: int) -> list[Any]:
        """Send so many commands in one piece, and return their replies; a failed one has its error there.

        Raises redis-py's ConnectionError or TimeoutError. A caller that is cancelled harms no other.
        """
        pauses = iter(self._pauses)
        while True:
            connection = self._open
            try:
                if connection is None or not connection.usable:
                    connection = await self._opened()
                return await connection.ask(packed, count)
            except asyncio.CancelledError:
                if connection is not None:
                    connection.leave()
                raise
            except (RedisConnectionError, RedisTimeoutError):
                if (pause := next(pauses, None)) is None:
                    raise
            await asyncio.sleep(pause)

    async def aclose(self) -> None:
        """Close the connection; who waits for it or for a reply gets a ConnectionError."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._open is not None:
            self._open.lose(RedisConnectionError("closed"))
            await self._open.closed

    async def _opened(self) -> "_Open":
        if (opening := self._opening) is None:
            opening = self._opening = shared(self._connect())
        # Not awaited itself: who gives up must not take the others' attempt with it.
        await asyncio.wait([opening])
        if opening.cancelled():
            raise RedisConnectionError("closed")
        return opening.result()

    async def _connect(self) -> "_Open":
        # redis-py leaves these untyped.
        connection: Any = cast(Any, self._pool).make_connection()
        try:
            await connection.connect()
            self._open = _Open(connection, self._patience)
            return self._open
        except BaseException:
            connection._close()
            raise
        finally:
            self._opening = None


class _Open(asyncio.Protocol):
    """An open connection, and who waits for its replies."""

    def __init__(self, connection: Any, patience: float) -> None:
        # Kept: its writer would close the socket when it is collected.
        self._connection = connection
        self._transport = cast(asyncio.Transport, connection._writer.transport)
        self._read: Any = connection._parser._reader
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        #: Who waits for how many replies, in the order in which they asked.
        self._asked: deque[tuple[asyncio.Future[list[Any]], int]] = deque()
        #: Replies for the first of them.
        self._replies: list[Any] = []
        #: When anything arrived, or was asked for while nothing was awaited.
        self._heard = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._lost = False
        self.closed: asyncio.Future[None] = self._loop.create_future()
        if self._transport.is_closing():
            # That was told to redis-py, and would not be told again.
            raise RedisConnectionError("the connection was lost before it was used")
        self._transport.set_protocol(self)
        if rest := bytes(connection._reader._buffer):
            self.data_received(rest)

    @property
    def usable(self) -> bool:
        return not (self._lost or self._transport.is_closing())

    def ask(self, packed: bytes, count: int) -> "asyncio.Future[list[Any]]":
        """Send commands; the future gets their replies. Raises ConnectionError when it was lost meanwhile."""
        if not self.usable:
            # Nobody would ever tell of the replies.
            raise RedisConnectionError("the connection was lost before it was used")
        asked: asyncio.Future[list[Any]] = self._loop.create_future()
        if not self._asked:
            self._heard = self._loop.time()
            if self._watch is None:
                self._watch = self._loop.call_later(self._patience, self._look)
        self._asked.append((asked, count))
        self._transport.write(packed)
        return asked

    def leave(self) -> None:
        """Give up the connection if nobody waits for its next replies: they may be long in coming."""
        if self._asked and all(asked.done() for asked, _ in self._asked):
            self.lose(RedisConnectionError("nobody waits for the reply"))

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        read = self._read
        read.feed(data)
        while (reply := read.gets()) is not NOT_ENOUGH_DATA:
            if isinstance(reply, Exception):
                if isinstance(reply, ReadOnlyError) or _READ_ONLY in str(reply):
                    # It would go on asking a replica, while the name leads to another server by now.
                    reply = RedisConnectionError(str(reply))
                if isinstance(reply, (RedisConnectionError, RedisTimeoutError)):
                    self.lose(reply)
                    return
            elif isinstance(reply, PushNotification):
                continue
            if not self._asked:
                self.lose(RedisConnectionError("a reply that nobody asked for"))
                return
            self._replies.append(reply)
            asked, count = self._asked[0]
            if len(self._replies) == count:
                self._asked.popleft()
                if not asked.done():
                    asked.set_result(self._replies)
                self._replies = []

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose(RedisConnectionError(f"the connection was lost: {exc or 'closed by the server'}"))
        self.closed.set_result(None)

    def lose(self, error: _Lost) -> None:
        """Close the connection, and tell everyone who waits for a reply."""
        if self._lost:
            return
        self._lost = True
        self._transport.abort()
        self._connection._close()
        if self._watch is not None:
            self._watch.cancel()
        for asked, _ in self._asked:
            if not asked.done():
                # One each: who raises an error adds to it.
                asked.set_exception(type(error)(*error.args))
                # Looked at: who is cancelled at this moment never does.
                asked.exception()
        self._asked.clear()

    def _look(self) -> None:
        """Lose a connection that is silent while somebody waits: one timer for all commands."""
        self._watch = None
        if self._asked:
            left = self._heard + self._patience - self._loop.time()
            if left > 0:
                self._watch = self._loop.call_later(left, self._look)
            else:
                self.lose(RedisTimeoutError(f"no reply within {self._patience:.0f} s"))


class Client(Redis):
    """redis-py's client, whose commands go over one line; its pool only serves pipelines."""

    line: Line

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command and return what redis-py makes of its reply."""
        packed = b"".join(HiredisRespSerializer().pack(*args))
        [reply] = await self.line.ask(packed, 1)
        return await self.parse_response(cast(Any, _Reply(reply)), args[0], **options)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close every connection."""
        await self.line.aclose()
        await super().aclose(close_connection_pool)


class _Reply:
    """What `parse_response` reads a reply from."""

    def __init__(self, reply: Any) -> None:
        self._reply = reply

    async def read_response(self, **_: object) -> Any:
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply
