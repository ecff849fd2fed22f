"""Find out who is asking, and refuse requests from foreign hosts and sites, before any route is chosen."""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from chatapp.errors import Unauthorized
from chatapp.models import ID_PATTERN
from chatapp.web.errors import send_error

__all__ = ("CONTENT_SECURITY_POLICY", "COOKIE", "Guard", "Sessions", "add_headers", "owner_of")

COOKIE = "chat_session"
#: 400 days, the longest that browsers keep a cookie; renewed with every visit.
_COOKIE_AGE = 400 * 24 * 3600
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
#: These need no owner: they give no cookie, so that a probe or a cache never makes sessions.
_PUBLIC_PATHS = ("/static/", "/health", "/ready", "/metrics", "/schema", "/s/")

#: Bytes and lines of a request's headers: the server itself has no limit.
_HEADER_BYTES = 64 << 10
_HEADER_LINES = 256
#: Seconds for a request's body, all of it, which is 64 KB at most.
_BODY_TIMEOUT = 20
#: A year: browsers that came by TLS once do not come without again.
_TRANSPORT_SECURITY = (b"strict-transport-security", b"max-age=31536000")
#: Whoever reads these holds a connection and a place for it, so no other site may make a browser do so.
_STREAMS = ("/stream", "/events")
#: What the framework would take for one slash.
_ODD_SLASHES = re.compile("//|%2f", re.IGNORECASE)

#: File systems raise errors of their own at NUL and at long names.
_STATIC_PATH = re.compile(r"/static/[\w./-]{1,200}", re.ASCII)

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
#: As they are sent, names in small letters.
_FILE_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
#: What else documents and answers have: of a page's twenty files these were a twentieth of all its bytes.
_RESPONSE_HEADERS = (
    *_FILE_HEADERS,
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


class Sessions:
    """Anonymous owners: 128 random bits, signed, so that nobody can name another's."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(f"chatapp session\n{secret}".encode()).digest()

    def new(self) -> str:
        """Return a new owner's token."""
        return self._token(secrets.token_hex(16))

    def owner(self, token: str) -> str | None:
        """Return whose token this is, or None when it is not ours."""
        owner = token.partition(".")[0]
        if not ID_PATTERN.fullmatch(owner) or not token.isascii():
            return None
        return owner if hmac.compare_digest(self._token(owner), token) else None

    def _token(self, owner: str) -> str:
        return f"{owner}.{hmac.digest(self._key, owner.encode(), 'sha256').hex()}"


class Guard:
    """ASGI middleware: hosts, foreign sites, and the owner."""

    def __init__(self, app: ASGIApp, *, sessions: Sessions, hosts: Iterable[str], local_only: bool) -> None:
        self._app = app
        self._sessions = sessions
        # A page of another name that resolves to this machine must not reach a local server.
        self._hosts = tuple(host.lower() for host in hosts) or (_LOCAL_HOSTS if local_only else ("*",))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = Headers.from_scope(scope)
        set_cookie: str | None = None
        private = False

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableScopeHeaders(message)
                if set_cookie is not None:
                    out.add("Set-Cookie", set_cookie)
                if private:
                    out.setdefault("Cache-Control", "no-store")
            await send(message)

        # The path as the client sent it: the framework cuts off the mount of the static files.
        path = scope["raw_path"].decode("latin-1")
        if (refusal := self._refusal(scope, headers, path)) is not None:
            await send_error(scope, send_with_cookie, *refusal)
            return
        if not path.startswith(_PUBLIC_PATHS):
            try:
                owner, token = self._identify(scope, headers)
            except Unauthorized as error:
                await send_error(scope, send_with_cookie, 401, error.message)
                return
            scope["state"]["owner"] = owner
            private = True
            if token is not None or headers.get("sec-fetch-dest") == "document":
                set_cookie = _cookie(token or _session_cookie(headers, self._sessions) or "", scope)
        if scope["method"] not in _SAFE_METHODS:
            receive = _in_time(receive)
        await self._app(scope, receive, send_with_cookie)

    def _refusal(self, scope: HTTPScope, headers: Headers, path: str) -> tuple[int, str] | None:
        """Return status and words for a request that no route should see."""
        lines = list(scope["headers"])
        if len(lines) > _HEADER_LINES or sum(len(n) + len(v) for n, v in lines) > _HEADER_BYTES:
            return 431, "This request's headers are too long."
        if not self._host_allowed(headers.get("host", "")):
            return 400, "This host is not served here (see CHATAPP_ALLOWED_HOSTS)."
        guarded = scope["method"] not in _SAFE_METHODS or path.rstrip("/").endswith(_STREAMS)
        if guarded and _from_another_site(headers):
            return 403, "This request came from another site."
        if headers.get("content-encoding", "identity") != "identity":
            return 415, "Please send this without Content-Encoding."
        if _ODD_SLASHES.search(path) or (path.startswith("/static/") and not _STATIC_PATH.fullmatch(path)):
            return 404, "There is nothing at this address."
        return None

    def _host_allowed(self, host: str) -> bool:
        host = host.lower()
        name = re.sub(r":[0-9]*$", "", host)
        return bool(name) and any(
            allowed in ("*", name, host) or (allowed.startswith("*.") and name.endswith(allowed[1:]))
            for allowed in self._hosts
        )

    def _identify(self, scope: HTTPScope, headers: Headers) -> tuple[str, str | None]:
        """Return the owner, and the token of one that was made just now."""
        kind, _, credentials = headers.get("authorization", "").partition(" ")
        # Programs may bring a token; pages know the cookie alone, so that no header can stand in for it.
        if kind.lower() == "bearer" and scope["path"].startswith("/api/"):
            owner = self._sessions.owner(credentials.strip())
            if owner is None:
                raise Unauthorized("This bearer token is not valid here.")
            return owner, None
        token = _session_cookie(headers, self._sessions)
        if token is not None and (owner := self._sessions.owner(token)):
            return owner, None
        token = self._sessions.new()
        return token.partition(".")[0], token


async def add_headers(message: Message, scope: Scope) -> None:
    """Put the headers on every response; a hook, because a 404 without a route passes no middleware."""
    if message["type"] == "http.response.start":
        there = {name.lower() for name, _ in message["headers"]}
        wanted = _FILE_HEADERS if scope["raw_path"].startswith(b"/static/") else _RESPONSE_HEADERS
        if scope["scheme"] == "https":
            wanted = (*wanted, _TRANSPORT_SECURITY)
        missing = [header for header in wanted if header[0] not in there]
        message["headers"] = [*message["headers"], *missing]


def owner_of(request: Request[Any, Any, Any]) -> str:
    """Return the owner that the guard found."""
    return cast(str, request.scope["state"]["owner"])


def _in_time(receive: Receive) -> Receive:
    """Let a body that does not arrive in time fail as a request, not hold its connection for ever."""
    deadline = asyncio.get_running_loop().time() + _BODY_TIMEOUT
    waiting = True

    async def receive_in_time() -> Any:
        nonlocal waiting
        if not waiting:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(status_code=408) from None
        waiting = bool(message.get("more_body"))
        return message

    return receive_in_time


def _session_cookie(headers: Headers, sessions: Sessions) -> str | None:
    """Return the first valid session token; a cookie of the same name set by somebody else is passed over."""
    for line in headers.getall("cookie", []):
        for part in line.split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE and sessions.owner(value) is not None:
                return value
    return None


def _cookie(token: str, scope: HTTPScope) -> str:
    secure = "; Secure" if scope["scheme"] == "https" else ""
    return f"{COOKIE}={token}; Path=/; Max-Age={_COOKIE_AGE}; HttpOnly; SameSite=Lax{secure}"


def _from_another_site(headers: Headers) -> bool:
    """Tell whether a browser says that another site made it send this.

    Programs send neither header; browsers cannot be made to leave both out of an unsafe request.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return False
    return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
