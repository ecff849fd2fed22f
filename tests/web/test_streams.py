"""The two streams of an answer: exactly what a reader misses, once, whatever it says it has."""

import asyncio
import json
import re
import time
import uuid
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis

from chatapp.rendering.document import render
from chatapp.web.bodies import part_name
from tests.conftest import Stage, environment
from tests.rendering.dom import Body, canonical
from tests.support.client import Begun, Person, person
from tests.support.markdown import apply_events
from tests.support.processes import ServerProcess
from tests.support.script import Script
from tests.support.sse import Answer, SSEEvent, read_answer

FORMATS = pytest.mark.parametrize("form", ["events", "html"])
ODD_IDS = {
    "empty": "",
    "zero": "0",
    "dollar": "$",
    "plus": "+",
    "minus": "-",
    "greater": ">",
    "open-end": "5-",
    "open-start": "-5",
    "star": "5-*",
    "three-parts": "1-1-1",
    "spaces": "1 - 1",
    "signed": "+1-1",
    "fraction": "1.5-1",
    "huge": "1" * 10_000,
    "non-ascii": "١-١",
    "latin": "é-1",
    "nul": "1-1\0",
    "header-injection": "1-1\r\nX: y",
    "event-injection": "1-1\n\nevent: done\ndata: x",
}
UNKNOWN_IDS = {
    "zero-zero": "0-0",
    "past": "1-1",
    "future": "99999999999999-5",
    "twenty-digits": "18446744073709551616-99999999999999999999",
    "beyond-64-bit": "99999999999999999999-0",
}

CASES = [(0, name, value) for name, value in ODD_IDS.items()]
CASES += [(1, name, value) for name, value in UNKNOWN_IDS.items()]
#: No HTTP header can carry a control character: these come by the address alone.
PLACED_CASES = [
    pytest.param(where, resets, value, id=f"{name}-in-the-{where}")
    for where in ("address", "header")
    for resets, name, value in CASES
    if where == "address" or value.isprintable()
]


async def events(ann: Person, url: str, headers: dict[str, str] | None = None) -> list[SSEEvent]:
    async with ann.stream(url, headers, timeout=20) as stream:
        assert stream.status == 200
        found = [event async for event in stream]
        assert stream.complete
    return found


async def kinds(ann: Person, url: str, headers: dict[str, str] | None = None) -> list[str]:
    return [event.event for event in await events(ann, url, headers)]


def html_body(events: list[SSEEvent], begun: Begun) -> str:
    """An answer's body after these events, as htmx would swap them in."""
    return apply_events(Body(), events, begun.message_id).html


def log_of(stage: Stage, begun: Begun) -> list[tuple[str, str]]:
    """The answer's log as it is in Redis: id and text of each entry."""
    with Redis.from_url(stage.redis.url, decode_responses=True) as redis:
        entries: Any = redis.xrange(f"chat:{{{begun.chat_id}}}:log:{begun.message_id}")
    return [(entry_id, fields["d"] if fields["t"] == "d" else "") for entry_id, fields in entries]


def in_pieces(script: Script) -> str:
    """A prompt whose answer waits after every chunk."""
    waits = ",".join(f"stall@{number}" for number in range(1, script.n))
    return f"{script.prompt} fault={waits} {uuid.uuid4().hex}"


async def said(stage: Stage, begun: Begun, prompt: str) -> None:
    """Let such an answer be said to its end: each chunk is in the log before the next one comes."""
    chunks = Script.parse(prompt).chunks()
    for number in range(1, len(chunks)):
        await stage.sent(prompt, number)
        async with asyncio.timeout(10):
            while "".join(text for _, text in log_of(stage, begun)) != "".join(chunks[:number]):
                await asyncio.sleep(0.005)
        stage.step()
    await saved(stage, begun)


async def saved(stage: Stage, begun: Begun) -> None:
    """Wait for the end of an answer without becoming its viewer."""
    with Redis.from_url(stage.redis.url) as redis:
        async with asyncio.timeout(10):
            while not redis.hexists(f"chat:{{{begun.chat_id}}}:messages", f"{begun.message_id}:end"):
                await asyncio.sleep(0.01)


class TestWire:
    @FORMATS
    async def test_headers_and_first_bytes_before_the_first_token(
        self, stage: Stage, ann: Person, form: str
    ) -> None:
        begun = await ann.begin("n=3 fault=hold")
        async with ann.stream(getattr(begun, form), timeout=1) as stream:
            first = await anext(aiter(stream.body()))
        await ann.stop(begun)
        assert first.startswith(b"retry: 1000\n\n")
        assert stream.status == 200
        assert stream.headers["content-type"].partition(";")[0] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-length" not in stream.headers
        assert "content-encoding" not in stream.headers

    @FORMATS
    async def test_lines_end_in_lf_and_ids_rise(self, stage: Stage, ann: Person, form: str) -> None:
        begun = await ann.begin("n=300 rate=200 kind=hostile fault=hold")
        async with ann.stream(getattr(begun, form)) as stream:
            stage.provider.release()
            ids = [event.id async for event in stream if event.id is not None]
        order = [tuple(map(int, event_id.split("-"))) for event_id in ids]
        assert b"\r" not in stream.raw
        assert len(order) > 10
        assert order == sorted(set(order))

    @pytest.mark.parametrize("seed", range(3))
    async def test_text_cannot_break_out(self, ann: Person, seed: int) -> None:
        script = Script(n=200, kind="hostile", seed=seed)
        begun = await ann.begin(script.prompt)
        answer, page = await asyncio.gather(ann.follow(begun), events(ann, begun.html))
        assert answer.text == script.text == (await ann.message(begun))["text"]
        assert {event.event for event in answer.events} <= {"delta", "reset", "end"}
        assert [event.event for event in page] == ["message"] * (len(page) - 1) + ["done"]
        assert html_body(page, begun) == canonical(render(script.text, part_name(begun.message_id)))
        tags = Tags()
        tags.feed("".join(event.data for event in page[:-1]))
        assert not tags.names & {"script", "img", "template"}
        # Places inside of the body follow its name.
        places = {target and target.partition(">")[0] for target in tags.targets}
        assert {place for place in places if not re.fullmatch(r"#p[0-9a-f]{8}-\d+", place or "")} <= {
            f"#body-{begun.message_id[:8]}",
            f"#message-{begun.message_id}",
            f"#chat-link-{begun.chat_id}",
            "#composer-actions",
            "#live",
        }

    async def test_heartbeats_in_silence(self, stage: Stage, ann: Person) -> None:
        begun = await ann.begin("n=3 fault=hold")

        async def first_heartbeat(url: str) -> tuple[float, SSEEvent]:
            async with ann.stream(url) as stream:
                silent_since = time.monotonic()
                async for event in stream:
                    if event.event == "heartbeat":
                        return time.monotonic() - silent_since, event
                    silent_since = time.monotonic()
            raise AssertionError("the stream ended")

        beats = await asyncio.gather(*map(first_heartbeat, (begun.events, begun.html)))
        await ann.stop(begun)
        assert all(11.5 < seconds < 14 for seconds, _ in beats)
        assert [(event.id, event.data) for _, event in beats] == [(None, "{}")] * 2


class Tags(HTMLParser):
    """The elements that an HTML parser sees."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.targets: set[str | None] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        if tag == "hx-partial":
            self.targets.add(dict(attrs)["hx-target"])


class TestFromAnId:
    @pytest.mark.parametrize("seen", [True, False], ids=["in-memory", "from-redis"])
    async def test_exactly_what_comes_after_it(self, stage: Stage, ann: Person, seen: bool) -> None:
        prompt = in_pieces(Script(n=20, kind="emoji"))
        begun = await ann.begin(prompt)
        following = asyncio.create_task(ann.follow(begun)) if seen else None
        await said(stage, begun, prompt)
        if following is not None:
            await following
        message, log = await ann.message(begun), log_of(stage, begun)
        assert len(log) > 10
        for number, (event_id, _) in enumerate(log):
            in_header = number % 2
            headers = {"Last-Event-ID": event_id} if in_header else {}
            url, rest = begun.events + ("" if in_header else f"?after={event_id}"), Answer()
            for event in await events(ann, url, headers):
                rest.apply(event)
            assert "".join(text for _, text in log[: number + 1]) + rest.text == message["text"]
            assert (rest.resets, rest.end and rest.end["status"]) == (0, "completed")

    async def test_cuts_anywhere(self, ann: Person) -> None:
        script = Script(n=800, rate=1000, kind="hostile")
        begun = await ann.begin(script.prompt)
        cuts = [(number * 97) % 700 for number in range(25)]
        # So that all of them strike, in however few events it comes.
        assert sum(cuts) < len(script.text)
        answer = await ann.follow(begun, cuts=cuts)
        assert (answer.text, answer.resets, answer.connections > len(cuts)) == (script.text, 0, True)

    async def test_the_header_wins_over_the_address(self, ann: Person) -> None:
        begun = await ann.begin("n=20 rate=400")
        whole = await ann.follow(begun)
        first, last = (f"{begun.events}?after={event_id}" for event_id in (whole.ids[0], whole.ids[-1]))
        assert await kinds(ann, first, {"Last-Event-ID": whole.ids[-1]}) == ["end"]
        assert await kinds(ann, last, {"Last-Event-ID": "$"}) == ["end"]

    @pytest.mark.parametrize(("where", "resets", "event_id"), PLACED_CASES)
    async def test_an_id_that_is_not_of_this_log(
        self, stage: Stage, ann: Person, where: str, event_id: str, resets: int
    ) -> None:
        begun = await ann.begin("n=6 fault=stall@4")
        url, headers = f"{begun.events}?after={quote(event_id)}", {}
        if where == "header":
            url, headers = begun.events, {"Last-Event-ID": event_id.encode().decode("latin-1")}
        answer = Answer()
        async with ann.stream(url, headers, timeout=3) as stream:
            async for event in stream:
                answer.apply(event)
                stage.provider.release()
        assert answer.text == Script(n=6).text == (await ann.message(begun))["text"]
        assert answer.resets == resets
        assert "x" not in stream.headers

    async def test_an_id_of_another_message(self, stage: Stage, ann: Person) -> None:
        prompt = in_pieces(Script(n=5))
        other = await ann.begin(prompt)
        await said(stage, other, prompt)
        begun = await ann.begin("n=9 rate=400 seed=1")
        whole = await ann.follow(begun)
        log = log_of(stage, other)
        for event_id, _ in (log[4], log[-1]):
            answer = await read_answer(f"{begun.events}?after={event_id}", cookies=ann.cookies)
            assert (answer.text, answer.resets, answer.end) == (whole.text, 1, whole.end)


class TestAfterTheEnd:
    async def test_what_is_missing_then_the_end(self, stage: Stage, ann: Person) -> None:
        prompt = in_pieces(Script(n=6))
        begun = await ann.begin(prompt)
        await said(stage, begun, prompt)
        whole = await ann.follow(begun)
        ids = [event_id for event_id, text in log_of(stage, begun) if text]
        assert await kinds(ann, begun.events) == ["delta", "end"]
        assert await kinds(ann, f"{begun.events}?after={ids[3]}") == ["delta", "end"]
        assert await kinds(ann, f"{begun.events}?after={whole.ids[-1]}") == ["end"]
        assert await kinds(ann, f"{begun.html}?after={whole.ids[-1]}") == ["message", "done"]

    async def test_when_the_log_has_expired(self, stage: Stage, ann: Person) -> None:
        script = Script(n=20, kind="hostile")
        begun = await ann.begin(script.prompt)
        await saved(stage, begun)
        last_id = (await ann.message(begun))["last_event_id"]
        fence = last_id.partition("-")[0]
        with Redis.from_url(stage.redis.url) as redis:
            assert redis.delete(f"chat:{{{begun.chat_id}}}:log:{begun.message_id}")
        known = await events(ann, f"{begun.events}?after={last_id}")
        fresh = await events(ann, begun.events)
        inside = await events(ann, f"{begun.events}?after={fence}-1")
        again = await events(ann, begun.events)
        page = await events(ann, f"{begun.html}?after={fence}-1")
        assert [event.event for event in known] == ["end"]
        assert [event.event for event in fresh] == ["delta", "end"]
        assert [event.event for event in inside] == ["reset", "end"]
        assert [event.event for event in again] == ["delta", "end"]
        assert {json.loads(e[0].data)["text"] for e in (fresh, inside, again)} == {script.text}
        assert html_body(page, begun) == canonical(render(script.text, part_name(begun.message_id)))

    @FORMATS
    async def test_only_for_its_owner(self, ann: Person, form: str) -> None:
        begun = await ann.begin("n=1")
        async with person(ann.base) as bob, bob.stream(getattr(begun, form)) as stream:
            body = b"".join([piece async for piece in stream.body()])
        assert stream.status == 404
        assert b"retry" not in body


class TestViewers:
    async def test_one_that_hangs_up_stops_nothing(self, stage: Stage, ann: Person) -> None:
        script = Script(n=60, rate=200)
        begun = await ann.begin(script.prompt)
        async with ann.stream(begun.events, cut_after_bytes=150) as stream:
            _ = [event async for event in stream]
        await saved(stage, begun)
        message = await ann.message(begun)
        assert (message["status"], message["text"]) == ("completed", script.text)

    async def test_fifty_of_one_answer(self, ann: Person) -> None:
        script = Script(n=300, rate=400, kind="emoji")
        begun = await ann.begin(script.prompt)
        answers = await asyncio.gather(*[ann.follow(begun) for _ in range(50)])
        assert {answer.text for answer in answers} == {script.text}

    async def test_of_an_answer_that_nobody_has_begun(self, stage: Stage) -> None:
        # Another database, so that the shared server does not take the work.
        env = environment(stage.redis.url.replace("/0", "/1"), stage.provider.base_url)
        env |= {"CHATAPP_WORKERS": "external"}
        async with ServerProcess(env=env) as web, ServerProcess(["worker"], env) as worker:
            worker.kill()
            await web.wait_ready()
            async with person(web.url) as ann:
                begun = await ann.begin("n=20 rate=400")
                async with ann.stream(begun.events) as stream:
                    first = await anext(aiter(stream.body()))
                assert (await ann.message(begun))["status"] == "queued"
                following = asyncio.create_task(ann.follow(begun))
                worker.start()
                assert first == b"retry: 1000\n\n"
                assert (await following).text == Script(n=20).text
