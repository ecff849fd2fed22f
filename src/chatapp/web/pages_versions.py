"""Versions of messages: edit a question, regenerate or continue an answer, choose what is shown."""

from typing import Annotated

from litestar import Controller, get, post, route
from litestar.enums import HttpMethod, MediaType
from msgspec import Struct

from chatapp.chats.service import Chats
from chatapp.web.forms import ButtonRequest, FormBody, FormRequest, Html, html_response, text_of
from chatapp.web.replies import Replies, Reply
from chatapp.web.views import Pages

__all__ = ("VersionsController",)

_CHAT = "/chats/{chat_id:str}"
_MESSAGE = f"{_CHAT}/messages/{{message_id:str}}"


class ActionForm(Struct):
    """The fields that come with a button below a message."""

    model: str = ""
    request_id: str | None = None


class EditForm(ActionForm, kw_only=True):
    """A question in other words."""

    prompt: str


Action = Annotated[ActionForm | None, FormBody]
Edit = Annotated[EditForm, FormBody]


class VersionsController(Controller):
    """The visible branch of a chat, and what changes it."""

    request_class = FormRequest
    include_in_schema = False

    @get(f"{_CHAT}/transcript", media_type=MediaType.HTML)
    async def transcript(self, chats: Chats, pages: Pages, owner: str, chat_id: str) -> Html:
        """The conversation for a page that has heard of a change."""
        return html_response(await pages.transcript(await chats.transcript(owner, chat_id)))

    @post(f"{_MESSAGE}/regenerate", media_type=MediaType.HTML, status_code=200, request_class=ButtonRequest)
    async def regenerate(
        self, chats: Chats, replies: Replies, owner: str, chat_id: str, message_id: str, data: Action = None
    ) -> Reply:
        form = data or ActionForm()

        async def begun() -> Reply:
            turn = await chats.regenerate(
                owner, chat_id, message_id, model=form.model or None, request=form.request_id or None
            )
            return await replies.changed(chat_id, turn.message_id)

        return await replies.tried(begun, chat_id)

    @post(f"{_MESSAGE}/continue", media_type=MediaType.HTML, status_code=200, request_class=ButtonRequest)
    async def go_on(
        self, chats: Chats, replies: Replies, owner: str, chat_id: str, message_id: str, data: Action = None
    ) -> Reply:
        form = data or ActionForm()

        async def begun() -> Reply:
            await chats.go_on(owner, chat_id, message_id, request=form.request_id or None)
            return await replies.changed(chat_id, message_id)

        return await replies.tried(begun, chat_id)

    @route(_MESSAGE, http_method=[HttpMethod.PUT], media_type=MediaType.HTML, status_code=200)
    async def edit(
        self, chats: Chats, replies: Replies, owner: str, chat_id: str, message_id: str, data: Edit
    ) -> Reply:
        return await _edit(chats, replies, owner, chat_id, message_id, data)

    @post(f"{_MESSAGE}/edit", media_type=MediaType.HTML, status_code=200)
    async def edit_by_form(
        self, chats: Chats, replies: Replies, owner: str, chat_id: str, message_id: str, data: Edit
    ) -> Reply:
        return await _edit(chats, replies, owner, chat_id, message_id, data)

    @post(f"{_MESSAGE}/select", media_type=MediaType.HTML, status_code=200)
    async def select(
        self, chats: Chats, replies: Replies, owner: str, chat_id: str, message_id: str
    ) -> Reply:
        async def selected() -> Reply:
            await chats.select(owner, chat_id, message_id)
            return await replies.changed(chat_id, message_id, running=False)

        return await replies.tried(selected, chat_id)


async def _edit(
    chats: Chats, replies: Replies, owner: str, chat_id: str, message_id: str, form: EditForm
) -> Reply:
    async def edited() -> Reply:
        prompt, request_id = text_of(form.prompt), form.request_id or None
        turn = await chats.edit(owner, chat_id, message_id, prompt, request=request_id)
        return await replies.changed(chat_id, turn.user_message_id)

    # The words are not lost: without a script they wait in the composer.
    return await replies.tried(edited, chat_id, draft=form.prompt)
