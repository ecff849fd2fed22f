"""The static files: read and compressed once, named by their content, and kept by browsers for a year."""

import asyncio
import gzip
import hashlib
from pathlib import Path

import brotli
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.types import HTTPScope, Receive, Send
from msgspec import Struct

from chatapp.web.compression import accepted

__all__ = ("Assets",)

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
#: Beyond this the best compression takes longer than a reader may wait.
_BEST_UP_TO = 64 << 10


class _File(Struct, frozen=True):
    """One file in every encoding that makes it smaller; the plain one has the name "identity"."""

    bodies: dict[str, bytes]
    headers: list[tuple[bytes, bytes]]


class Assets:
    """An ASGI application for `/static`.

    The version stands in the path, so that what a module imports is of its own version. One digest is enough
    for all files: they change together, with a release. Under any other version a file is served too (a page
    of the release before may still ask), only not to be kept.
    """

    def __init__(self, folder: Path) -> None:
        contents = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in _TYPES
        }
        digest = hashlib.sha256()
        for name, content in contents.items():
            digest.update(f"{name}\n{len(content)}\n".encode() + content)
        self.version = digest.hexdigest()[:12]
        self._contents = contents
        self._files: dict[str, _File] = {}

    def url(self, name: str) -> str:
        """Return the address of a file; raise KeyError where there is none."""
        self._contents[name]
        return f"/static/{self.version}/{name}"

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # Litestar looks for these three names
        path = scope["path"].strip("/")  # without the mount's own
        version, _, name = path.partition("/")
        # The plain address serves too: whoever reads a source or a log finds the file.
        if (found := next((known for known in (name, path) if known in self._contents), None)) is None:
            raise NotFoundException
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowedException(headers={"Allow": "GET, HEAD"})
        if found not in self._files:
            # Not at the start, which it would hold up; in a thread, because it takes up to 0.2 s.
            self._files[found] = await asyncio.to_thread(_file, found, self._contents[found])
        file = self._files[found]
        headers = dict(scope["headers"])
        encoding = accepted(headers.get(b"accept-encoding", b"").decode("latin-1"), file.bodies)
        body = file.bodies[encoding]
        tag = f'"{self.version}-{encoding}"'.encode()
        lasting = version == self.version and found == name
        out = [
            *file.headers,
            (b"etag", tag),
            (b"cache-control", b"public, max-age=31536000, immutable" if lasting else b"no-cache"),
        ]
        # A cache may hold several, and a proxy may have made one weak (`W/`): here they mean the same bytes.
        held = [t.strip().removeprefix(b"W/") for t in headers.get(b"if-none-match", b"").split(b",")]
        unchanged = tag in held or b"*" in held
        if not unchanged:
            out.append((b"content-length", str(len(body)).encode()))
            if encoding != "identity":
                out.append((b"content-encoding", encoding.encode()))
        await send({"type": "http.response.start", "status": 304 if unchanged else 200, "headers": out})
        empty = unchanged or scope["method"] == "HEAD"
        await send({"type": "http.response.body", "body": b"" if empty else body, "more_body": False})


def _file(name: str, content: bytes) -> _File:
    quality = 11 if len(content) <= _BEST_UP_TO else 9
    bodies = {
        "br": brotli.compress(content, quality=quality),
        "gzip": gzip.compress(content, 9, mtime=0),
        "identity": content,
    }
    smaller = {key: body for key, body in bodies.items() if key == "identity" or len(body) < len(content)}
    kind = _TYPES[Path(name).suffix].encode()
    # A file needs nothing of its own; the pages' policy would be longer than some of them.
    policy = (b"content-security-policy", b"default-src 'none'")
    return _File(smaller, [(b"content-type", kind), (b"vary", b"Accept-Encoding"), policy])
