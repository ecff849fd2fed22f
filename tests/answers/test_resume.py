"""An answer that broke off goes on as its provider can, and what was shown stays as it was."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.answers import generation
from chatapp.answers.families import by_address, by_owner
from chatapp.answers.lease import Lease
from chatapp.answers.provider import OpenAIProvider
from chatapp.answers.responses import ResponseStream
from chatapp.answers.resume import Resume, Seam, Strategy
from chatapp.answers.writer import Writer
from chatapp.errors import ProviderError
from chatapp.models import Cursor, Status
from chatapp.storage.appends import Append, Batch
from chatapp.storage.connections import Connections
from chatapp.storage.durability import Durability
from chatapp.storage.scripts import CLAIM, RELEASE, Call, run
from tests.answers.conftest import Asked, asked, ending, working
from tests.support.provider import ScriptedProvider
from tests.support.script import Script

PREFILL, RESTART, NONE = (("*", name) for name in ("prefill", "restart", "none"))
WELL = Script(n=40, seed=3, kind="markdown")


def types(log: list[Any]) -> str:
    return "".join(entry.type for entry in log)


def assert_beginning(text: str) -> None:
    """A part of the answer, up to where it broke; a reset may overtake what was sent before it."""
    assert text
    assert "".join(WELL.chunks()[:20]).startswith(text)


@pytest.mark.parametrize("fault", ["rst@20", "eof@20", "error@20", "badjson@20", "nofinish"])
async def test_prefill_continues_where_the_connection_broke(
    connections: Connections, provider: ScriptedProvider, fault: str
) -> None:
    async with working(connections, provider, PREFILL):
        answer = await asked(connections, f"{WELL.prompt} fault={fault} times=1")
        saved = await answer.ended()
    assert (saved.text, await answer.text()) == (WELL.text, WELL.text)
    assert saved.outcome is not None
    assert (saved.outcome.status, saved.outcome.finish_reason) == (Status.COMPLETED, "stop")
    first, second = provider.calls
    # A reset may overtake what was sent before it.
    assert second.prefix
    assert "".join(WELL.chunks()[: first.sent]).startswith(second.prefix)
    assert second.messages[:-1] == first.messages
    assert "x" not in types(await answer.log())


@pytest.mark.parametrize("after", [1, 20])
async def test_a_server_that_repeats_the_beginning_doubles_nothing(
    connections: Connections, provider: ScriptedProvider, after: int
) -> None:
    async with working(connections, provider, PREFILL):
        answer = await asked(connections, f"{WELL.prompt} fault=rst@{after},echo times=1")
        saved = await answer.ended()
    assert (saved.text, await answer.text()) == (WELL.text, WELL.text)
    assert len(provider.calls) == 2


async def test_a_server_that_refuses_to_continue_leaves_the_text(
    connections: Connections, provider: ScriptedProvider
) -> None:
    async with working(connections, provider, PREFILL):
        answer = await asked(connections, f"{WELL.prompt} fault=rst@20,noprefill times=1")
        saved = await answer.ended()
    assert_beginning(saved.text)
    assert ending(saved) == (Status.INTERRUPTED, "bad_request")
    assert len(provider.calls) == 2


async def test_restart_tells_readers_and_begins_anew(
    connections: Connections, provider: ScriptedProvider
) -> None:
    async with working(connections, provider, RESTART):
        answer = await asked(connections, f"{WELL.prompt} fault=rst@20 times=1")
        saved = await answer.ended()
    assert (saved.text, await answer.text()) == (WELL.text, WELL.text)
    log = types(await answer.log())
    assert log.count("x") == 1
    assert "cx" in log
    assert [call.prefix for call in provider.calls] == ["", ""]


@pytest.mark.parametrize("rule", [NONE, ("*", "server"), ("other", "prefill")])
async def test_otherwise_the_text_is_kept_and_nothing_asked(
    connections: Connections, provider: ScriptedProvider, rule: tuple[str, str]
) -> None:
    async with working(connections, provider, rule):
        answer = await asked(connections, f"{WELL.prompt} fault=rst@20 times=1")
        saved = await answer.ended()
    assert_beginning(saved.text)
    assert ending(saved) == (Status.INTERRUPTED, "upstream_reset")
    assert len(provider.calls) == 1


async def test_a_provider_that_breaks_again_and_again_is_called_four_times(
    connections: Connections, provider: ScriptedProvider
) -> None:
    async with working(connections, provider, PREFILL):
        answer = await asked(connections, f"{WELL.prompt} fault=rst@5")
        saved = await answer.ended()
    assert_beginning(saved.text)
    assert ending(saved) == (Status.INTERRUPTED, "upstream_reset")
    assert len(provider.calls) == 4


async def test_attempts_without_progress_are_three(
    connections: Connections, provider: ScriptedProvider
) -> None:
    async with working(connections, provider, RESTART):
        answer = await asked(connections, f"{WELL.prompt} fault=eof@5")
        saved = await answer.ended()
    assert ending(saved) == (Status.INTERRUPTED, "upstream_eof")
    # The first got further than nothing; none of the next three got further than that.
    assert len(provider.calls) == 4
    assert (await answer.generation())["tries"] == "3"


async def test_an_end_that_was_not_written_is_written_by_the_next(
    connections: Connections, provider: ScriptedProvider
) -> None:
    """The finish reason was on its way when the connection broke: nothing is left to say."""
    async with working(connections, provider, PREFILL):
        answer = await asked(connections, f"{WELL.prompt} fault=nofinish times=1")
        saved = await answer.ended()
    assert saved.text == WELL.text
    assert ending(saved) == (Status.COMPLETED, None)
    assert [call.sent for call in provider.calls] == [40, 0]


class TestBackground:
    """The Responses API: the answer goes on at the provider, and is read on from the last event kept."""

    @pytest.mark.parametrize(
        ("finish", "reason"), [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter")]
    )
    async def test_an_answer(
        self, connections: Connections, provider: ScriptedProvider, finish: str, reason: str
    ) -> None:
        async with working(connections, provider, api="responses"):
            answer = await asked(connections, f"{WELL.prompt} finish={finish}")
            saved = await answer.ended()
        assert saved.text == WELL.text
        assert saved.outcome is not None
        assert (saved.outcome.status, saved.outcome.finish_reason) == (Status.COMPLETED, reason)
        assert saved.outcome.usage is not None
        assert saved.outcome.usage.total_tokens == 43
        body = provider.calls[0].body
        assert (body["background"], body["store"], body["stream"]) == (True, True, True)

    @pytest.mark.parametrize("fault", ["rst@0", "rst@20", "eof@20", "eof@39"])
    async def test_a_broken_stream_is_opened_again(
        self, connections: Connections, provider: ScriptedProvider, fault: str
    ) -> None:
        async with working(connections, provider, api="responses"):
            answer = await asked(connections, f"{WELL.prompt} first=0.1 rate=400 fault={fault}")
            saved = await answer.ended()
        assert (saved.text, await answer.text()) == (WELL.text, WELL.text)
        assert len(provider.calls) == 1
        [(_, after)] = provider.reopened
        # Two events come before the first text; of those the first is enough.
        said = int(fault.partition("@")[2])
        assert after == 1 + said or (said == 0 and after == 0)

    async def test_one_that_is_gone_leaves_the_text(
        self, connections: Connections, provider: ScriptedProvider
    ) -> None:
        async with working(connections, provider, api="responses"):
            answer = await asked(connections, f"{WELL.prompt} rate=400 fault=rst@20,gone")
            saved = await answer.ended()
        assert_beginning(saved.text)
        assert ending(saved) == (Status.INTERRUPTED, "expired")

    async def test_one_that_is_gone_before_its_text_is_asked_again(
        self, connections: Connections, provider: ScriptedProvider
    ) -> None:
        async with working(connections, provider, api="responses"):
            answer = await asked(connections, f"{WELL.prompt} first=0.2 fault=rst@0,gone times=1")
            saved = await answer.ended()
        assert saved.text == WELL.text
        assert len(provider.calls) == 2

    async def test_an_error_in_the_stream(self, connections: Connections, provider: ScriptedProvider) -> None:
        async with working(connections, provider, ("*", "none"), api="responses"):
            answer = await asked(connections, f"{WELL.prompt} fault=error@20")
            saved = await answer.ended()
        assert ending(saved) == (Status.INTERRUPTED, "upstream_error")

    async def test_stop_ends_it_at_the_provider(
        self, connections: Connections, provider: ScriptedProvider
    ) -> None:
        async with working(connections, provider, api="responses"):
            answer = await asked(connections, f"{WELL.prompt} fault=stall@5")
            await provider.until(lambda: provider.calls and provider.calls[0].sent == 5)
            await asyncio.sleep(0.1)
            await answer.stop()
            await provider.until(lambda: provider.responses[0].cancelled, 3)
        assert (await answer.ended()).text == "".join(WELL.chunks()[:5])

    async def test_text_beyond_the_place_is_not_repeated(
        self, connections: Connections, provider: ScriptedProvider
    ) -> None:
        """The worker died between two entries of one large delta: the log is ahead of its place."""
        answer = Asked(connections)
        redis = connections.commands
        async with working(connections, provider, api="responses"):
            first = await asked(connections, WELL.prompt)
            await first.ended()
            # Another answer, half written, that stands in the same response.
            await answer.begin(WELL.prompt, announce=False)
            claim = (answer.message_id, "n", 10_000, 3, b"{}", 600)
            fence, seq = map(int, (await run(redis, Call(CLAIM, answer.keys, *claim)))[1:])
            one, two, three = WELL.chunks()[:3]
            place = f"{provider.responses[0].id} 3 {len((one + two).encode())}"
            for text, *up in ((one + two, place), (three[:1],)):
                seq += 1
                await run(redis, Batch([Append(answer.keys[:2], "n", seq, "d", text.encode(), *up)]))
            await run(redis, Call(RELEASE, answer.keys, answer.message_id, fence, "n", 1))
            await answer.announce()
            saved = await answer.ended()
        assert saved.text == WELL.text == await answer.text()
        assert provider.reopened == [(provider.responses[0].id, 3)]

    async def test_a_delta_of_many_entries_is_joined_exactly(
        self, connections: Connections, provider: ScriptedProvider
    ) -> None:
        script = Script.parse("n=9 seed=1 fault=big")
        async with working(connections, provider, api="responses"):
            answer = await asked(connections, f"{script.prompt},rst@6 rate=200")
            saved = await answer.ended()
        assert saved.text == script.text == await answer.text()


@pytest.mark.parametrize("written", ["", "two words", r"half a character: \ud83d"])
def test_an_id_that_cannot_be_kept_is_no_place(written: str) -> None:
    for response_id, place in (("resp_1", ("resp_1", 3)), (written, None)):
        stream = ResponseStream()
        event = (
            f'data: {{"type":"response.created","sequence_number":3,"response":{{"id":"{response_id}"}}}}\n'
        )
        assert stream.feed(event.encode()) == ""
        assert stream.place == place


async def test_only_the_last_entry_of_a_large_delta_has_a_place(connections: Connections) -> None:
    outbox = Writer(connections.writer, Durability(connections.disk)).open(
        Lease("c" * 32, "a" * 32, "n", Cursor(7, 1)), "before"
    )
    outbox.add("x" * 150_000, ("resp_1", 9))
    places = [sent.place for sent in outbox.unsent() if isinstance(sent, Append)]
    assert places == ["", "", "resp_1 9 150006"]


class TestSeam:
    @given(text=st.text(min_size=1, max_size=60), new=st.text(max_size=60), data=st.data())
    def test_a_repetition_is_dropped_however_it_is_cut(self, text: str, new: str, data: Any) -> None:
        whole = text + new
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
        pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        for certain in (False, True):
            seam = Seam(text, certain=certain)
            assert "".join(map(seam.feed, pieces)) + seam.flush() == new

    @given(text=st.text("ab", min_size=1, max_size=60), new=st.text("ab", max_size=15))
    def test_a_short_likeness_is_none(self, text: str, new: str) -> None:
        if not new.startswith(text):
            seam = Seam(text)
            assert "".join(map(seam.feed, new)) + seam.flush() == new

    def test_another_answer_is_refused(self) -> None:
        seam = Seam("The quick brown fox jumps")
        assert seam.feed("The quick brown fox ") == ""
        with pytest.raises(ProviderError, match="another answer"):
            seam.feed("sleeps")

    def test_what_a_stream_said_before_must_be_the_same(self) -> None:
        with pytest.raises(ProviderError):
            Seam("abc", certain=True).feed("abd")


async def strategy_of(rules: list[tuple[str, str]], address: str, model: str) -> Strategy:
    provider = OpenAIProvider(address, "k")
    try:
        return await Resume(rules, provider).strategy(model)
    finally:
        await provider.aclose()


class TestStrategy:
    @pytest.mark.parametrize(
        ("address", "model", "strategy"),
        [
            ("https://api.openai.com/v1", "gpt-5", Strategy.SERVER),
            ("https://api.deepseek.com", "deepseek-chat", Strategy.PREFILL),
            ("https://api.mistral.ai/v1", "mistral-large", Strategy.PREFILL),
            ("https://openrouter.ai/api/v1", "deepseek/deepseek-chat", Strategy.PREFILL),
            ("https://openrouter.ai/api/v1", "anthropic/claude-opus-4.6", Strategy.NONE),
        ],
    )
    async def test_by_address(self, address: str, model: str, strategy: Strategy) -> None:
        assert await strategy_of([], address, model) is strategy

    @pytest.mark.parametrize(
        ("owner", "strategy"),
        [("vllm", Strategy.PREFILL), ("llamacpp", Strategy.PREFILL), ("library", Strategy.NONE)],
    )
    async def test_by_who_the_server_says_it_is(self, owner: str, strategy: Strategy) -> None:
        async with ScriptedProvider(owned_by=owner) as provider:
            assert await strategy_of([], provider.base_url, "m") is strategy

    async def test_the_first_rule_that_fits(self) -> None:
        rules = [("gpt-*", "restart"), ("*", "auto")]
        address = "https://api.mistral.ai/v1"
        assert await strategy_of(rules, address, "gpt-5") is Strategy.RESTART
        assert await strategy_of(rules, address, "other") is Strategy.PREFILL

    async def test_vllm_is_told_to_continue(self, connections: Connections) -> None:
        async with ScriptedProvider(owned_by="vllm") as provider, working(connections, provider):
            answer = await asked(connections, f"{WELL.prompt} fault=rst@20 times=1")
            assert (await answer.ended()).text == WELL.text
            body = provider.calls[1].body
        assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)
        assert "continue_final_message" not in provider.calls[0].body

    def test_flags_of_the_last_message(self) -> None:
        deepseek = by_address("https://api.deepseek.com/v1")
        assert deepseek is not None
        assert (deepseek.message, deepseek.base_url) == ({"prefix": True}, "https://api.deepseek.com/beta")
        assert by_owner("VLLM").continues("any")


class TestLimits:
    async def test_of_text(
        self, connections: Connections, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(generation, "_MAX_TEXT", 100)
        async with working(connections, provider):
            answer = await asked(connections, "n=100000 seed=1 rate=1000")
            saved = await answer.ended()
            await asyncio.wait_for(provider.calls[0].client_gone.wait(), 2)
        assert saved.outcome is not None
        assert (saved.outcome.status, saved.outcome.finish_reason) == (Status.COMPLETED, "length")
        assert saved.text == Script(n=200, seed=1).text[:100]

    @pytest.mark.parametrize(("n", "status"), [(3, Status.COMPLETED), (0, Status.FAILED)])
    async def test_of_time(
        self,
        connections: Connections,
        provider: ScriptedProvider,
        monkeypatch: pytest.MonkeyPatch,
        n: int,
        status: Status,
    ) -> None:
        monkeypatch.setattr(generation, "_MAX_SECONDS", 0.5)
        async with working(connections, provider):
            answer = await asked(connections, f"n=9 seed=1 fault=stall@{n}")
            saved = await answer.ended()
            await asyncio.wait_for(provider.calls[0].client_gone.wait(), 2)
        assert saved.outcome is not None
        assert saved.outcome.status is status
        assert saved.text == "".join(Script(n=9, seed=1).chunks()[:n])
