"""What is sent whole is sent small; what is sent bit by bit is left alone."""

import gzip

import brotli
import pytest

from tests.support.client import Person

LONG = "The same words again. " * 400


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("br; q=0.000", None),
        ("identity", None),
        ("", None),
    ],
)
class TestEncoding:
    async def test_of_a_page(self, ann: Person, header: str, encoding: str | None) -> None:
        begun = await ann.begin(f"n=1 {LONG}")
        await ann.follow(begun)
        async with ann.http.stream("GET", begun.page, headers={"Accept-Encoding": header}) as page:
            raw = b"".join([chunk async for chunk in page.aiter_raw()])
        assert page.headers.get("content-encoding") == encoding
        assert page.headers["vary"] == "Accept-Encoding"
        assert int(page.headers["content-length"]) == len(raw)
        assert LONG.strip() in unpacked(raw, encoding)
        assert encoding is None or len(raw) < 6000

    async def test_of_a_file(self, ann: Person, header: str, encoding: str | None) -> None:
        async with ann.http.stream("GET", "/static/app.css", headers={"Accept-Encoding": header}) as file:
            raw = b"".join([chunk async for chunk in file.aiter_raw()])
        assert file.headers.get("content-encoding") == encoding
        assert file.headers["vary"] == "Accept-Encoding"
        assert "--page:" in unpacked(raw, encoding)


def unpacked(raw: bytes, encoding: str | None) -> str:
    if encoding == "br":
        raw = brotli.decompress(raw)
    elif encoding == "gzip":
        raw = gzip.decompress(raw)
    return raw.decode()


async def test_a_stream_stays_plain(ann: Person) -> None:
    begun = await ann.begin("n=400")
    async with ann.http.stream("GET", begun.html, headers={"Accept-Encoding": "br, gzip"}) as stream:
        body = b"".join([chunk async for chunk in stream.aiter_raw()])
    assert "content-encoding" not in stream.headers
    assert b"event: done" in body


async def test_a_page_that_another_site_leads_to_stays_plain(ann: Person) -> None:
    """Its length must not tell how well its words go with those of the address."""
    headers = {"Accept-Encoding": "br, gzip", "Sec-Fetch-Site": "cross-site"}
    page = await ann.http.get("/", headers=headers)
    assert len(page.content) > 1024
    assert "content-encoding" not in page.headers


async def test_head_of_a_file(ann: Person) -> None:
    whole, head = await ann.http.get("/static/app.css"), await ann.http.head("/static/app.css")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert (await ann.http.post("/static/app.css", headers={"Origin": ann.base})).status_code == 405
