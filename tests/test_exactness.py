"""The promise, end to end: cut anywhere and resumed, an answer arrives exact and once."""

import asyncio
import random
from collections import Counter

import pytest

from tests.conftest import Report, Stage
from tests.support.client import Person, person
from tests.support.script import KINDS, Script
from tests.support.sse import Answer

ANSWERS = 200
AT_ONCE = 20


async def one_answer(reader: Person, number: int, seed: int) -> tuple[Script, Answer, dict[str, object], int]:
    """Follow one random answer while its connection is cut at random bytes."""
    rng = random.Random(seed * 1000 + number)
    kinds = sorted(KINDS)
    script = Script(
        n=rng.randint(1, 150),
        rate=rng.choice((0, 100, 400, 1000)),
        seed=rng.randint(0, 10**6),
        kind=kinds[number % len(kinds)],
    )
    begun = await reader.begin(script.prompt)
    cuts = [rng.randint(0, 1500) for _ in range(rng.randint(0, 8))]
    answer = await reader.follow(begun, cuts=cuts)
    return script, answer, await reader.message(begun), answer.connections - 1


@pytest.mark.timeout(240)
async def test_random_answers_cut_at_random_bytes(stage: Stage, report: Report) -> None:
    seed = random.SystemRandom().randint(0, 10**6)
    totals: Counter[str] = Counter()
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(reader: Person, number: int) -> None:
        async with gate:
            script, answer, message, cuts = await one_answer(reader, number, seed)
        where = f"answer {number} of seed {seed}: {script.prompt}"
        assert message["text"] == script.text, where
        assert answer.text == script.text, where
        assert not answer.duplicates, where
        assert not answer.resets, where
        assert answer.end is not None, where
        assert answer.end["status"] == message["status"] == "completed", where
        assert answer.ids[-1] == message["last_event_id"], where
        totals.update(answers=1, cuts=cuts, events=len(answer.events), characters=len(script.text))

    async with person(stage.url) as reader:
        await reader.begin("n=1")
        async with asyncio.TaskGroup() as group:
            for number in range(ANSWERS):
                group.create_task(run(reader, number))
    assert totals["answers"] == ANSWERS
    assert totals["cuts"] > ANSWERS
    report.add(
        f"exactness: {totals['answers']} answers, {totals['cuts']} cut connections, "
        f"{totals['events']} events, {totals['characters']} characters: 0 lost, 0 doubled (seed {seed})"
    )


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_cut_at_every_byte(stage: Stage, ann: Person, kind: str) -> None:
    """One short finished answer, read once for every byte at which its stream can break."""
    script = Script(n=12, kind=kind, seed=5)
    begun = await ann.begin(script.prompt)
    whole = await ann.follow(begun)
    async with ann.stream(begun.events) as stream:
        size = len(b"".join([piece async for piece in stream.body()]))
    gate = asyncio.Semaphore(AT_ONCE)

    async def cut(at: int) -> None:
        async with gate:
            answer = await ann.follow(begun, cuts=[at])
        assert answer.text == script.text == whole.text, f"cut at byte {at}"
        assert not answer.duplicates

    async with asyncio.TaskGroup() as group:
        for at in range(0, size, 1 if size < 2000 else 7):
            group.create_task(cut(at))


async def test_a_running_answer_cut_again_and_again(ann: Person) -> None:
    """Every few bytes the connection breaks, faster than the answer comes."""
    script = Script(n=120, rate=200, kind="emoji", seed=9)
    begun = await ann.begin(script.prompt)
    answer = await ann.follow(begun, cuts=[60] * 40, retries=60)
    assert answer.text == script.text
    assert not answer.duplicates
    assert answer.connections > 20
