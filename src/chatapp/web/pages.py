"""The pages for people, and what htmx swaps into them. Every form works without JavaScript too."""

from typing import Annotated, Any

from litestar import Controller, Response, get, post
from litestar.enums import MediaType
from litestar.params import Parameter
from litestar.response import Redirect
from msgspec import Struct

from chatapp.answers.hub import Hub
from chatapp.chats.service import Chats, Turn
from chatapp.errors import AnswerRunning, ChatappError, InvalidInput, KeyReused
from chatapp.web.forms import AnyRequest, FormBody, FormRequest, Html, by_htmx, html_response, text_of
from chatapp.web.html import html_stream
from chatapp.web.streams import EventStream, cursor_from
from chatapp.web.views import Pages

__all__ = ("PagesController",)


class QuestionForm(Struct):
    """The composer's fields; `request_id` makes a form that is sent twice one question."""

    prompt: str
    model: str = ""
    system: str = ""
    request_id: str | None = None


Form = Annotated[QuestionForm, FormBody]


class PagesController(Controller):
    """Routes of section 1 of the contract."""

    request_class = FormRequest
    include_in_schema = False

    @get("/", media_type=MediaType.HTML)
    async def new_chat(self, chats: Chats, pages: Pages, owner: str) -> Html:
        return html_response(await pages.page(await chats.summaries(owner)))

    @get("/chats/{chat_id:str}", media_type=MediaType.HTML)
    async def chat(self, chats: Chats, pages: Pages, owner: str, chat_id: str) -> Html:
        return html_response(
            await pages.page(await chats.summaries(owner), await chats.transcript(owner, chat_id))
        )

    @post("/chats", media_type=MediaType.HTML, status_code=200)
    async def open(
        self, request: AnyRequest, chats: Chats, pages: Pages, owner: str, data: Form
    ) -> Html | Redirect:
        try:
            turn = await chats.open(
                owner,
                text_of(data.prompt),
                model=data.model,
                system=text_of(data.system),
                request=data.request_id or None,
            )
        except (InvalidInput, KeyReused) as error:
            return await _refused(request, chats, pages, owner, None, data, error)
        return await _begun(request, chats, pages, owner, turn, push=True)

    @post("/chats/{chat_id:str}/messages", media_type=MediaType.HTML, status_code=200)
    async def ask(
        self, request: AnyRequest, chats: Chats, pages: Pages, owner: str, chat_id: str, data: Form
    ) -> Html | Redirect:
        try:
            turn = await chats.ask(owner, chat_id, text_of(data.prompt), request=data.request_id or None)
        except (InvalidInput, KeyReused, AnswerRunning) as error:
            return await _refused(request, chats, pages, owner, chat_id, data, error)
        return await _begun(request, chats, pages, owner, turn)

    @post("/chats/{chat_id:str}/messages/{message_id:str}/stop", status_code=200)
    async def stop(
        self, request: AnyRequest, chats: Chats, owner: str, chat_id: str, message_id: str
    ) -> Response[Any]:
        # The page learns of it as every page does: from the stream.
        await chats.stop(owner, chat_id, message_id)
        if by_htmx(request):
            return Response(None, status_code=204)
        return Redirect(f"/chats/{chat_id}", status_code=303)

    @get("/chats/{chat_id:str}/messages/{message_id:str}/stream")
    async def stream(
        self,
        chats: Chats,
        hub: Hub,
        pages: Pages,
        owner: str,
        chat_id: str,
        message_id: str,
        last_event_id: Annotated[str | None, Parameter(header="Last-Event-ID")] = None,
        after: str | None = None,
    ) -> EventStream:
        chat = await chats.chat(owner, chat_id)
        message = await chats.answer_head(chat_id, message_id)
        return html_stream(hub, pages, chat, message, cursor_from(last_event_id, after))


async def _begun(
    request: AnyRequest, chats: Chats, pages: Pages, owner: str, turn: Turn, *, push: bool = False
) -> Html | Redirect:
    if not by_htmx(request):
        return Redirect(f"/chats/{turn.chat_id}", status_code=303)
    transcript = await chats.transcript(owner, turn.chat_id)
    html = await pages.turn(await chats.summaries(owner), transcript, turn.message_id)
    # Only a new chat has a new address: one step back should leave the chat, not repeat it.
    headers = {"HX-Push-Url": f"/chats/{turn.chat_id}"} if push else {}
    return Response(html, media_type=MediaType.HTML, headers=headers)


async def _refused(
    request: AnyRequest,
    chats: Chats,
    pages: Pages,
    owner: str,
    chat_id: str | None,
    form: QuestionForm,
    error: ChatappError,
) -> Html:
    """Say why on the page that the form is on, with the text still in the composer."""
    if by_htmx(request):
        raise error
    status = 409 if isinstance(error, AnswerRunning) else 422
    transcript = await chats.transcript(owner, chat_id) if chat_id else None
    html = await pages.page(await chats.summaries(owner), transcript, error=error.message, draft=form.prompt)
    return html_response(html, status)
