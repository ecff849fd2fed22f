"""Parse a source into top-level blocks, with pyromark (pulldown-cmark in Rust). No other module calls it."""

import re
from collections.abc import Callable, Generator
from typing import Any, cast

import pyromark
from msgspec import Struct
from msgspec.structs import replace

from chatapp.rendering.builder import Block, Builder, Context, Events, key_of
from chatapp.rendering.code import colour
from chatapp.rendering.protect import Protected, protect
from chatapp.rendering.step import Step

__all__ = ("Block", "Context", "Parsed", "parse")

_OPTIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_TASKLISTS
    | pyromark.Options.ENABLE_FOOTNOTES
)
#: There is no code without one of these.
_CODE = re.compile("`|~~~|\t| {4}")
#: Of events that are only looked at.
_EVENTS_A_STEP = 2_000


class Parsed(Struct, frozen=True):
    """The blocks, and by label where a link is defined and its address.

    `alone`: no block knows of another, so that parsing one of them by itself finds the same.
    """

    blocks: list[Block]
    links: dict[str, tuple[int, str]]
    alone: bool

    def begins(self, kind: str) -> bool:
        """Tell whether the first block is of this kind."""
        return bool(self.blocks) and self.blocks[0].kind == kind

    def finished(self) -> tuple[list[Block], int]:
        """Return the blocks that nothing changes any more, and where the rest begins."""
        if not self.blocks:
            return [], 0
        # A definition has no block of its own, but ends the one before.
        *done, last = self.blocks
        after = [start for start, _ in self.links.values() if start >= last.end]
        return (self.blocks, min(after)) if after else (done, last.start)

    def second(self, rest: int) -> int:
        """Return where what follows the first block begins; `rest` where no other block does."""
        after = [start for start, _ in self.links.values() if start >= self.blocks[0].end]
        return min([self.blocks[1].start if len(self.blocks) > 1 else rest, *after])

    def rest(self, start: int, done: int = 0) -> "Parsed":
        """Return what is left without the first `done` blocks, its positions counted from `start`."""
        blocks = [
            replace(
                block,
                start=max(0, block.start - start),
                end=block.end - start,
                starts=tuple(line - start for line in block.starts),
            )
            for block in self.blocks[done:]
        ]
        links = {label: (place - start, url) for label, (place, url) in self.links.items()}
        return Parsed(blocks, links, self.alone)


def parse(
    source: str, context: Context, *, loose: bool = False, highlighted: bool = False, growing: bool = False
) -> Generator[Step, None, Parsed]:
    """Yield between steps; return the blocks of `source`, its first list loose when that is asked for.

    A block sees the definitions before it and inside of it, never those after it: what is finished must not
    depend on how much of the rest was there. `growing`: the source may go on. `highlighted`: colour code.
    """
    parsed = yield from _seen(source, context, loose=loose, growing=growing)
    if highlighted:
        for block in parsed.blocks:
            yield from colour(block.codes)
    return parsed


def _seen(source: str, context: Context, *, loose: bool, growing: bool) -> Generator[Step, None, Parsed]:
    parsed = yield from _parse(source, context, loose=loose, growing=growing)
    if not parsed.links:
        return parsed
    blocks: list[Block] = []
    context = Context(dict(context.links), set(context.notes))
    starts = sorted({start for start, _ in parsed.links.values()})
    for index, block in enumerate(parsed.blocks):
        follows = parsed.blocks[index + 1].start if index + 1 < len(parsed.blocks) else len(source)
        end = min([follows, *(start for start in starts if start >= block.end)])
        for label, (start, url) in parsed.links.items():
            if start < block.start:
                context.links.setdefault(label, url)
        again = yield from _parse(
            source[block.start : end],
            context,
            loose=loose,
            growing=growing and end == len(source),
        )
        if again.blocks:
            block = replace(block, node=again.blocks[0].node, codes=again.blocks[0].codes)
        blocks.append(block)
        if block.kind == "FootnoteDefinition" and block.info is not None:
            context.notes.add(block.info)
        loose = False
    return Parsed(blocks, parsed.links, parsed.alone)


def _parse(source: str, context: Context, *, loose: bool, growing: bool) -> Generator[Step, None, Parsed]:
    hidden = yield from protect(source, _code, growing=growing)
    builder = Builder(hidden, context, loose=loose)
    events = pyromark.events_with_range(
        hidden.text, options=_OPTIONS, merge_text=True, broken_link_callback=_known(hidden, context)
    )
    # A paragraph of brackets alone takes some milliseconds before its first event, and one for each text.
    yield None
    yield from builder.build(cast("Events", events))
    links = {}
    defines = "]:" in hidden.text
    if defines:
        yield None
        found = pyromark.reference_definitions(hidden.text, options=_OPTIONS)
        for label, definition in found.items():
            start = builder.line(definition["span"]["start"])
            links[key_of(hidden.restore(label))] = (start, hidden.restore(definition["dest"]))
    return Parsed(builder.blocks, links, not defines)


def _code(text: str) -> Generator[Step, None, list[tuple[int, int]]]:
    """Return where the code of a text is: blocks, and spans."""
    if not _CODE.search(text):
        return []
    raw = text.encode()
    result: list[tuple[int, int]] = []
    offset = count = 0
    for number, (event, place) in enumerate(pyromark.events_with_range(text, options=_OPTIONS), 1):
        if number % _EVENTS_A_STEP == 0:
            yield None
        if not isinstance(event, dict):
            continue
        kind = event.get("Start")
        if "Code" in event or (isinstance(kind, dict) and "CodeBlock" in kind):
            start = count + len(raw[offset : place["start"]].decode(errors="ignore"))
            end = start + len(raw[place["start"] : place["end"]].decode(errors="ignore"))
            result.append((start, end))
            offset, count = place["end"], end
    return result


def _known(hidden: Protected, context: Context) -> Callable[[Any], tuple[str, str] | None] | None:
    """Return what tells the parser the addresses that were defined elsewhere."""
    links = context.links
    if not links:
        return None

    def find(found: Any) -> tuple[str, str] | None:
        url = links.get(key_of(hidden.restore(found["reference"])))
        return None if url is None else (url, "")

    return find
