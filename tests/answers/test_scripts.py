"""The scripts on a real Redis: who may write, and what a repetition does."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from chatapp.answers.log import read_log
from chatapp.models import Cursor, Entry, EntryType, Outcome, Status
from chatapp.storage import keys
from chatapp.storage.appends import Append, Batch, verdicts
from chatapp.storage.connections import Connections
from chatapp.storage.messages import read_saved
from chatapp.storage.scripts import (
    BEAT,
    BEGIN,
    CLAIM,
    DIGEST,
    END,
    RELEASE,
    STOP,
    Call,
    Script,
    chat_keys,
    run,
)

CHAT, QUESTION, ANSWER = "c" * 32, "d" * 32, "a" * 32
OWNER = "0" * 32
HEAD = b'{"id":"%s","parent_id":null,"role":"assistant","model":"m","created_at":"2026-01-01T00:00:00Z"}'
COMPLETED = msgspec.json.encode(Outcome(status=Status.COMPLETED, finish_reason="stop"))
STOPPED = msgspec.json.encode(Outcome(status=Status.STOPPED))
INTERRUPTED = msgspec.json.encode(Outcome(status=Status.INTERRUPTED))


class Desk:
    """One answer and the calls on it, with short names."""

    def __init__(self, connections: Connections) -> None:
        self.redis = connections.commands

    async def call(self, script: Script, *arguments: str | bytes | int) -> list[Any]:
        return await run(self.redis, Call(script, chat_keys(CHAT, ANSWER), *arguments))

    async def begin(
        self, request: str = "r1", *, head: str = "", create: int = 1, print_: str = "f"
    ) -> list[Any]:
        head_json = HEAD % ANSWER.encode()
        now = "2026-01-01T00:00:00+00:00"
        return await self.call(
            BEGIN, OWNER, request, print_, create, head, QUESTION, HEAD % b"q", "?", ANSWER, head_json, now,
            *(("title", "title", "model", "m", "system", "") if create else ()),
        )  # fmt: skip

    async def claim(
        self, nonce: str, *, lease_ms: int = 10_000, attempts: int = 3, calls: int = 99
    ) -> list[Any]:
        return await self.call(CLAIM, ANSWER, nonce, lease_ms, attempts, INTERRUPTED, 600, calls)

    async def append(self, nonce: str, seq: int, text: str = "x", *place: str) -> list[Any]:
        return await self.add(nonce, seq, EntryType.DELTA, text, *place)

    async def add(self, nonce: str, seq: int, kind: EntryType, text: str, *place: str) -> list[Any]:
        batch = Batch([Append(chat_keys(CHAT, ANSWER)[:2], nonce, seq, kind, text.encode(), *place)])
        [verdict] = verdicts(batch, await run(self.redis, batch))
        if isinstance(verdict, Exception):
            raise verdict
        return [verdict[0], *(detail for detail in verdict[1:] if detail != b"")]

    async def end(self, fence: int, nonce: str, seq: int, text: str = "") -> list[Any]:
        return await self.call(END, ANSWER, fence, nonce, seq, COMPLETED, Status.COMPLETED, 600, text)

    async def beat(self, fence: int, nonce: str, last: int) -> list[Any]:
        return await self.call(BEAT, ANSWER, fence, nonce, last, 10_000)

    async def stop(self, owner: str = OWNER) -> list[Any]:
        return await self.call(STOP, owner, ANSWER, STOPPED, 600)

    async def log(self) -> list[Entry]:
        return [entry async for batch in read_log(self.redis, CHAT, ANSWER) for entry in batch]


@pytest.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    async with Connections(redis_url) as connections:
        yield Desk(connections)


async def claimed(desk: Desk) -> tuple[int, int]:
    await desk.begin()
    verdict, fence, seq = await desk.claim("n1")
    assert verdict == "OK"
    return int(fence), int(seq)


async def test_begin_makes_all_or_nothing(desk: Desk) -> None:
    assert (await desk.begin())[0] == "OK"
    assert (await desk.begin("r1"))[:1] == ["DUP"]
    assert await desk.begin("r2") == ["BUSY", ANSWER.encode()]
    assert await desk.begin("r1", print_="other") == ["MISMATCH"]
    assert [entry.type for entry in await desk.log()] == [EntryType.OPEN]


async def test_begin_in_a_chat_that_is_not_there_or_not_ours(desk: Desk) -> None:
    assert await desk.begin(create=0) == ["GONE"]
    await desk.redis.hset(keys.chat(CHAT), "owner", "somebody else")
    assert await desk.begin() == ["GONE"]
    assert await desk.log() == []


async def test_begin_below_a_head_that_moved(desk: Desk) -> None:
    await desk.begin()
    await desk.stop()
    assert await desk.begin("r2", head="other") == ["STALE", ANSWER.encode()]


async def test_one_claim_wins_and_a_repeated_one_is_the_same(desk: Desk) -> None:
    fence, seq = await claimed(desk)
    verdict, left = await desk.claim("n2")
    assert verdict == "HELD"
    assert 0 < left <= 10_000
    again, same_fence, same_seq = await desk.claim("n1")
    assert (again, int(same_fence), int(same_seq)) == ("OK", fence, seq)


async def test_append_repeats_gaps_and_fences(desk: Desk) -> None:
    fence, seq = await claimed(desk)
    assert await desk.append("n1", seq + 1) == ["OK"]
    assert await desk.append("n1", seq + 1) == ["DUP"]
    assert await desk.append("n1", seq + 3) == ["GAP", seq + 2]
    assert await desk.append("other nonce", seq + 2) == ["FENCED"]
    assert [str(entry.cursor) for entry in await desk.log()][-1] == f"{fence}-{seq + 1}"


async def test_takeover_fences_the_first_owner(desk: Desk) -> None:
    await desk.begin()
    _, first, seq = await desk.claim("n1", lease_ms=1)
    await desk.append("n1", int(seq) + 1, "a")
    async with asyncio.timeout(5):
        while (reply := await desk.claim("n2"))[0] == "HELD":
            pass
    verdict, second, at = reply
    assert (verdict, int(second) > int(first), int(at)) == ("OK", True, int(seq) + 2)
    assert await desk.append("n1", int(seq) + 2, "b") == ["FENCED"]
    assert await desk.beat(int(first), "n1", int(seq) + 1) == ["FENCED"]
    assert await desk.append("n2", int(at) + 1, "c") == ["OK"]
    fences = [entry.cursor.fence for entry in await desk.log()]
    assert fences == sorted(fences)


async def test_an_entry_that_raises_the_fence_names_the_one_before_it(desk: Desk) -> None:
    await desk.begin()
    for number in range(3):
        fence, seq = map(int, (await desk.claim(f"n{number}"))[1:])
        if number:
            await desk.append(f"n{number}", seq + 1)
        assert await desk.call(RELEASE, ANSWER, fence, f"n{number}", 1) == ["OK"]
    await desk.stop()
    log = await desk.log()
    assert [entry.type for entry in log] == ["o", "c", "c", "d", "c", "d", "e"]
    pairs = list(pairwise(log))
    assert [entry.before for _, entry in pairs] == [
        last.cursor if entry.cursor.fence > last.cursor.fence else None for last, entry in pairs
    ]
    assert log[-1].before == log[-2].cursor


async def test_given_up_at_a_claim_the_end_names_the_entry_before_it(desk: Desk) -> None:
    await desk.begin()
    assert await attempt(desk, "n1")
    assert (await desk.claim("n2", attempts=1))[0] == "CLOSED"
    log = await desk.log()
    assert log[-1].before == log[-2].cursor
    assert log[-1].cursor.fence > log[-2].cursor.fence


async def test_the_end_saves_the_message_and_frees_the_chat(desk: Desk) -> None:
    fence, seq = await claimed(desk)
    await desk.append("n1", seq + 1, "Grüße ")
    await desk.append("n1", seq + 2, "🦉")
    assert await desk.end(fence, "n1", seq + 3, "Grüße 🦉") == ["OK"]
    assert await desk.end(fence, "n1", seq + 3, "Grüße 🦉") == ["DUP"]
    saved = await read_saved(desk.redis, CHAT, ANSWER)
    assert saved is not None
    assert (saved.text, saved.last) == ("Grüße 🦉", (Cursor(fence, seq + 2), Cursor(fence, seq + 3)))
    assert await desk.append("n1", seq + 4) == ["CLOSED"]
    assert await desk.stop() == ["CLOSED", b"completed"]
    assert 0 < await desk.redis.ttl(keys.log(CHAT, ANSWER)) <= 600
    assert (await desk.begin("r2", head=ANSWER))[0] == "OK"


async def test_a_claim_learns_how_long_ago_the_end_was(desk: Desk) -> None:
    fence, seq = await claimed(desk)
    await desk.end(fence, "n1", seq + 1)
    await asyncio.sleep(0.06)
    verdict, state, age = await desk.claim("n2")
    assert (verdict, state) == ("CLOSED", b"completed")
    assert 50 <= age < 5000
    # As an older version left it.
    await desk.redis.hset(keys.generation(CHAT), "lease", 0)
    assert (await desk.claim("n2"))[2] > 1_000_000_000_000


async def test_an_answer_that_ended_before_it_began_took_no_time(desk: Desk) -> None:
    """Redis' clock may jump back."""
    fence, seq = await claimed(desk)
    await desk.redis.hset(keys.messages(CHAT), f"{ANSWER}:times", "99999999999999")
    assert await desk.end(fence, "n1", seq + 1) == ["OK"]
    saved = await read_saved(desk.redis, CHAT, ANSWER)
    assert saved is not None
    assert saved.seconds == 0


async def test_a_wrong_text_at_the_end_is_replaced_by_the_log(desk: Desk) -> None:
    fence, seq = await claimed(desk)
    await desk.append("n1", seq + 1, "abc")
    await desk.end(fence, "n1", seq + 2, "abcd")
    saved = await read_saved(desk.redis, CHAT, ANSWER)
    assert saved is not None
    assert saved.text == "abc"


async def test_stop_keeps_the_text_and_closes_the_owner_out(desk: Desk) -> None:
    fence, seq = await claimed(desk)
    await desk.append("n1", seq + 1, "seen")
    assert await desk.stop("somebody else") == ["GONE"]
    assert (await desk.stop())[0] == "OK"
    assert (await desk.stop())[0] == "CLOSED"
    assert (await desk.append("n1", seq + 2, "late"))[0] == "CLOSED"
    assert (await desk.end(fence, "n1", seq + 2, "seen"))[0] == "CLOSED"
    saved = await read_saved(desk.redis, CHAT, ANSWER)
    assert saved is not None
    assert (saved.text, saved.outcome and saved.outcome.status) == ("seen", Status.STOPPED)
    assert saved.last == tuple(entry.cursor for entry in (await desk.log())[-2:])
    assert [entry.type for entry in await desk.log()].count(EntryType.END) == 1


async def test_the_digest_is_saved_only_with_the_outcome_it_belongs_to(desk: Desk) -> None:
    fence, seq = await claimed(desk)
    digested = msgspec.json.encode(Outcome(status=Status.STOPPED, sha256="0" * 64))

    async def digest() -> list[Any]:
        return await run(desk.redis, Call(DIGEST, [keys.messages(CHAT)], ANSWER, STOPPED, digested))

    # The answer runs: Redis lost the stop.
    assert await digest() == ["STALE"]
    saved = await read_saved(desk.redis, CHAT, ANSWER)
    assert saved is not None
    assert saved.outcome is None
    await desk.end(fence, "n1", seq + 1)
    assert await digest() == ["STALE"]
    saved = await read_saved(desk.redis, CHAT, ANSWER)
    assert saved is not None
    assert saved.raw_outcome == COMPLETED
    await desk.begin("r2", head=ANSWER)
    await desk.stop()
    assert await digest() == ["OK"]
    saved = await read_saved(desk.redis, CHAT, ANSWER)
    assert saved is not None
    assert saved.raw_outcome == digested


async def test_release_lets_another_go_on_at_once(desk: Desk) -> None:
    fence, seq = await claimed(desk)
    assert await desk.call(RELEASE, ANSWER, fence, "other") == ["FENCED"]
    assert await desk.call(RELEASE, ANSWER, fence, "n1") == ["OK"]
    assert (await desk.claim("n2"))[0] == "OK"
    assert await desk.append("n1", seq + 1) == ["FENCED"]


async def test_attempts_without_progress_run_out(desk: Desk) -> None:
    await desk.begin()
    for number in range(3):
        async with asyncio.timeout(5):
            while (reply := await desk.claim(f"n{number}", lease_ms=1))[0] == "HELD":
                pass
        assert reply[0] == "OK"
    async with asyncio.timeout(5):
        while (reply := await desk.claim("n9"))[0] == "HELD":
            pass
    assert reply == ["CLOSED", b"interrupted", 0]
    assert (await desk.log())[-1].type == EntryType.END


async def test_progress_starts_the_count_anew(desk: Desk) -> None:
    await desk.begin()
    for number in range(10):
        async with asyncio.timeout(5):
            while (reply := await desk.claim(f"n{number}", lease_ms=1))[0] == "HELD":
                pass
        verdict, _fence, seq = reply
        assert verdict == "OK"
        await desk.append(f"n{number}", int(seq) + 1)


async def attempt(desk: Desk, nonce: str, *, counted: bool = True, **options: int) -> tuple[int, int] | None:
    """Claim and give back at once, as after a failure or at a deploy."""
    reply = await desk.claim(nonce, **options)
    if reply[0] != "OK":
        return None
    fence, seq = int(reply[1]), int(reply[2])
    assert await desk.call(RELEASE, ANSWER, fence, nonce, int(counted)) == ["OK"]
    return fence, seq


async def test_a_reset_is_no_progress(desk: Desk) -> None:
    await desk.begin()
    fence, seq = map(int, (await desk.claim("n0"))[1:])
    assert await desk.append("n0", seq + 1, "four") == ["OK"]
    assert await desk.call(RELEASE, ANSWER, fence, "n0", 1) == ["OK"]
    for number in range(1, 4):
        reply = await desk.claim(f"n{number}")
        assert reply[0] == "OK"
        fence, seq = int(reply[1]), int(reply[2])
        assert await desk.add(f"n{number}", seq + 1, EntryType.RESET, "") == ["OK"]
        # As far as the first, and no further.
        assert await desk.append(f"n{number}", seq + 2, "four") == ["OK"]
        assert await desk.call(RELEASE, ANSWER, fence, f"n{number}", 1) == ["OK"]
    assert (await desk.claim("n9"))[0] == "CLOSED"


async def test_a_deploy_uses_up_nothing(desk: Desk) -> None:
    await desk.begin()
    for number in range(10):
        assert await attempt(desk, f"n{number}", counted=False, calls=4)
    for number in range(3):
        assert await attempt(desk, f"m{number}", calls=4)
    assert await attempt(desk, "m9", calls=4) is None


async def test_calls_are_bounded_unless_the_providers_stream_is_opened_again(desk: Desk) -> None:
    await desk.begin()
    for number in range(4):
        fence, seq = map(int, (await desk.claim(f"n{number}", calls=4))[1:])
        assert await desk.append(f"n{number}", seq + 1) == ["OK"]
        assert await desk.call(RELEASE, ANSWER, fence, f"n{number}", 1) == ["OK"]
    assert (await desk.claim("n9", calls=4))[0] == "CLOSED"


async def test_the_place_in_the_providers_stream_comes_with_the_text(desk: Desk) -> None:
    await desk.begin()
    for number in range(6):
        fence, seq = map(int, (await desk.claim(f"n{number}", calls=4))[1:])
        assert await desk.append(f"n{number}", seq + 1, "x", f"resp_1 {number} {number + 1}") == ["OK"]
        assert await desk.redis.hget(keys.generation(CHAT), "up") == f"resp_1 {number} {number + 1}".encode()
        assert await desk.append(f"n{number}", seq + 2, "y") == ["OK"]
        # Without a place the one before stays.
        assert await desk.redis.hget(keys.generation(CHAT), "up") == f"resp_1 {number} {number + 1}".encode()
        assert await desk.call(RELEASE, ANSWER, fence, f"n{number}", 1) == ["OK"]


@pytest.mark.parametrize("script", ["end", "claim", "stop"])
async def test_a_log_that_vanished_is_not_made_anew(desk: Desk, script: str) -> None:
    await desk.begin()
    fence, seq = 0, 0
    if script != "claim":
        _, fence, seq = await desk.claim("n1")
    await desk.redis.delete(keys.log(CHAT, ANSWER))
    match script:
        case "end":
            assert await desk.append("n1", int(seq) + 1) == ["GONE"]
            reply = await desk.end(int(fence), "n1", int(seq) + 1)
        case "claim":
            reply = await desk.claim("n1")
        case _:
            reply = await desk.stop()
    assert reply == ["GONE"]
    assert not await desk.redis.exists(keys.log(CHAT, ANSWER))
    saved = await read_saved(desk.redis, CHAT, ANSWER)
    assert saved is not None
    assert saved.outcome is not None
    assert saved.outcome.status is Status.INTERRUPTED
    assert (await desk.begin("r2", head=ANSWER))[0] == "OK"


async def test_forgotten_scripts_are_sent_again(desk: Desk) -> None:
    _fence, seq = await claimed(desk)
    await desk.redis.script_flush()
    assert await desk.append("n1", seq + 1) == ["OK"]
