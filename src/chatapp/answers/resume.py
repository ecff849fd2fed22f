"""How an answer that broke off goes on: the strategy, and the seam between old text and new."""

from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

from msgspec.structs import replace

from chatapp.answers.provider import OpenAIProvider, Prompt, Turn
from chatapp.errors import ProviderError

__all__ = ("Resume", "Seam", "Strategy", "going_on")

#: Characters that must agree with the beginning of the answer before a repetition counts as one.
_ECHO = 20
_GO_ON = (
    "Your last message was cut off. Go on exactly where it stops, in the middle of a word if need be. "
    "Repeat nothing of it, and say nothing about going on."
)


class Strategy(StrEnum):
    """What to do with an answer that has text and no end."""

    #: The provider goes on by itself: open its stream again.
    SERVER = "server"
    #: Ask again, with the text as the beginning of the answer.
    PREFILL = "prefill"
    #: Begin anew; readers are told that the old text is void.
    RESTART = "restart"
    #: Keep the text, and let the person decide.
    NONE = "none"


class Resume:
    """Choose a model's strategy: by the settings, else by what its provider is known to do."""

    def __init__(self, rules: Sequence[tuple[str, str]], provider: OpenAIProvider) -> None:
        self._rules = rules
        self._provider = provider

    async def strategy(self, model: str) -> Strategy:
        """Return the strategy; raise ProviderError when it cannot be found out now."""
        wish = next((wish for pattern, wish in self._rules if fnmatchcase(model, pattern)), "auto")
        if self._provider.background:
            # Has no way to continue a text, and need not.
            return Strategy.SERVER if wish in ("auto", "server", "prefill") else Strategy(wish)
        if wish == "auto":
            family = await self._provider.family()
            return Strategy.PREFILL if family.continues(model) else Strategy.NONE
        return Strategy.NONE if wish == "server" else Strategy(wish)


def going_on(prompt: Prompt, begun: str) -> Prompt:
    """Return the prompt that asks a model in words to go on, for servers that do not do so by themselves."""
    return replace(prompt, turns=[*prompt.turns, Turn("assistant", begun), Turn("user", _GO_ON)])


class Seam:
    """Join a continuation to the text before it.

    A server that begins again from the answer's start says first what is there already. That is dropped; if
    it then goes another way, the text that was shown cannot be kept and followed on: ProviderError.
    """

    def __init__(self, text: str, *, certain: bool = False) -> None:
        """`certain`: the first `text` is a repetition in any case, as from a stream that was opened again."""
        self._text = text
        self._enough = 0 if certain else min(_ECHO, len(text))
        self._matched = 0

    def feed(self, piece: str) -> str:
        """Take the next piece of the continuation and return what is new."""
        if not self._text:
            return piece
        held, expected = self._text[: self._matched], self._text[self._matched :]
        if piece.startswith(expected):
            self._text = ""
            return piece[len(expected) :]
        if expected.startswith(piece):
            self._matched += len(piece)
            return ""
        agreed = self._matched + _common(piece, expected)
        if agreed >= self._enough:
            raise _other_answer()
        self._text = ""
        return held + piece

    def flush(self) -> str:
        """Return what was held back, when nothing more comes."""
        held, self._text = self._text[: self._matched], ""
        if held and len(held) >= self._enough:
            raise _other_answer()
        return held


def _other_answer() -> ProviderError:
    return ProviderError(
        "other_answer", "The provider began another answer instead of going on.", retryable=False
    )


def _common(one: str, other: str) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
