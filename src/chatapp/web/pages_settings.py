"""The settings of a chat, and its title."""

from typing import Annotated

from litestar import Controller, patch, post
from litestar.enums import MediaType
from litestar.response import Redirect
from msgspec import UNSET

from chatapp.chats.service import Chats
from chatapp.web.forms import AnyRequest, FormBody, FormRequest, Html, by_htmx, html_response
from chatapp.web.replies import Replies, Reply
from chatapp.web.settings_form import SettingsForm
from chatapp.web.views import Pages

__all__ = ("SettingsController",)


class ChatForm(SettingsForm):
    """What of a chat can be changed; what is not sent stays as it is."""

    title: str | None = None


Form = Annotated[ChatForm, FormBody]


class SettingsController(Controller):
    """A program, or htmx, sends what it changes; the form without a script sends all settings."""

    request_class = FormRequest
    include_in_schema = False

    @patch("/chats/{chat_id:str}", media_type=MediaType.HTML, status_code=200)
    async def change(self, chats: Chats, pages: Pages, owner: str, chat_id: str, data: Form) -> Html:
        await _configure(chats, owner, chat_id, data)
        return html_response(pages.saved())

    @post("/chats/{chat_id:str}/settings", media_type=MediaType.HTML, status_code=200)
    async def change_by_form(
        self,
        request: AnyRequest,
        chats: Chats,
        pages: Pages,
        replies: Replies,
        owner: str,
        chat_id: str,
        data: Form,
    ) -> Reply:
        async def changed() -> Reply:
            await _configure(chats, owner, chat_id, data)
            if by_htmx(request):
                return html_response(pages.saved())
            return Redirect(f"/chats/{chat_id}", status_code=303)

        return await replies.tried(changed, chat_id, chosen=data.chosen())


async def _configure(chats: Chats, owner: str, chat_id: str, form: ChatForm) -> None:
    """Change what a form names; one with `settings` names all of them."""
    every = bool(form.settings)
    await chats.configure(
        owner,
        chat_id,
        title=form.title,
        model=form.model or None,
        system=form.system_value() if every or form.system else None,
        temperature=form.temperature_value() if every or form.temperature else UNSET,
        max_tokens=form.max_tokens_value() if every or form.max_tokens else UNSET,
        stream=form.stream_value() if every or form.stream is not None else None,
    )
