"""What a model thinks before it answers: beside the answer, never a part of it."""

import hashlib
import json
import re
from typing import Any

import pytest
from redis import Redis

from chatapp.models import Reasoning
from chatapp.web.reasoning import reasoning_html, reasoning_label, reasoning_partials
from tests.conftest import Stage
from tests.rendering.dom import Body, canonical
from tests.support.client import Begun, Person
from tests.support.markdown import ops_of
from tests.support.script import Script
from tests.support.sse import Answer

#: Where the block's parts are, in the words of the test's own page.
PLACES = {
    "": "",
    " > details > div": " > :last-child > :last-child",
    " > details > summary": " > :last-child > :nth-last-child(2)",
}


def thoughts(count: int) -> str:
    return "".join(f"thought {number}. " for number in range(count))


def apply(block: Body, data: str, message_id: str) -> None:
    """Do to the block of reasoning what htmx would with an event."""

    def place(found: "re.Match[str]") -> str:
        return f'"#body-block{PLACES[found[1]]}"'

    block.apply(ops_of(re.sub(rf'"#reasoning-{message_id}([^"]*)"', place, data), "block"))


def on_page(html: str, message_id: str) -> str:
    found = re.search(
        rf'id="reasoning-{message_id}"[^>]*>(.*?)</div>\s*<div data-part="body"', html, re.DOTALL
    )
    assert found is not None
    return found[1]


async def log(stage: Stage, begun: Begun) -> list[tuple[str, str, str]]:
    with Redis.from_url(stage.redis.url, decode_responses=True) as redis:
        entries: Any = redis.xrange(f"chat:{{{begun.chat_id}}}:log:{begun.message_id}")
    return [(entry_id, fields["t"], fields["d"]) for entry_id, fields in entries]


async def test_it_is_no_part_of_the_answer(stage: Stage, ann: Person) -> None:
    script = Script.parse("n=20 rate=400 fault=reasoning@5")
    begun = await ann.begin(script.prompt)
    answer = await ann.follow(begun)
    message = await ann.message(begun)
    entries = await log(stage, begun)
    assert answer.text == message["text"] == script.text
    assert {event.event for event in answer.events} == {"delta", "end"}
    assert message["reasoning"]["text"] == thoughts(5)
    assert 0 <= message["reasoning"]["seconds"] < 5
    logged = [data.partition(" ") for _, kind, data in entries if kind == "r"]
    assert "".join(text for _, _, text in logged) == thoughts(5)
    assert [int(time) for time, _, _ in logged] == sorted(int(time) for time, _, _ in logged)
    outcome = json.loads(entries[-1][2])
    assert outcome["sha256"] == hashlib.sha256(script.text.encode()).hexdigest()
    with Redis.from_url(stage.redis.url, decode_responses=True) as redis:
        assert redis.hget(f"chat:{{{begun.chat_id}}}:generation", "bytes") == str(len(script.text.encode()))


async def test_the_page_that_grew_and_the_page_that_was_loaded(stage: Stage, ann: Person) -> None:
    begun = await ann.begin("n=20 rate=400 fault=reasoning@4,stall@0")
    block, labels = Body(), []
    async with ann.stream(begun.html, timeout=20) as stream:
        async for event in stream:
            apply(block, event.data, begun.message_id)
            labels += re.findall("<summary>(?:<span>)?(.*?)(?:</span>)?</summary>", block.html)
            if "thought 3" in block.html:
                page = (await ann.http.get(begun.page)).text
                if 'data-status="running"' in page and "Thinking" in block.html:
                    assert block.html == canonical(on_page(page, begun.message_id))
                stage.provider.release()
    after = (await ann.http.get(begun.page)).text
    assert labels[0] == "Thinking…"
    assert labels[-1].startswith("Thought for ")
    assert block.html == canonical(on_page(after, begun.message_id))
    assert thoughts(4) in block.html


async def test_from_every_position(stage: Stage, ann: Person) -> None:
    script = Script.parse("n=10 rate=100 fault=reasoning@6")
    begun = await ann.begin(script.prompt)
    whole = await ann.follow(begun)
    page = (await ann.http.get(begun.page)).text
    for number, (event_id, _, _) in enumerate(entries := await log(stage, begun)):
        before = [data.partition(" ") for _, kind, data in entries[: number + 1] if kind == "r"]
        text = [data for _, kind, data in entries[: number + 1] if kind == "d"]
        had = Reasoning("".join(t for _, _, t in before), int(before[-1][0]) / 1000) if before else None
        block = Body(reasoning_html(had, over=bool(text)))
        rest = Answer()
        async with ann.stream(f"{begun.html}?after={event_id}", timeout=20) as stream:
            async for event in stream:
                apply(block, event.data, begun.message_id)
        assert block.html == canonical(on_page(page, begun.message_id)), number
        async with ann.stream(f"{begun.events}?after={event_id}", timeout=20) as stream:
            async for event in stream:
                rest.apply(event)
        assert "".join(text) + rest.text == whole.text
        assert rest.resets == 0


@pytest.mark.parametrize("kept", [True, False], ids=["log", "saved"])
async def test_a_stopped_answer_keeps_it(stage: Stage, ann: Person, kept: bool) -> None:
    begun = await ann.begin("n=20 fault=reasoning@3,stall@0")
    async with ann.stream(begun.html, timeout=20) as stream:
        async for event in stream:
            if "thought 2" in event.data:
                break
    message = await ann.stop(begun)
    if not kept:
        with Redis.from_url(stage.redis.url) as redis:
            assert redis.delete(f"chat:{{{begun.chat_id}}}:log:{begun.message_id}")
    page = (await ann.http.get(begun.page)).text
    assert (message["status"], message["text"]) == ("stopped", "")
    assert message["reasoning"]["text"] == thoughts(3) == (await ann.message(begun))["reasoning"]["text"]
    assert thoughts(3) in on_page(page, begun.message_id)
    assert "Thinking" not in on_page(page, begun.message_id)
    stage.provider.release()


async def test_it_is_not_sent_to_the_model_again(stage: Stage, ann: Person) -> None:
    begun = await ann.begin("n=5 fault=reasoning@3")
    await ann.follow(begun)
    following = await ann.begin("n=5 seed=9", chat_id=begun.chat_id)
    await ann.follow(following)
    sent = json.dumps([call.body for call in stage.provider.calls if "seed=9" in json.dumps(call.body)])
    assert Script(n=5).text in sent
    assert "thought" not in sent


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "Thought for a moment"),
        (1.4, "Thought for 1 s"),
        (59.7, "Thought for 1 min"),
        (125, "Thought for 2 min 5 s"),
    ],
)
def test_the_label(seconds: float, words: str) -> None:
    assert reasoning_label(Reasoning("x", seconds), over=True) == words
    assert reasoning_label(Reasoning("x", seconds), over=False) == "Thinking…"


def test_it_is_text() -> None:
    hostile = "<script>alert(1)</script></div></details><hx-partial hx-target=body>"
    html = reasoning_html(Reasoning(hostile, 1), over=True)
    more = reasoning_partials("0", Reasoning("a", 1), Reasoning(f"a{hostile}", 1), was_over=False, over=False)
    assert html.count("<") == 6
    assert more.count("<") == 2
