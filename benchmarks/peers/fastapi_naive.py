"""The usual way, as the documents of FastAPI, openai and redis-py show it.

A background task asks the provider and XADDs every chunk; every viewer has an XREAD of its own and resumes by
`Last-Event-ID`. Two things differ from the documents, because nothing works at 100 viewers without them:
redis-py's pool may hold more than its 100 connections, and a read blocks for less than the 5 s after which
redis-py gives a socket up.
"""

from collections.abc import AsyncIterable
from os import environ
from typing import Annotated
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from openai import AsyncOpenAI
from pydantic import BaseModel
from redis.asyncio import Redis

app = FastAPI()
client = AsyncOpenAI()
redis = Redis.from_url(environ["REDIS_URL"], max_connections=10_000, decode_responses=True)


class Question(BaseModel):
    """What is asked."""

    prompt: str


class Begun(BaseModel):
    """The answer's id."""

    id: str


class Text(BaseModel):
    """A piece of the answer."""

    text: str


async def generate(answer: str, prompt: str) -> None:
    """Ask the provider, and log what it says."""
    stream = await client.chat.completions.create(
        model="bench", messages=[{"role": "user", "content": prompt}], stream=True
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            await redis.xadd(answer, {"text": chunk.choices[0].delta.content})
    await redis.xadd(answer, {"end": "1"})
    await redis.expire(answer, 600)


@app.post("/chats")
async def ask(question: Question, tasks: BackgroundTasks) -> Begun:
    """Begin an answer."""
    answer = f"answer:{uuid4().hex}"
    tasks.add_task(generate, answer, question.prompt)
    return Begun(id=answer)


@app.get("/chats/{answer}/stream", response_class=EventSourceResponse)
async def stream(
    answer: str, last_event_id: Annotated[str | None, Header()] = None
) -> AsyncIterable[ServerSentEvent]:
    """Follow an answer from its beginning, or from the event the viewer has seen last."""
    last = last_event_id or "0"
    while True:
        for _, entries in await redis.xread({answer: last}, block=4000):
            for last, fields in entries:
                if "end" in fields:
                    yield ServerSentEvent(event="end", data={}, id=last)
                    return
                yield ServerSentEvent(data=Text(text=fields["text"]), id=last)
