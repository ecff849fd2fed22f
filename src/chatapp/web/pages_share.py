"""Export a chat as a file, and share it as a page that everybody with its link can read."""

from urllib.parse import quote, urljoin

from litestar import Controller, Response, get, post
from litestar.enums import MediaType
from litestar.response import Redirect

from chatapp.chats import export
from chatapp.chats.reading import Transcript
from chatapp.chats.service import Chats
from chatapp.chats.sharing import Sharing
from chatapp.web.forms import AnyRequest, Html, by_htmx, html_response
from chatapp.web.replies import Reply
from chatapp.web.services import Services
from chatapp.web.views import Pages

__all__ = ("ShareController", "shared_page")

_CHAT = "/chats/{chat_id:str}"


class ShareController(Controller):
    """Export and share a chat."""

    include_in_schema = False

    @get(f"{_CHAT}/export.md")
    async def export_markdown(self, chats: Chats, owner: str, chat_id: str) -> Response[bytes]:
        transcript = await chats.transcript(owner, chat_id, limit=None)
        return _file(transcript, export.markdown(transcript).encode(), "text/markdown", "md")

    @get(f"{_CHAT}/export.json")
    async def export_json(self, chats: Chats, owner: str, chat_id: str) -> Response[bytes]:
        transcript = await chats.transcript(owner, chat_id, limit=None)
        return _file(transcript, export.json(transcript), "application/json", "json")

    @post(f"{_CHAT}/share", media_type=MediaType.HTML, status_code=200)
    async def share(
        self, request: AnyRequest, chats: Chats, sharing: Sharing, pages: Pages, owner: str, chat_id: str
    ) -> Reply:
        """Make the link of the chat; without a script, show it among the chat's options."""
        token = await sharing.share(owner, chat_id)
        if by_htmx(request):
            # The page knows the app's address as its reader does, whatever stands in between.
            url = urljoin(request.headers.get("hx-current-url") or str(request.base_url), f"/s/{token}")
            chat = await chats.chat(owner, chat_id)
            return html_response(pages.chat_part("share", chat, url=url), then="share")
        return Redirect(f"/chats/{chat_id}/options", status_code=303)

    @post(f"{_CHAT}/unshare", media_type=MediaType.HTML, status_code=200)
    async def unshare(
        self, request: AnyRequest, chats: Chats, sharing: Sharing, pages: Pages, owner: str, chat_id: str
    ) -> Reply:
        """Take the link back."""
        await sharing.unshare(owner, chat_id)
        if by_htmx(request):
            chat = await chats.chat(owner, chat_id)
            return html_response(pages.chat_part("share", chat, url=None))
        return Redirect(f"/chats/{chat_id}/options", status_code=303)


@get("/s/{token:str}", media_type=MediaType.HTML, include_in_schema=False)
async def shared_page(request: AnyRequest, services: Services, token: str) -> Html:
    """Show the conversation behind a link to everybody, without a session."""
    html = await services.pages.shared(
        await services.sharing.shared(token), str(request.base_url).rstrip("/"), token
    )
    headers = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}
    return Response(html, media_type=MediaType.HTML, headers=headers)


def _file(transcript: Transcript, content: bytes, kind: str, ending: str) -> Response[bytes]:
    """Send a file under the chat's title, in the two ways that browsers read names."""
    title = "".join(c if c.isalnum() or c in " -_" else "_" for c in transcript.chat.title).strip() or "chat"
    plain = title.encode("ascii", "replace").decode().replace("?", "_")
    disposition = f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(title)}.{ending}"
    headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
    return Response(content, media_type=kind, headers=headers)
