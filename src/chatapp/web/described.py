"""What the OpenAPI document says of a route beside what its signature says."""

from dataclasses import dataclass

from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Components, Operation, RequestBody, SecurityScheme
from msgspec import UNSET, Struct, UnsetType

__all__ = ("EVENTS", "LOCATION", "SECURITY", "SECURITY_SCHEMES", "OptionalBody", "problems")


class Problem(Struct):
    """An error (RFC 9457); `field` names what cannot be accepted."""

    type: str
    title: str
    status: int
    detail: str
    code: str | UnsetType = UNSET
    field: str | UnsetType = UNSET
    active_message_id: str | UnsetType = UNSET


_MEANINGS = {
    400: "This request could not be understood.",
    401: "The bearer token is not valid here.",
    403: "Another site made a browser send this.",
    404: "There is no such chat or message, or it is not yours.",
    408: "The body took too long to arrive.",
    409: "An answer is still running in this chat: `active_message_id`.",
    413: "The body is longer than 64 KB.",
    415: "The body is not JSON, or is compressed.",
    422: "The input cannot be accepted; `field` says which.",
    429: "More than one person may have; `Retry-After` says when to try again.",
    502: "Only the provider knows its models, and it does not say them.",
    503: "The storage does not answer, or what it has of this chat cannot be read.",
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Describe the errors with these statuses, and those that every route has."""
    return {
        status: ResponseSpec(
            Problem,
            description=_MEANINGS[status],
            media_type="application/problem+json",
            generate_examples=False,
        )
        for status in sorted({400, 401, 503, *statuses})
    }


#: A stream of events; OpenAPI has no words for what is in one.
EVENTS = {
    200: ResponseSpec(
        str, description="Server-sent events", media_type="text/event-stream", generate_examples=False
    )
}
LOCATION = [
    ResponseHeader(name="Location", description="The answer's address.", documentation_only=True, value="")
]
SECURITY: list[dict[str, list[str]]] = [{}, {"session": []}, {"token": []}]
SECURITY_SCHEMES = Components(
    security_schemes={
        "session": SecurityScheme(
            type="apiKey",
            name="chat_session",
            security_scheme_in="cookie",
            description="Given to whoever has none.",
        ),
        "token": SecurityScheme(type="http", scheme="bearer", description="The session cookie's value."),
    }
)


@dataclass
class OptionalBody(Operation):
    """An operation whose body may be left out."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False
