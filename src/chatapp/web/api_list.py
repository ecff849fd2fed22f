"""The JSON API's routes for the list of chats: read it, delete from it, take that back."""

from typing import Annotated

from litestar import Controller, delete, get, post
from litestar.params import Parameter

from chatapp.chats.listing import ChatPage, Listing
from chatapp.chats.removal import Removal
from chatapp.models import ChatSummary
from chatapp.web.described import problems

__all__ = ("ListApiController",)


class ListApiController(Controller):
    """The list of chats, and what changes it."""

    path = "/api"
    tags = ("chats",)

    @get(
        "/chats",
        summary="The chats, the last used first; next_cursor leads to more",
        responses=problems(422),
    )
    async def list_chats(
        self,
        listing: Listing,
        owner: str,
        limit: int = 40,
        cursor: str | None = None,
        q: Annotated[str | None, Parameter(description="Words that all begin a word of the chat.")] = None,
    ) -> ChatPage:
        return await listing.page(owner, limit=limit, cursor=cursor, q=q)

    @delete(
        "/chats/{chat_id:str}",
        summary="Delete a chat; for 30 s that can be taken back",
        responses=problems(403, 404),
    )
    async def delete_chat(self, removal: Removal, owner: str, chat_id: str) -> None:
        await removal.delete(owner, chat_id)

    @post(
        "/chats/{chat_id:str}/restore",
        status_code=200,
        summary="Take back a deletion; 404 when too late",
        responses=problems(403, 404),
    )
    async def restore_chat(self, removal: Removal, listing: Listing, owner: str, chat_id: str) -> ChatSummary:
        await removal.restore(owner, chat_id)
        return await listing.summary(chat_id)
