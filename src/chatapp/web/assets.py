"""The static files: read and compressed once, named by their content, and kept by browsers for a year."""

import asyncio
import gzip
import hashlib
import logging
import re
from pathlib import Path

import brotli
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.types import HTTPScope, Receive, Send
from msgspec import Struct
from redis.asyncio import Redis

from chatapp.storage.connections import UNREACHABLE, RedisError
from chatapp.storage.releases import publish_files, read_file
from chatapp.web.compression import accepted
from chatapp.web.lru import LruCache

__all__ = ("Assets",)

logger = logging.getLogger(__name__)

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
_VERSION = re.compile(r"[0-9a-f]{12}", re.ASCII)
#: Bytes of other releases' files that are kept.
_OTHERS = 1 << 20


class _File(Struct, frozen=True):
    """One file in every encoding that makes it smaller; the plain one has the name "identity"."""

    bodies: dict[str, bytes]
    headers: list[tuple[bytes, bytes]]


class Assets:
    """An ASGI application for `/static`.

    The version stands in the path, so that what a module imports is of its own version. One digest is enough
    for all files: they change together, with a release, and modules of two releases do not fit together.
    In a deploy a page of one asks processes of the other: so each leaves its files in Redis, and whoever has
    another version looks there. What is not there is served from what is here, only not to be kept.
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
        self._redis: Redis | None = None
        self._others: LruCache[tuple[str, str], _File] = LruCache(_OTHERS)

    async def share(self, redis: Redis) -> None:
        """Leave the files for processes of other releases, and use theirs from now on."""
        self._redis = redis
        try:
            await publish_files(redis, self.version, self._contents)
        except (*UNREACHABLE, RedisError) as error:
            # They matter in a deploy alone.
            logger.warning("leaving the pages' files for other releases: %s", type(error).__name__)

    def url(self, name: str) -> str:
        """Return the address of a file; raise KeyError where there is none."""
        self._contents[name]
        return f"/static/{self.version}/{name}"

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # Litestar looks for these three names
        path = scope["path"].strip("/")  # without the mount's own
        version, _, name = path.partition("/")
        other = await self._of_another(version, name)
        # The plain address serves too: whoever reads a source or a log finds the file.
        found = next((known for known in (name, path) if known in self._contents), None)
        if found is None and other is None:
            raise NotFoundException
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowedException(headers={"Allow": "GET, HEAD"})
        file = other or await self._own(found or "")
        headers = dict(scope["headers"])
        encoding = accepted(headers.get(b"accept-encoding", b"").decode("latin-1"), file.bodies)
        body = file.bodies[encoding]
        tag = f'"{version if other else self.version}-{encoding}"'.encode()
        lasting = other is not None or (version == self.version and found == name)
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

    async def _own(self, name: str) -> _File:
        if name not in self._files:
            # Not at the start, which it would hold up; in a thread, because it takes up to 0.2 s.
            self._files[name] = await asyncio.to_thread(_file, name, self._contents[name])
        return self._files[name]

    async def _of_another(self, version: str, name: str) -> _File | None:
        """Return a file of another release that has left it."""
        if self._redis is None or version == self.version or not _VERSION.fullmatch(version):
            return None
        if (kept := self._others.get((version, name))) is not None:
            return kept
        try:
            content = await read_file(self._redis, version, name)
        except (*UNREACHABLE, RedisError):
            return None
        if content is None or Path(name).suffix not in _TYPES:
            return None
        file = await asyncio.to_thread(_file, name, content)
        self._others.put((version, name), file, sum(map(len, file.bodies.values())))
        return file


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
