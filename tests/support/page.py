"""A tab of a real browser that remembers every text it ever showed, and everything it complained about."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from playwright.async_api import BrowserContext, Locator, Page, Request, Response, expect

from chatapp.rendering.document import render
from chatapp.web.bodies import part_name
from tests.rendering.dom import canonical
from tests.support.markdown import States, shown_live, text_of
from tests.support.script import Script

__all__ = ("ChatPage", "Sample", "poll")

#: Reports each change of an answer on the page, at once, in the order in which they happened.
RECORDER = """(() => {
  // The body as the server made it: what was drawn in the page goes back to its source.
  window.bodyOf = (body) => {
    if (!body?.querySelector('[data-drawn]')) return body;
    const copy = body.cloneNode(true);
    for (const math of copy.querySelectorAll('[data-drawn]')) {
      math.textContent = math.dataset.drawn;
      delete math.dataset.drawn;
    }
    return copy;
  };
  const page = Math.random().toString(36).slice(2), seen = new Map();
  let leaving = false;
  const report = (id, status, text) => {
    if (seen.get(id) === status + text) return;
    seen.set(id, status + text);
    window.reportSample(page, leaving, id, status, text);
  };
  const look = () => {
    if (document.readyState === 'loading') return;
    const gone = new Set(seen.keys());
    for (const article of document.querySelectorAll('article[data-role="assistant"]')) {
      gone.delete(article.dataset.messageId);
      const body = article.querySelector('[data-part="body"]');
      report(article.dataset.messageId, article.dataset.status, body ? bodyOf(body).textContent : '');
    }
    for (const id of gone) report(id, 'gone', '');
    if (document.getElementById('proxy-page')) window.reportFault('the page of a proxy in the document');
  };
  window.leave = () => { look(); leaving = true; };
  new MutationObserver(look).observe(document,
    { subtree: true, childList: true, characterData: true, attributes: true });
  document.addEventListener('DOMContentLoaded', look);
  document.addEventListener('securitypolicyviolation',
    (event) => window.reportFault(`${event.violatedDirective} ${event.blockedURI}`));
})()"""
#: The address of a chat.
CHAT = re.compile(r"/chats/\w{32}")
#: What a browser and htmx rightly say about a connection that breaks.
NETWORK = ("Failed to load resource", "net::ERR", "htmx:error", "htmx:sse:error")


async def poll(look: Callable[[], Awaitable[object]], what: str, timeout: float = 15) -> None:
    """Wait until the look is true."""
    deadline = time.monotonic() + timeout
    while not await look():
        assert time.monotonic() < deadline, f"not in {timeout} s: {what}"
        await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one answer looked like; `page` is another one after every load."""

    page: str
    leaving: bool  #: shown while the next page was on its way
    message_id: str
    status: str
    text: str
    before: str  #: what was there before on this page


class ChatPage:
    """One tab on the chat at `base`."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.samples: list[Sample] = []
        self.console: list[str] = []  #: warnings and errors
        self.faults: list[str] = []  #: never right: exceptions, policy violations, dialogs, foreign requests
        self.requests: list[Request] = []
        self.begun: list[str] = []  #: the addresses of all streams that were connected so far
        self._last: dict[str, Sample] = {}
        self._states: dict[tuple[str, str], States] = {}

    @classmethod
    async def open(cls, context: BrowserContext, base: str, path: str = "/") -> ChatPage:
        """Open a new tab."""
        self = cls(await context.new_page(), base)
        await self.page.expose_function("reportSample", self._sampled)
        await self.page.expose_function("reportFault", lambda what: self.faults.append(what))
        await self.page.add_init_script(RECORDER)
        self.page.on(
            "console",
            lambda message: (
                self.console.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._requested)
        self.page.on("response", self._responded)
        await self.page.goto(base + path)
        return self

    def _sampled(self, page: str, leaving: bool, message_id: str, status: str, text: str) -> None:
        last = self._last.get(message_id)
        before = last.text if last and last.page == page else ""
        self._last[message_id] = Sample(page, leaving, message_id, status, text, before)
        self.samples.append(self._last[message_id])

    def _requested(self, request: Request) -> None:
        self.requests.append(request)
        if not request.url.startswith((self.base + "/", "data:")):
            self.faults.append(f"request to {request.url}")

    def _responded(self, response: Response) -> None:
        if response.headers.get("content-type", "").startswith("text/event-stream") and (
            "/stream" in response.url
        ):
            self.begun.append(response.url)

    @property
    def prompt(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    @property
    def send(self) -> Locator:
        return self.page.get_by_role("button", name="Send")

    @property
    def stop(self) -> Locator:
        return self.page.get_by_role("button", name="Stop")

    @property
    def connection(self) -> Locator:
        return self.page.get_by_role("status")

    @property
    def error(self) -> Locator:
        """Why the composer was refused."""
        return self.page.get_by_role("alert")

    @property
    def articles(self) -> Locator:
        return self.page.get_by_role("log", name="Conversation").get_by_role("article")

    @property
    def streams(self) -> list[str]:
        """The addresses of all stream requests so far."""
        return [request.url for request in self.requests if "/stream" in request.url]

    @property
    def chat_id(self) -> str:
        return self.page.url.rpartition("/chats/")[2]

    def article(self, message_id: str) -> Locator:
        return self.page.locator(f'article[data-message-id="{message_id}"]')

    def body(self, message_id: str) -> Locator:
        return self.article(message_id).locator('[data-part="body"]')

    async def text(self, message_id: str) -> str:
        """Return the answer's text as it stands on the page."""
        text: str = await self.body(message_id).evaluate("e => (window.bodyOf ?? ((e) => e))(e).textContent")
        return text

    async def html(self, message_id: str) -> str:
        """Return the answer's body as the browser has it."""
        html: str = await self.body(message_id).evaluate("e => (window.bodyOf ?? ((e) => e))(e).innerHTML")
        return html

    async def ask(self, prompt: str) -> str:
        """Send a question by the keyboard and return the answer's id."""
        before = await self.articles.count()
        await self.prompt.fill(prompt)
        await self.prompt.press("Enter")
        return await self.answer(before + 2)

    async def answer(self, articles: int = 2) -> str:
        """Wait until there are so many messages and the chat has its address; return the last one's id."""
        await expect(self.articles).to_have_count(articles)
        last = self.articles.last
        await expect(last).to_have_attribute("data-role", "assistant")
        await expect(self.page).to_have_url(CHAT)
        message_id = await last.get_attribute("data-message-id")
        assert message_id
        return message_id

    async def grown(self, message_id: str, characters: int, timeout: float = 15) -> None:
        """Wait until so many characters of an answer are on the page."""

        async def look() -> bool:
            return len(await self.text(message_id)) >= characters

        await poll(look, f"{characters} characters in {self.samples[-1:]}", timeout)

    async def stands_at(self, message_id: str, prompt: str, chunks: int) -> None:
        """Wait until exactly so much of a stalled answer is on the page."""
        begun = await shown_live("".join(Script.parse(prompt).chunks()[:chunks]))

        async def look() -> bool:
            return await self.text(message_id) == begun

        await poll(look, f"the first {chunks} chunks in {self.samples[-1:]}")

    async def streamed(self, times: int, timeout: float = 15) -> None:
        """Wait until streams were asked for so many times."""

        async def look() -> bool:
            return len(self.streams) >= times

        await poll(look, f"{times} stream requests", timeout)

    async def connected(self, times: int) -> None:
        """Wait until streams were connected so many times: an answer may be on the page before its stream."""

        async def look() -> bool:
            return len(self.begun) >= times

        await poll(look, f"{times} streams")

    async def reload(self) -> None:
        """Reload; what is visible at this moment must be there again at once.

        Not what the old page still shows until the new one, which was made before that, has come.
        """
        await self.page.evaluate("window.leave?.()")
        await self.page.reload()

    async def message(self, message_id: str) -> dict[str, Any]:
        """Return the saved Message, asked for with the tab's session."""
        path = f"/api/chats/{self.chat_id}/messages/{message_id}"
        response = await self.page.context.request.get(self.base + path)
        assert response.status == 200, await response.text()
        message: dict[str, Any] = await response.json()
        return message

    async def ends(self, message_id: str, prompt: str, status: str = "completed", timeout: float = 20) -> str:
        """Wait for the end and check everything that was ever visible; return the text."""
        await expect(self.article(message_id)).to_have_attribute(
            "data-status", status, timeout=timeout * 1000
        )
        await expect(self.article(message_id)).not_to_have_attribute("aria-busy", "true")
        await expect(self.send).to_be_visible()
        script = Script.parse(prompt)
        saved = await self.message(message_id)
        text: str = saved["text"]
        assert saved["status"] == status
        assert text == script.text if status == "completed" else script.text.startswith(text)
        html = await self.html(message_id)
        assert canonical(html) == canonical(render(text, part_name(message_id)))
        if script.fault("big") is None:
            await self.check(message_id, script, text)
        return text_of(html)

    async def check(self, message_id: str, script: Script, ended: str) -> None:
        """Check that all that was ever visible was the body of a beginning, and never one of less."""
        samples = [sample for sample in self.samples if sample.message_id == message_id]
        assert samples
        for sample in samples:
            assert sample.status != "gone" or not sample.before, f"{sample.before!r} was there, then nothing"
        # The states of a long answer take seconds to make; after a reload they are still the same.
        if (message_id, ended) not in self._states:
            self._states[message_id, ended] = await States.of(script.chunks(), ended)
        states = self._states[message_id, ended]
        shown = [sample for sample in samples if sample.status != "gone"]
        states.check(sample.text for sample in shown if not sample.leaving)
        for page in {sample.page for sample in shown if sample.leaving}:
            states.check(sample.text for sample in shown if sample.page == page)

    def calm(self, *, network: bool = False) -> None:
        """Check that nothing went wrong that must not; `network` allows complaints about connections."""
        assert not self.faults
        assert not [line for line in self.console if not (network and any(word in line for word in NETWORK))]
