"""Under which names a provider takes temperature and maximum length, and which it refuses. Pure: no I/O."""

import re
from collections.abc import Mapping

__all__ = ("Options",)

#: How refusals speak of a field that is not known (not of a value that is out of range), beside its name.
_UNSUPPORTED = re.compile(
    r"unsupported|not (?:support|permitted|allowed)|unrecogni[sz]ed|unknown|unexpected|deprecated|instead",
    re.I,
)
#: The newer name of OpenAI's chat API, which compatible servers do not know and its newer models insist on.
_NEWER = {"max_tokens": "max_completion_tokens"}


class Options:
    """The names of a provider's fields, and what each model was found to refuse."""

    def __init__(self, limit: str) -> None:
        """`limit`: the name of the field for an answer's maximum length in tokens."""
        self._limit = limit
        #: Model and field -> the name to use in its place, or None to leave it out.
        self._learned: dict[tuple[str, str], str | None] = {}

    def fields(self, model: str, temperature: float | None, max_tokens: int | None) -> dict[str, float | int]:
        """Return the fields to send for the numbers that are set."""
        wanted = {"temperature": temperature, self._limit: max_tokens}
        found: dict[str, float | int] = {}
        for field, value in wanted.items():
            name: str | None = field
            while name is not None and (model, name) in self._learned:
                name = self._learned[model, name]
            if name is not None and value is not None:
                found[name] = value
        return found

    def learn(self, model: str, sent: Mapping[str, object], refusal: str) -> bool:
        """Remember the fields that a refusal names; return whether asking again makes sense."""
        if not _UNSUPPORTED.search(refusal):
            return False
        named = [name for name in sent if re.search(rf"\b{name}\b", refusal)]
        for name in named:
            self._learned[model, name] = _NEWER.get(name)
        return bool(named)
