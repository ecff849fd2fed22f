"""The JSON API's routes for the public link of a chat."""

from litestar import Controller, delete, post
from msgspec import Struct

from chatapp.chats.sharing import Sharing
from chatapp.web.described import problems

__all__ = ("ShareApiController",)


class Link(Struct):
    """Where everybody may read the chat as it was when it was shared."""

    url: str


class ShareApiController(Controller):
    """The public link of a chat."""

    path = "/api"
    tags = ("chats",)

    @post(
        "/chats/{chat_id:str}/share",
        status_code=200,
        summary="Share the chat as it is now; again: the same link shows it as it is then",
        responses=problems(403, 404),
    )
    async def share_chat(self, sharing: Sharing, owner: str, chat_id: str) -> Link:
        return Link(f"/s/{await sharing.share(owner, chat_id)}")

    @delete("/chats/{chat_id:str}/share", summary="Take the link back", responses=problems(403, 404))
    async def unshare_chat(self, sharing: Sharing, owner: str, chat_id: str) -> None:
        await sharing.unshare(owner, chat_id)
