"""The pages' files in a deploy: of another release they come from Redis, whichever process is asked."""

from __future__ import annotations

from redis import Redis

from chatapp.storage.connections import Connections
from chatapp.storage.releases import publish_files, read_file
from tests.conftest import Stage
from tests.support.client import Person

#: The server keeps what it has read of it: no other test asks for this version.
OTHER = "0a1b2c3d4e5f"


async def test_a_file_of_another_release(stage: Stage, ann: Person) -> None:
    with Redis.from_url(stage.redis.url) as redis:
        redis.hset(f"files:{OTHER}", mapping={"dom.js": "export const other = 1;", "vendor/other-9.js": "9"})
        found = await ann.http.get(f"/static/{OTHER}/dom.js")
        assert (found.status_code, found.text) == (200, "export const other = 1;")
        assert found.headers["content-type"] == "text/javascript; charset=utf-8"
        assert "immutable" in found.headers["cache-control"]
        again = await ann.http.get(
            f"/static/{OTHER}/dom.js", headers={"If-None-Match": found.headers["etag"]}
        )
        assert again.status_code == 304
        # A name that this release does not have.
        assert (await ann.http.get(f"/static/{OTHER}/vendor/other-9.js")).text == "9"
        redis.delete(f"files:{OTHER}")


async def test_a_release_that_has_left_nothing(ann: Person) -> None:
    found = await ann.http.get("/static/ba9876543210/dom.js")
    assert found.status_code == 200
    assert found.headers["cache-control"] == "no-cache"
    assert (await ann.http.get("/static/ba9876543210/vendor/other-9.js")).status_code == 404


async def test_every_process_leaves_its_own(stage: Stage, ann: Person) -> None:
    page = (await ann.http.get("/")).text
    version = page.partition("/static/")[2].partition("/")[0]
    with Redis.from_url(stage.redis.url) as redis:
        assert redis.zrange("releases", 0, -1) == [version.encode()]
        left = redis.hgetall(f"files:{version}")
    for name in (b"dom.js", b"app.css", b"icon-180.png"):
        assert (await ann.http.get(f"/static/{version}/{name.decode()}")).content == left[name]


async def test_the_oldest_go(redis_url: str) -> None:
    async with Connections(redis_url) as connections:
        redis = connections.commands
        for number in range(5):
            await publish_files(redis, f"{number:012}", {"dom.js": b"%d" % number})
        found = [await read_file(redis, f"{number:012}", "dom.js") for number in range(5)]
        assert found == [None, None, b"2", b"3", b"4"]
        assert await redis.zrange("releases", 0, -1) == [b"000000000002", b"000000000003", b"000000000004"]
