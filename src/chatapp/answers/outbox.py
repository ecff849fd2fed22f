"""What one generation has written, and how much of it Redis has confirmed.

Every entry stays in memory until the end is confirmed, because Redis may lose its last second and ask for it
again (`GAP`).
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection
from contextlib import suppress
from time import monotonic

import msgspec
from msgspec.structs import replace

from chatapp.answers.entries import Entries
from chatapp.answers.lease import BEAT_SECONDS, KEEP_LOG, LEASE, Lease
from chatapp.answers.thoughts import Thinking
from chatapp.errors import ProviderError
from chatapp.models import EntryType, Outcome, Reasoning
from chatapp.storage.appends import Append
from chatapp.storage.scripts import BEAT, END, Call, Reply

__all__ = ("Outbox", "storage_away")

#: Unconfirmed bytes at which a provider is no longer read: of one answer, and of all in the process.
_ROOM = 1 << 20
_SHARED_ROOM = 64 << 20
#: Seconds without room after which the provider is hung up on.
_AWAY = 120.0
#: Bytes of one flush: Redis must not be held up by a single answer.
_FLUSH_LIMIT = 1 << 20


def storage_away() -> ProviderError:
    """Return why a provider was hung up on that Redis kept waiting."""
    return ProviderError("storage_away", "The storage was away for too long.", retryable=True)


class Outbox:
    """What one generation has written, and how much of it Redis has confirmed."""

    def __init__(
        self,
        lease: Lease,
        text: str,
        due: Callable[["Outbox"], None],
        outboxes: Collection[object],
        reasoning: Reasoning | None = None,
    ) -> None:
        self.lease = lease
        self._due = due
        #: All outboxes of the process.
        self._outboxes = outboxes
        self._hot_keys = lease.keys[:2]
        self._begins = True
        self._gathered: list[str] = []
        self._thinking = Thinking(reasoning)
        self._entries = Entries(text)
        self._place: tuple[str, int] | None = None
        #: Bytes of the text that is in the log or in an entry.
        self._size = len(text.encode())
        self._confirmed = 0
        self._unconfirmed_bytes = 0
        self._outcome: Outcome | None = None
        self._renewed = monotonic()
        self._progress = asyncio.Event()
        #: Set when the end is confirmed, or when this worker does not own the answer any more.
        self.closed = asyncio.Event()
        #: Why it does not own it: the script's verdict.
        self.lost: str | None = None
        #: Which server it was before anything was written to it: see `storage.durability`.
        self.server = b""
        #: Set while somebody waits to hear whether Redis still has the end.
        self._checking: asyncio.Future[None] | None = None

    @property
    def started(self) -> bool:
        """Whether the answer has any text yet."""
        return bool(self._size or self._gathered)

    @property
    def begins(self) -> bool:
        """Whether the first that this worker has of the answer waits to be written."""
        return self._begins and bool(self._gathered or self._thinking.gathered)

    @property
    def size(self) -> int:
        """Bytes of text put in so far."""
        return self._size + sum(len(text.encode()) for text in self._gathered)

    @property
    def text(self) -> str:
        """All text that the log has or is to have; what has gathered since is not in it."""
        return self._entries.text().decode()

    @property
    def pending(self) -> bool:
        """Whether there is something that the next flush is to send."""
        return not self.closed.is_set() and self._confirmed < len(self._entries)

    def add(self, text: str, place: tuple[str, int] | None = None) -> None:
        """Put the next piece of text in, and the place in the provider's stream after it (id, number)."""
        self._gathered.append(text)
        self._unconfirmed_bytes += len(text)
        self._place = place
        self._due(self)

    def think(self, piece: str) -> None:
        """Put the next piece of reasoning in, which is no part of the text."""
        self._thinking.add(piece)
        self._unconfirmed_bytes += len(piece)
        self._due(self)

    def reset(self) -> None:
        """Begin anew: all text and reasoning so far is void."""
        self._entries.add(EntryType.RESET, b"", "")
        self._size = 0
        self._thinking.forget()
        self._due(self)

    def note(self, place: tuple[str, int]) -> None:
        """Note the place in the provider's stream before the first text."""
        self._place = place
        # With the next renewal, which is now.
        self._renewed -= BEAT_SECONDS
        self._due(self)

    def finish(self, outcome: Outcome) -> None:
        """Put the end in; `closed` tells when it is written."""
        self._outcome = outcome
        self._due(self)

    async def parted(self) -> None:
        """Wait until the answer is closed, or Redis was away for so long that its provider is not kept."""
        while not self.closed.is_set() and (left := self._renewed + LEASE + _AWAY - monotonic()) > 0:
            # Not by `wait_for`: that is one more task for every answer.
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self.closed.wait()

    async def room(self) -> None:
        """Wait while Redis is so far behind that reading the provider further makes no sense.

        Raises ProviderError when that takes too long for the provider to be kept waiting.
        """
        try:
            async with asyncio.timeout(_AWAY):
                while self.full:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            raise storage_away() from None

    @property
    def full(self) -> bool:
        """Whether too much waits, or so long that the lease may be somebody else's by now."""
        waiting = self._unconfirmed_bytes
        return (
            waiting > 0
            and (
                waiting > min(_ROOM, _SHARED_ROOM // len(self._outboxes))
                or monotonic() - self._renewed > LEASE
            )
            and not self.closed.is_set()
        )

    async def written(self) -> None:
        """Wait until everything put in so far is confirmed, or the answer is lost to this worker."""
        while not self.closed.is_set() and (
            self._gathered or self._thinking.gathered or self._confirmed < len(self._entries)
        ):
            self._progress.clear()
            await self._progress.wait()

    @property
    def ended(self) -> bool:
        """Whether the end is confirmed."""
        return self.closed.is_set() and self.lost is None

    async def check(self) -> None:
        """Ask Redis whether it still has the end; what it forgot is sent again."""
        self._checking = asyncio.get_running_loop().create_future()
        self._due(self)
        await self._checking

    def unsent(self) -> list[Append | Call]:
        """Return what is to be sent now: entries, oldest first, and perhaps a call after them."""
        if self.closed.is_set():
            return [self._beat_call()] if self._checking else []
        self._seal()
        lease = self.lease
        size = 0
        due: list[Append | Call] = []
        for number in range(self._confirmed, len(self._entries)):
            kind, data, place = self._entries.entry(number)
            seq = lease.cursor.seq + 1 + number
            if kind is EntryType.END:
                due.append(self._end_call(seq, data))
            else:
                due.append(Append(self._hot_keys, lease.nonce, seq, kind, data, place))
            size += len(data)
            if size > _FLUSH_LIMIT:
                break
        if monotonic() - self._renewed > BEAT_SECONDS:
            due.append(self._beat_call())
        return due

    def take(self, sent: Append | Call, reply: Reply) -> None:
        """Take in the answer to something that was sent."""
        if self.closed.is_set():
            self._take_checked(reply)
            return
        verdict = reply[0]
        if verdict == "GAP":
            self._rewind(int(reply[1]))
        elif verdict not in ("OK", "DUP"):
            self.lose(verdict)
        elif isinstance(sent, Call) and sent.script is BEAT:
            self._renewed = monotonic()
        else:
            # The oldest unconfirmed entry is in the log.
            self._confirmed += 1
            if isinstance(sent, Append):
                self._unconfirmed_bytes -= len(sent.data)
            else:
                self.closed.set()
        self._progress.set()

    def _take_checked(self, reply: Reply) -> None:
        if self._checking is None:
            return
        match reply:
            case ["GAP", seq]:
                self.closed.clear()
                self._rewind(int(seq))
            case ["FENCED" | "GONE" as verdict]:
                self.lost = verdict
        self._checking.set_result(None)
        self._checking = None

    def _beat_call(self) -> Call:
        lease = self.lease
        last = lease.cursor.seq + len(self._entries)
        identity = (lease.message_id, lease.cursor.fence, lease.nonce)
        # Once there are entries, they carry the place.
        place = [self._written_place()] if self._place and not self._entries else []
        return Call(BEAT, lease.keys, *identity, last, int(LEASE * 1000), *place)

    def _end_call(self, seq: int, data: bytes) -> Call:
        assert self._outcome is not None
        lease = self.lease
        identity = (lease.message_id, lease.cursor.fence, lease.nonce, seq)
        texts = (self._entries.text(), self._thinking.whole())
        return Call(END, lease.keys, *identity, data, self._outcome.status, KEEP_LOG, *texts)

    def _seal(self) -> None:
        """Turn what has gathered into entries that will never change again."""
        if self._thinking.gathered:
            self._begins = False
            self._unconfirmed_bytes -= sum(map(len, self._thinking.gathered))
            # They come before the text that gathered with them.
            for data in self._thinking.take():
                self._unconfirmed_bytes += len(data)
                self._entries.add(EntryType.REASONING, data)
        if self._gathered:
            self._begins = False
            text = "".join(self._gathered)
            self._gathered.clear()
            data = text.encode()
            # Count in bytes from here on, as `take` does.
            self._unconfirmed_bytes += len(data) - len(text)
            self._size += len(data)
            self._entries.add_text(data, self._written_place() if self._place else None)
        if self._outcome is not None and not self._entries.ended:
            self._outcome = replace(self._outcome, sha256=hashlib.sha256(self._entries.text()).hexdigest())
            self._entries.add(EntryType.END, msgspec.json.encode(self._outcome))

    def _written_place(self) -> str:
        """Write the place as the log's reader needs it: id, number, bytes of text up to there."""
        assert self._place is not None
        return f"{self._place[0]} {self._place[1]} {self._size}"

    def _rewind(self, seq: int) -> None:
        number = seq - self.lease.cursor.seq - 1
        if number < 0:
            self.lose("FENCED")
            return
        for again in range(number, self._confirmed):
            kind, data, _ = self._entries.entry(again)
            self._unconfirmed_bytes += 0 if kind is EntryType.END else len(data)
        self._confirmed = min(number, self._confirmed)

    def lose(self, verdict: str) -> None:
        """Leave the answer to whoever owns it now, or claims it next."""
        self.lost = verdict
        self.closed.set()
        self._progress.set()
