"""The page of the first run: is the provider's address, key or model wrong, and what does it say itself?"""

import asyncio
from collections.abc import Sequence
from time import monotonic

from litestar import Controller, Response, get, post
from litestar.enums import MediaType
from msgspec import Struct

from chatapp.answers.checkup import Endpoint, Finding, Part, Verdict, examine_provider
from chatapp.web.forms import AnyRequest, FormRequest, Html, by_htmx, html_response
from chatapp.web.views import Pages

__all__ = ("Setup", "SetupController")

#: Seconds that a person waits for a model's first word.
_PATIENCE = 30.0
#: Seconds for which a test stands: everybody may press the button, and each test is a question that costs.
_STANDS = 3.0
#: A key of fewer characters is not shown, not even its end.
_LONG_KEY = 20


class Row(Struct, frozen=True):
    """One of the provider's settings as the page shows it; without a verdict it was not tested."""

    name: str
    variable: str
    value: str
    verdict: Verdict | None = None
    words: str = ""


class Setup:
    """The provider's settings, and the test of them; `endpoint` is None for the demo model."""

    def __init__(self, endpoint: Endpoint | None) -> None:
        self._endpoint = endpoint
        self._testing: asyncio.Task[tuple[float, Sequence[Finding]]] | None = None

    def rows(self, findings: Sequence[Finding] | None = None) -> list[Row]:
        """Return address, key and model, with what the test has found."""
        endpoint = self._endpoint
        if endpoint is None:
            return []
        models = ", ".join(endpoint.models) or "the first of the provider's list"
        return [
            _row("Address", "OPENAI_BASE_URL", endpoint.address, "address", findings),
            _row("Key", "OPENAI_API_KEY", _masked(endpoint.api_key), "key", findings),
            _row("Model", "OPENAI_MODEL", models, "model", findings),
        ]

    async def test(self) -> Sequence[Finding]:
        """Put a short question to the provider, one at a time for all who ask."""
        task = self._testing
        if task is None or (task.done() and (task.exception() or monotonic() - task.result()[0] > _STANDS)):
            task = self._testing = asyncio.create_task(self._test())
        _, findings = await asyncio.shield(task)
        return findings

    async def _test(self) -> tuple[float, Sequence[Finding]]:
        if self._endpoint is None:
            return monotonic(), []
        examined = examine_provider(self._endpoint, ask=True, patience=_PATIENCE)
        findings = [finding async for finding in examined]
        return monotonic(), findings


class SetupController(Controller):
    """The page, and the button on it."""

    path = "/setup"
    request_class = FormRequest
    include_in_schema = False

    @get("/", media_type=MediaType.HTML)
    async def page(self, setup: Setup, pages: Pages) -> Html:
        return html_response(pages.setup(setup.rows()))

    @post("/test", media_type=MediaType.HTML, status_code=200)
    async def test(self, request: AnyRequest, setup: Setup, pages: Pages) -> Response[str]:
        rows = setup.rows(await setup.test())
        return html_response(pages.setup(rows, fragment=by_htmx(request)))


def _row(name: str, variable: str, value: str, part: Part, findings: Sequence[Finding] | None) -> Row:
    if findings is None:
        return Row(name, variable, value)
    about = [finding for finding in findings if finding.part == part]
    worst = next(
        (f for v in (Verdict.BROKEN, Verdict.DOUBTFUL, Verdict.FINE) for f in about if f.verdict is v), None
    )
    if worst is not None:
        # The doctor's findings name what they are about; here it stands above them.
        words = worst.words.removeprefix(value).removeprefix(":").strip()
        return Row(name, variable, value, worst.verdict, words)
    if part == "key" and any(f.part == "model" and f.verdict is Verdict.FINE for f in findings):
        return Row(name, variable, value, Verdict.FINE, "accepted")
    return Row(name, variable, value, None, "not reached by the test")


def _masked(key: str | None) -> str:
    if not key:
        return "none"
    return f"…{key[-4:]}" if len(key) >= _LONG_KEY else "set"
