"""Ask an OpenAI-compatible server.

The openai client makes the call (address, key, errors), once: who retries is the runner, so that no attempt
goes uncounted. The bytes of a stream are read by `upstream`, because the client's typed chunks cost several
times more than all other work on a token. What the server sends beside text (event names, unknown fields)
goes no further.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import openai
from msgspec import Struct

from chatapp.answers.client import AsyncOpenAI
from chatapp.answers.failures import RAISED, failure
from chatapp.answers.families import UNKNOWN, Family, by_address, by_owner
from chatapp.answers.options import Options
from chatapp.answers.responses import ResponseStream
from chatapp.answers.upstream import Upstream
from chatapp.answers.wire import CompletionStream, Place
from chatapp.errors import ProviderError

__all__ = ("OpenAIProvider", "Prompt", "Turn")

_CONNECT_TIMEOUT = 10.0
#: Seconds that asking a server who it is, or telling it to stop, may take.
_SIDE_TIMEOUT = 5.0


class Turn(Struct, frozen=True):
    """One message as the provider gets it."""

    role: str
    content: str


class Prompt(Struct, frozen=True):
    """What to ask; an empty model stands for the provider's first.

    `begun`: the answer's beginning, which is to be continued. None leaves a number to the provider.
    """

    model: str
    turns: Sequence[Turn]
    begun: str = ""
    temperature: float | None = None
    max_tokens: int | None = None


class OpenAIProvider:
    """The provider's address and key, and its connections."""

    def __init__(
        self,
        base_url: str | None,
        api_key: str | None,
        models: Sequence[str] = (),
        *,
        api: str = "auto",
        idle_timeout: float = 60,
    ) -> None:
        """`api`: "chat", "responses", or "auto"; `idle_timeout`: seconds without a byte that end a stream."""
        self._client = AsyncOpenAI(
            base_url=base_url,
            # Servers without keys (Ollama, vLLM) take any; the client insists on one.
            api_key=api_key or "none",
            timeout=httpx2.Timeout(idle_timeout, connect=_CONNECT_TIMEOUT),
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(),
        )
        self._key = api_key
        self._models = tuple(models)
        self._family = by_address(str(self._client.base_url))
        #: Whether answers go on at the provider by themselves, and their streams can be opened again.
        self.background = api == "responses" or (
            api == "auto" and self._family is not None and self._family.responses
        )
        # The client loads what these need at their first use: 30 ms in which nobody's stream goes on.
        _ = self._client.responses if self.background else self._client.chat.completions
        limit = "max_output_tokens" if self.background else "max_tokens"
        if not self.background and self._family is not None and self._family.responses:
            limit = "max_completion_tokens"
        self._options = Options(limit)

    async def family(self) -> Family:
        """Find out what kind of server this is; raise ProviderError when it does not answer."""
        if self._family is None:
            try:
                listed = await self._client.models.list(timeout=_SIDE_TIMEOUT)
                self._family = by_owner(listed.data[0].owned_by or "" if listed.data else "")
            except openai.APIStatusError:
                self._family = UNKNOWN
            except RAISED as error:
                raise failure(error, self._key) from error
        return self._family

    async def models(self) -> tuple[str, ...]:
        """Return the models that may be asked: the configured ones, else the provider's own list."""
        if not self._models:
            self._models = await self.listed()
        return self._models

    async def listed(self) -> tuple[str, ...]:
        """Return the provider's own list of models."""
        try:
            found = await self._client.models.list()
        except RAISED as error:
            raise failure(error, self._key) from error
        if not found.data:
            raise ProviderError(
                "no_model", "The provider lists no models: set OPENAI_MODEL.", retryable=False
            )
        return tuple(model.id for model in found.data)

    def stream(self, prompt: Prompt) -> Upstream:
        """Return the stream of an answer to this."""
        wire = ResponseStream() if self.background else CompletionStream()
        return Upstream(lambda: self._ask(prompt), wire, self._key)

    def reopen(self, place: Place) -> Upstream:
        """Return the stream of a background answer once more, from behind a place."""
        response_id, number = place
        path = f"/responses/{quote(response_id, safe='')}"
        params = {"stream": "true", "starting_after": str(number)}

        async def ask() -> httpx2.Response:
            response: httpx2.Response = await self._client.get(path, options={"params": params}, **_STREAMED)
            return response

        return Upstream(ask, ResponseStream(response_id), self._key)

    async def cancel(self, response_id: str) -> None:
        """Tell the provider that nobody wants this background answer any more, as well as may be."""
        with suppress(*RAISED):
            await self._client.responses.cancel(response_id, timeout=_SIDE_TIMEOUT)

    async def say(self, prompt: Prompt) -> str:
        """Return a short answer as a whole, which nobody keeps."""
        model = prompt.model or (await self.models())[0]
        turns: Any = [msgspec.to_builtins(turn) for turn in prompt.turns]
        while True:
            options = self._options.fields(model, None, prompt.max_tokens)
            try:
                if self.background:
                    # A model that thinks first would think no further than any limit.
                    response = await self._client.responses.create(model=model, input=turns, store=False)
                    return response.output_text
                answer = await self._client.chat.completions.create(
                    model=model, messages=turns, extra_body=options or None
                )
                break
            except RAISED as error:
                refusal = failure(error, self._key)
                if refusal.code != "bad_request" or not self._options.learn(model, options, refusal.message):
                    raise refusal from error
        return (answer.choices[0].message.content or "") if answer.choices else ""

    async def _ask(self, prompt: Prompt) -> httpx2.Response:
        """Open the stream; where the model does not take one of the numbers, ask again without it."""
        model = prompt.model or (await self.models())[0]
        while True:
            options = self._options.fields(model, prompt.temperature, prompt.max_tokens)
            try:
                return await self._send(model, prompt, options)
            except openai.APIStatusError as error:
                refusal = failure(error, self._key)
                if refusal.code != "bad_request" or not self._options.learn(model, options, refusal.message):
                    raise

    async def _send(self, model: str, prompt: Prompt, options: Mapping[str, float | int]) -> httpx2.Response:
        # By the client's `post`: its `create` looks through all of a conversation for what it may have to
        # rewrite, 0.14 ms a message, and through forty arguments that nobody gives.
        client, turns = self._client, list[Any](prompt.turns)
        body: dict[str, Any]
        if self.background:
            path = "/responses"
            body = {"input": turns, "background": True, "store": True}
        else:
            path = "/chat/completions"
            body = {"messages": turns, "stream_options": {"include_usage": True}}
            if prompt.begun:
                family = await self.family()
                turns.append({"role": "assistant", "content": prompt.begun, **family.message})
                body |= family.request
                if family.base_url:
                    client = client.with_options(base_url=family.base_url)
        content = msgspec.json.encode({"model": model, "stream": True, **body, **options})
        response: httpx2.Response = await client.post(path, content=content, **_STREAMED)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


#: How the client hands out a response as it comes.
_STREAMED: Any = {"cast_to": httpx2.Response, "stream": True, "stream_cls": openai.AsyncStream[Any]}
