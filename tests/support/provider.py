"""An OpenAI-compatible server that says what the prompt tells it to, and fails as told: see `Script`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
import zlib
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.support.proxy import Listener, drop, flushed, send, taken
from tests.support.responses import Background
from tests.support.script import Script

__all__ = ("Call", "ScriptedProvider")

CREATED = 1_700_000_000
#: How the app asks in words for an answer to go on.
GO_ON = "Your last message was cut off."
#: `zlib`'s number for the format of gzip.
_GZIP = 31
HTML = b"<html><body><p id='provider-page'>This is not an API.</p></body></html>"


@dataclass(slots=True, eq=False)
class Call:
    """One request for an answer and how far that got."""

    body: dict[str, Any]
    headers: dict[str, str]
    script: Script
    sent: int = 0  #: content chunks written so far
    finished: bool = False  #: the script was said to its end
    over: bool = False  #: nothing more is sent and the connection is closed, from whichever side
    client_gone: asyncio.Event = field(default_factory=asyncio.Event)
    gone_at: float | None = None  #: when the client hung up before the end, `time.monotonic()`

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation sent upstream."""
        return list(self.body.get("messages") or self.body.get("input", []))

    @property
    def prefix(self) -> str:
        """The beginning of the answer that is to be continued, if any."""
        messages = self.messages[:-1] if self.asked_to_go_on else self.messages
        last = messages[-1] if messages else {}
        return str(last["content"]) if last.get("role") == "assistant" else ""

    @property
    def asked_to_go_on(self) -> bool:
        """Whether the continuation is asked for in words."""
        return bool(self.messages) and _asks_to_go_on(self.messages[-1])

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body.get("model", ""))

    @property
    def authorization(self) -> str | None:
        """The credentials sent."""
        return self.headers.get("authorization")


class ScriptedProvider(Listener):
    """Serve `/v1/models`, `/v1/chat/completions` and `/v1/responses`, and remember every call.

    A partial answer at the end of a conversation is continued, as vLLM and llama.cpp do.
    """

    def __init__(
        self, *, port: int = 0, models: Sequence[str] = ("scripted",), owned_by: str = "tests"
    ) -> None:
        super().__init__(port)
        self.calls: list[Call] = []
        #: The requests for a chat's title, which are no `calls`, and the answer to them (None: a failure).
        self.titles: list[dict[str, Any]] = []
        self.title: str | None = "A scripted title"
        self.models = list(models)
        self.owned_by = owned_by
        self.responses: list[Background] = []
        self.reopened: list[tuple[str, int]] = []  #: background answers: id, starting after
        self._seen: Counter[str] = Counter()
        self._released = asyncio.Event()
        self._held = 0
        self._hurried = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def base_url(self) -> str:
        """What `OPENAI_BASE_URL` is set to."""
        return f"http://127.0.0.1:{self.port}/v1"

    def release(self) -> None:
        """Let every held or stalled call go on, now and from now on."""
        self._released.set()

    def hurry(self) -> None:
        """Let every paced call say its rest at once, now and from now on."""
        self._hurried.set()

    async def __aexit__(self, *args: object) -> None:
        for response in self.responses:
            response.end()
        await super().__aexit__(*args)

    def hold(self) -> None:
        """Hold, stall and pace calls again."""
        self._released.clear()
        self._hurried.clear()

    async def let_go(self, calls: int) -> None:
        """Wait until so many calls are held or stalled, let these go on, and hold what comes after them."""
        await self.until(lambda: self._held >= calls, 20)
        self.release()
        self.hold()

    async def until(self, condition: Callable[[], object], timeout: float = 10) -> None:
        """Wait until a condition on the calls holds."""
        async with asyncio.timeout(timeout):
            while not condition():
                await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        method, target, headers, raw = await _read_request(reader)
        path, _, query = target.partition("?")
        reply = _Reply(writer)
        if (method, path) == ("GET", "/v1/models"):
            models = [
                {"id": name, "object": "model", "created": CREATED, "owned_by": self.owned_by}
                for name in self.models
            ]
            await reply.json(200, {"object": "list", "data": models})
        elif method == "POST" and path in ("/v1/chat/completions", "/v1/responses"):
            await self._complete(raw, headers, reader, reply)
        elif path.startswith("/v1/responses/"):
            await self._respond_again(path.split("/")[3:], parse_qs(query), reader, reply)
        else:
            await reply.error(404, f"no such route: {method} {path}")

    async def _complete(
        self, raw: bytes, headers: dict[str, str], reader: asyncio.StreamReader, reply: _Reply
    ) -> None:
        try:
            body = json.loads(raw)
            if _wants_title(body):
                await self._name(body, reply)
                return
            prompt = _last_prompt(body)
            script = Script.parse(prompt)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            await reply.error(400, f"unusable request: {error}")
            return
        self._seen[prompt] += 1
        if script.times and self._seen[prompt] > script.times:
            script = script.healthy()
        call = Call(body, headers, script)
        self.calls.append(call)
        self._notify()
        await self._while_watched(call, self._talk(call, reply), reader)

    async def _name(self, body: dict[str, Any], reply: _Reply) -> None:
        """Answer a request for a chat's title, in one piece."""
        self.titles.append(body)
        self._notify()
        if self.title is None:
            await reply.error(500, "scripted failure of a title")
        elif "input" in body:
            text = {"type": "output_text", "text": self.title, "annotations": []}
            message = {"type": "message", "id": "msg_title", "role": "assistant", "status": "completed"}
            output = [message | {"content": [text]}]
            await reply.json(200, {"id": "resp_title", "object": "response", "output": output})
        else:
            message = {"role": "assistant", "content": self.title}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            await reply.json(200, {"id": "chatcmpl-title", "object": "chat.completion", "choices": choices})

    async def _respond_again(
        self, words: list[str], query: dict[str, list[str]], reader: asyncio.StreamReader, reply: _Reply
    ) -> None:
        """`GET /v1/responses/{id}?stream=true&starting_after=N` and `POST /v1/responses/{id}/cancel`."""
        found = next((one for one in self.responses if one.id == words[0]), None)
        if found is None or found.script.fault("gone") is not None:
            await reply.error(404, f"Response with id '{words[0]}' not found.")
        elif words[1:] == ["cancel"]:
            found.cancel()
            self._notify()
            await reply.json(200, {"id": found.id, "object": "response", "status": "cancelled", "output": []})
        else:
            after = int(query.get("starting_after", ["-1"])[0])
            self.reopened.append((found.id, after))
            self._notify()
            # Only the connection that began the answer breaks.
            call = Call({}, {}, found.script.healthy())
            await self._while_watched(call, self._stream_response(call, found, after, reply), reader)

    async def _while_watched(
        self, call: Call, talk: Coroutine[Any, Any, None], reader: asyncio.StreamReader
    ) -> None:
        script = call.script
        watching = asyncio.create_task(self._watch(call, reader))
        talking = asyncio.create_task(talk)
        try:
            await asyncio.wait({talking, watching}, return_when=asyncio.FIRST_COMPLETED)
            if call.client_gone.is_set() and script.fault("ignoreclose") is None:
                talking.cancel()
            await talking
        finally:
            for task in (talking, watching):
                task.cancel()
            await asyncio.gather(talking, watching, return_exceptions=True)
            call.over = True

    async def _watch(self, call: Call, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(1024):
                pass
        if not call.finished:
            call.gone_at = time.monotonic()
            call.client_gone.set()
            self._notify()

    async def _talk(self, call: Call, reply: _Reply) -> None:
        script = call.script
        reply.adopt(script)
        if script.fault("hold") is not None:
            await self._let_go()
        if (status := script.fault("status")) is not None:
            await reply.error(status, f"scripted failure {status}", script.retry_after)
        elif script.fault("html") is not None:
            await reply.whole(200, "text/html; charset=utf-8", HTML)
        elif call.prefix and (
            (script.fault("noprefill") is not None and not call.asked_to_go_on)
            or not script.text.startswith(call.prefix)
        ):
            await reply.error(400, "the conversation must end with a user message")
        elif "input" in call.body:
            self.responses.append(Background(f"resp_{len(self.responses)}", script, self._released))
            await self._stream_response(call, self.responses[-1], -1, reply)
        elif call.body.get("stream"):
            await self._stream(call, reply)
        else:
            await self._answer(call, reply)

    async def _let_go(self) -> None:
        self._held += 1
        self._notify()
        try:
            await self._released.wait()
        finally:
            self._held -= 1

    async def _answer(self, call: Call, reply: _Reply) -> None:
        script = call.script
        if script.rate or script.first:
            await asyncio.sleep(script.first + (script.n / script.rate if script.rate else 0))
        if script.fault("stall") is not None:
            await self._let_go()
        if script.fault("rst") is not None:
            drop(reply.writer, reset=True)
            return
        message = {"role": "assistant", "content": script.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": script.finish, "logprobs": None}
        answer = _envelope(call, "chat.completion") | {"choices": [choice], "usage": _usage(call)}
        call.sent, call.finished = len(script.chunks()), True
        await reply.json(200, answer)
        self._notify()

    async def _stream_response(self, call: Call, found: Background, after: int, reply: _Reply) -> None:
        reply.adopt(call.script)
        await reply.start()
        async for event in found.events(after):
            # Here only the connection breaks; all other faults are the answer's own.
            text = event["type"] == "response.output_text.delta"
            broken = text and call.sent in (call.script.fault("rst"), call.script.fault("eof"))
            if broken and await self._struck(call, reply):
                return
            call.finished = event["type"] in ("response.completed", "response.incomplete")
            await reply.event(event)
            call.sent += text
            self._notify()
        await reply.end()

    async def _stream(self, call: Call, reply: _Reply) -> None:
        script = call.script
        await reply.start()
        await asyncio.sleep(script.first)
        await reply.event(_delta(call, {"role": "assistant", "content": ""}))
        for number in range(script.fault("reasoning") or 0):
            await reply.event(_delta(call, {"reasoning_content": f"thought {number}. "}))
        loop = asyncio.get_running_loop()
        began = loop.time()
        chunks = script.chunks() if script.fault("echo") is not None else script.rest(call.prefix)
        for number, chunk in enumerate(chunks):
            if await self._struck(call, reply):
                return
            if script.rate:
                await self._pause(max(0, began + number / script.rate - loop.time()))
            await reply.event(_delta(call, {"content": chunk}))
            call.sent += 1
            self._notify()
        if await self._struck(call, reply, last=True):
            return
        if script.fault("nofinish") is None:
            await reply.event(_delta(call, {}, script.finish))
        if (call.body.get("stream_options") or {}).get("include_usage"):
            await reply.event(
                _envelope(call, "chat.completion.chunk") | {"choices": [], "usage": _usage(call)}
            )
        call.finished = True  # before the last bytes: the client may leave as soon as it has them
        await reply.event("[DONE]")
        await reply.end()
        self._notify()

    async def _pause(self, seconds: float) -> None:
        """Wait for the time of a chunk, unless there is a hurry."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()

    async def _struck(self, call: Call, reply: _Reply, *, last: bool = False) -> bool:
        """Apply the faults due at this chunk (at the end also those due later); true ends the answer."""
        for fault in call.script.faults:
            if fault.at != call.sent and not (last and fault.at > call.sent):
                continue
            match fault.name:
                case "stall":
                    await self._let_go()
                case "badjson":
                    await reply.event('{"choices": [{"index": 0, "delta": {"content": "half')
                case "rst":
                    await flushed(reply.writer)
                    # A reset throws away what was not read, and at the reader what it has not yet looked at.
                    await taken(reply.writer)
                    await asyncio.sleep(0.1)
                    drop(reply.writer, reset=True)
                    return True
                case "eof":
                    await reply.end()
                    return True
                case "error":
                    # Cut in the midst of a character, where the script's text is.
                    half = "\ud83d" if call.script.kind == "surrogate" else ""
                    words = f"scripted failure in the stream{half}"
                    error = {"message": words, "type": "server_error", "code": 500}
                    await reply.event({"error": error})
                    await reply.end()
                    return True
        return False


class _Reply:
    """Writes one HTTP response, with the framing that the script asks for."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._script = Script()
        self._packer = zlib.compressobj(wbits=_GZIP)

    def adopt(self, script: Script) -> None:
        self._script = script

    async def whole(self, status: int, content_type: str, body: bytes, extra: str = "") -> None:
        head = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{extra}"
        first = f"HTTP/1.1 {status} Scripted\r\nConnection: close\r\n"
        await send(self.writer, f"{first}{head}\r\n".encode() + body)

    async def json(self, status: int, body: object, extra: str = "") -> None:
        await self.whole(status, "application/json", json.dumps(body).encode(), extra)

    async def error(self, status: int, message: str, retry_after: str = "") -> None:
        kind = {401: "authentication_error", 429: "rate_limit_error", 400: "invalid_request_error"}
        error = {"message": message, "type": kind.get(status, "server_error"), "param": None, "code": None}
        await self.json(status, {"error": error}, f"Retry-After: {retry_after}\r\n" if retry_after else "")

    async def start(self) -> None:
        encoding = b"Content-Encoding: gzip\r\n" if self._script.fault("gzip") is not None else b""
        await send(
            self.writer,
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
            b"Cache-Control: no-cache\r\n" + encoding + b"Transfer-Encoding: chunked\r\n\r\n",
        )

    async def event(self, data: dict[str, Any] | str) -> None:
        framed = self._script.frame(data)
        if self._script.fault("gzip") is not None:
            framed = self._packer.compress(framed) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        await self._chunks(framed)

    async def end(self) -> None:
        if self._script.fault("gzip") is not None:
            await self._chunks(self._packer.flush())
        await self._send(b"0\r\n\r\n")

    async def _chunks(self, framed: bytes) -> None:
        size = 1 if self._script.fault("slowbytes") is not None else len(framed)
        for start in range(0, len(framed), size):
            piece = framed[start : start + size]
            await self._send(b"%x\r\n%s\r\n" % (len(piece), piece))

    async def _send(self, data: bytes) -> None:
        try:
            await send(self.writer, data)
        except OSError:
            if self._script.fault("ignoreclose") is None:
                raise
        await asyncio.sleep(0)  # an answer as fast as possible must not starve the others


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return method, target, headers, body


def _asks_to_go_on(message: dict[str, Any]) -> bool:
    return message["role"] == "user" and str(message["content"]).startswith(GO_ON)


def _wants_title(body: dict[str, Any]) -> bool:
    """Whether this asks for a chat's title: in one piece, and with instructions that say so."""
    messages = body.get("messages") or body.get("input") or [{}]
    return not body.get("stream") and str(messages[0].get("content")).startswith("Write a title")


def _last_prompt(body: dict[str, Any]) -> str:
    content = [
        message["content"]
        for message in body.get("messages") or body["input"]
        if message["role"] == "user" and not _asks_to_go_on(message)
    ][-1]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def _envelope(call: Call, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": kind, "created": CREATED, "model": call.model}


def _delta(call: Call, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _envelope(call, "chat.completion.chunk") | {"choices": [choice]}


def _usage(call: Call) -> dict[str, int]:
    asked = sum(len(str(message.get("content", "")).split()) for message in call.messages)
    said = len(call.script.chunks())
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


async def _serve_forever(port: int) -> None:
    async with ScriptedProvider(port=port) as provider:
        print(provider.base_url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_forever(parser.parse_args().port))
