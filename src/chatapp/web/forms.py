"""What all page routes share: reading browsers' forms, and answering htmx or a browser."""

from typing import Any

from litestar import Request, Response
from litestar.enums import MediaType, RequestEncodingType
from litestar.exceptions import ClientException, HTTPException
from litestar.params import Body

__all__ = (
    "AnyRequest",
    "ButtonRequest",
    "FormBody",
    "FormRequest",
    "Html",
    "by_htmx",
    "html_response",
    "text_of",
)

#: No form here has more than a few fields.
_FIELD_LIMIT = 100

Html = Response[str]
AnyRequest = Request[Any, Any, Any]
FormBody = Body(media_type=RequestEncodingType.URL_ENCODED)


class FormRequest(Request[Any, Any, Any]):
    """A request whose body, where it is read, is a form as browsers send it."""

    async def body(self) -> bytes:
        if self.content_type[0] != RequestEncodingType.URL_ENCODED:
            raise HTTPException(status_code=415)
        body = await super().body()
        if body.count(b"&") >= _FIELD_LIMIT:
            raise ClientException
        return body


class ButtonRequest(FormRequest):
    """A request of a button, which may come alone: without any field, and without a body."""

    async def body(self) -> bytes:
        empty = not self.content_type[0] and self.headers.get("content-length", "0") == "0"
        return b"" if empty else await super().body()


def html_response(html: str, status: int = 200, *, then: str = "") -> Html:
    """Answer with HTML that no cache keeps: a reload must show how far the answer has got.

    `then`: events that htmx triggers on the page when it is in place.
    """
    headers = {"Cache-Control": "no-store"} | ({"HX-Trigger": then} if then else {})
    return Response(html, status_code=status, media_type=MediaType.HTML, headers=headers)


def by_htmx(request: AnyRequest) -> bool:
    """Tell whether htmx asks, which wants a fragment and not a page."""
    return request.headers.get("hx-request") == "true"


def text_of(field: str) -> str:
    """Undo what browsers do to a text in a form: every line end is sent as CR LF."""
    return field.replace("\r\n", "\n").strip("\n")
