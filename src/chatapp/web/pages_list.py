"""The list of chats beside the conversation: search it, rename, delete, and take that back."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from litestar import Controller, delete, get, post
from litestar.enums import MediaType
from litestar.response import Redirect
from msgspec import Struct

from chatapp.chats.removal import Removal
from chatapp.chats.service import Chats
from chatapp.web.forms import AnyRequest, FormBody, FormRequest, Html, by_htmx, html_response
from chatapp.web.replies import Reply
from chatapp.web.sidebar import chat_list
from chatapp.web.views import Pages

__all__ = ("ListController",)

_CHAT = "/chats/{chat_id:str}"
_SHOWN = 40
_MOST = 100


class TitleForm(Struct):
    """The one field of the form that renames a chat."""

    title: str


class ListController(Controller):
    """All that can be done in the list of chats; each form also works without a script."""

    request_class = FormRequest
    include_in_schema = False

    @get("/chats", media_type=MediaType.HTML)
    async def chats(
        self,
        request: AnyRequest,
        pages: Pages,
        q: str = "",
        cursor: str | None = None,
        group: str = "",
        limit: int = _SHOWN,
    ) -> Html:
        """Send htmx the list, or the rows that follow; everybody else a page that is only the list."""
        shown = min(max(limit, _SHOWN), _MOST)
        chats = await chat_list(request, q=q, cursor=cursor or None, group=group[:40], limit=shown)
        if not by_htmx(request):
            return html_response(pages.listing(chats))
        return html_response(pages.rows(chats, open_chat(request), part=bool(cursor)))

    @get(f"{_CHAT}/options", media_type=MediaType.HTML)
    async def options(
        self, request: AnyRequest, chats: Chats, pages: Pages, owner: str, chat_id: str
    ) -> Html:
        """Show what the menu of a chat offers, as a page."""
        chat = await chats.chat(owner, chat_id)
        return html_response(pages.options(await chat_list(request), chat))

    @get(f"{_CHAT}/rename", media_type=MediaType.HTML)
    async def title_form(
        self, request: AnyRequest, chats: Chats, pages: Pages, owner: str, chat_id: str
    ) -> Reply:
        """Send htmx a box with the title; without a script, lead to the options, where there is one."""
        chat = await chats.chat(owner, chat_id)
        if by_htmx(request):
            return html_response(pages.chat_part("rename", chat))
        return Redirect(f"{request.url.path.removesuffix('rename')}options", status_code=303)

    @post(f"{_CHAT}/rename", media_type=MediaType.HTML, status_code=200)
    async def rename(
        self,
        request: AnyRequest,
        chats: Chats,
        pages: Pages,
        owner: str,
        chat_id: str,
        data: Annotated[TitleForm, FormBody],
    ) -> Reply:
        await chats.configure(owner, chat_id, title=data.title)
        if not by_htmx(request):
            return Redirect(f"/chats/{chat_id}", status_code=303)
        chat = await chats.chat(owner, chat_id)
        return html_response(pages.chat_part("renamed", chat, open=open_chat(request) == chat_id))

    @delete(_CHAT, status_code=204)
    async def remove(self, removal: Removal, owner: str, chat_id: str) -> None:
        await removal.delete(owner, chat_id)

    @post(f"{_CHAT}/delete", media_type=MediaType.HTML, status_code=200)
    async def remove_by_form(
        self, request: AnyRequest, chats: Chats, removal: Removal, pages: Pages, owner: str, chat_id: str
    ) -> Html:
        chat = await chats.chat(owner, chat_id)
        await removal.delete(owner, chat_id)
        if not by_htmx(request):
            return html_response(pages.deleted(chat))
        is_open = open_chat(request) == chat_id
        return html_response(
            pages.chat_part("removed", chat, open=is_open), then="gone" if is_open else "refresh"
        )

    @post(f"{_CHAT}/restore", media_type=MediaType.HTML, status_code=200)
    async def restore(self, request: AnyRequest, removal: Removal, owner: str, chat_id: str) -> Reply:
        await removal.restore(owner, chat_id)
        if by_htmx(request):
            return html_response("", then="refresh, back" if open_chat(request) == chat_id else "refresh")
        return Redirect(f"/chats/{chat_id}", status_code=303)


def open_chat(request: AnyRequest) -> str | None:
    """Return the chat that is open on the page that asks."""
    match = re.match("/chats/([0-9a-f]{32})$", urlsplit(request.headers.get("hx-current-url", "")).path)
    return match[1] if match else None
