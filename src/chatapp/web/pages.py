"""The pages for people, and what htmx swaps into them. Every form works without JavaScript too."""

from typing import Annotated, Any

from litestar import Controller, Response, get, post
from litestar.enums import MediaType
from litestar.params import Parameter
from litestar.response import Redirect

from chatapp.answers.hub import Hub
from chatapp.chats.service import Chats
from chatapp.errors import NotFound
from chatapp.models import Chat, Message
from chatapp.web.forms import AnyRequest, FormBody, FormRequest, Html, by_htmx, html_response, text_of
from chatapp.web.html import html_stream
from chatapp.web.replies import Replies, Reply
from chatapp.web.settings_form import SettingsForm
from chatapp.web.sidebar import chat_list
from chatapp.web.streams import EventStream, cursor_from
from chatapp.web.views import Pages

__all__ = ("PagesController",)


class QuestionForm(SettingsForm, kw_only=True):
    """The composer's fields; `request_id` makes a form that is sent twice one question."""

    prompt: str
    request_id: str | None = None


Form = Annotated[QuestionForm, FormBody]


class PagesController(Controller):
    """A chat, its questions, and the stream of an answer."""

    request_class = FormRequest
    include_in_schema = False

    @get("/", media_type=MediaType.HTML)
    async def new_chat(self, request: AnyRequest, chats: Chats, pages: Pages) -> Html:
        return html_response(await pages.page(await chat_list(request), await chats.models.known()))

    @get("/chats/{chat_id:str}", media_type=MediaType.HTML)
    async def chat(
        self,
        request: AnyRequest,
        chats: Chats,
        pages: Pages,
        owner: str,
        chat_id: str,
        before: str | None = None,
        at: str | None = None,
        edit: str | None = None,
    ) -> Html:
        """Show the newest messages, those `before` one, or as many as it takes to include the one `at`."""
        if edit and by_htmx(request):
            chat, message = await chats.chat(owner, chat_id), await chats.message(owner, chat_id, edit)
            return html_response(pages.editor(chat, message))
        transcript = await chats.transcript(owner, chat_id, before=before or None, at=at or edit or None)
        if before and by_htmx(request):
            return html_response(await pages.older(transcript))
        summaries, models = await chat_list(request), await chats.models.known()
        html = await pages.page(summaries, models, transcript, edit=edit, at=at, newest=not before)
        return html_response(html)

    @post("/chats", media_type=MediaType.HTML, status_code=200)
    async def open(self, chats: Chats, replies: Replies, owner: str, data: Form) -> Reply:
        prompt = text_of(data.prompt)

        async def opened() -> Reply:
            turn = await chats.open(
                owner,
                prompt,
                model=data.model,
                system=data.system_value(),
                temperature=data.temperature_value(),
                max_tokens=data.max_tokens_value(),
                stream=data.stream_value(),
                request=data.request_id or None,
            )
            return await replies.begun(turn, opened=True)

        return await replies.tried(opened, None, draft=data.prompt, chosen=data.chosen())

    @post("/chats/{chat_id:str}/messages", media_type=MediaType.HTML, status_code=200)
    async def ask(self, chats: Chats, replies: Replies, owner: str, chat_id: str, data: Form) -> Reply:
        prompt = text_of(data.prompt)

        async def asked() -> Reply:
            request_id = data.request_id or None
            turn = await chats.ask(owner, chat_id, prompt, model=data.model or None, request=request_id)
            return await replies.begun(turn)

        return await replies.tried(asked, chat_id, draft=data.prompt)

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

        async def ended() -> tuple[Chat, Message]:
            try:
                return await chats.chat(owner, chat_id), await chats.answer_head(chat_id, message_id)
            except NotFound:
                # Deleted meanwhile.
                return chat, message

        return html_stream(hub, pages, chat, message, cursor_from(last_event_id, after), ended)
