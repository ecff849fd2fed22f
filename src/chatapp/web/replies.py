"""Answer the sender of a form: a fragment for htmx, a page or a redirect without a script."""

from collections.abc import Awaitable, Callable

from litestar import Response
from litestar.response import Redirect

from chatapp.chats.service import Chats, Turn
from chatapp.errors import AnswerRunning, ChatappError, InvalidInput, KeyReused, LimitReached
from chatapp.web.errors import STATUS
from chatapp.web.forms import AnyRequest, Html, by_htmx, html_response
from chatapp.web.sidebar import chat_list
from chatapp.web.views import Chosen, Pages

__all__ = ("Replies", "Reply")

Reply = Html | Redirect

#: Refusals that a person can do something about: they are shown on the page with the form.
_REFUSALS = (InvalidInput, KeyReused, AnswerRunning, LimitReached)


class Replies:
    """The replies to one request."""

    def __init__(self, request: AnyRequest, chats: Chats, pages: Pages, owner: str) -> None:
        self._request = request
        self._chats = chats
        self._pages = pages
        self._owner = owner

    async def begun(self, turn: Turn, *, opened: bool = False) -> Reply:
        """Show a question that was sent, and its answer."""
        if not by_htmx(self._request):
            return Redirect(f"/chats/{turn.chat_id}", status_code=303)
        transcript = await self._chats.transcript(self._owner, turn.chat_id)
        html = await self._pages.turn(
            await chat_list(self._request),
            await self._chats.models.known(),
            transcript,
            turn.message_id,
            opened=opened,
        )
        response = html_response(html)
        if opened:
            # Only a new chat has a new address: one step back should leave the chat, not repeat it.
            response.headers["HX-Push-Url"] = f"/chats/{turn.chat_id}"
        return response

    async def changed(self, chat_id: str, message_id: str, *, running: bool = True) -> Reply:
        """Show the visible branch as it is now, down from a message at least; `running`: it is answered."""
        if not by_htmx(self._request):
            # A page that loads itself again must not have a fragment: browsers take that for a jump in it.
            place = "" if running else f"?at={message_id}#message-{message_id}"
            return Redirect(f"/chats/{chat_id}{place}", status_code=303)
        transcript = await self._chats.transcript(self._owner, chat_id, at=message_id)
        return html_response(await self._pages.transcript(transcript))

    async def tried(
        self,
        action: Callable[[], Awaitable[Reply]],
        chat_id: str | None,
        *,
        draft: str = "",
        chosen: Chosen | None = None,
    ) -> Reply:
        """Return the reply of an action; without a script a refusal is the page, with the reason."""
        try:
            return await action()
        except _REFUSALS as error:
            if by_htmx(self._request):
                raise
            return await self._refused(error, chat_id, draft, chosen)

    async def _refused(
        self, error: ChatappError, chat_id: str | None, draft: str, chosen: Chosen | None
    ) -> Response[str]:
        transcript = await self._chats.transcript(self._owner, chat_id) if chat_id else None
        html = await self._pages.page(
            await chat_list(self._request),
            await self._chats.models.known(),
            transcript,
            error=error.message,
            draft=draft,
            chosen=chosen,
        )
        response = html_response(html, STATUS[type(error)])
        if isinstance(error, LimitReached):
            response.headers["Retry-After"] = str(error.retry_after)
        return response
