"""Name a conversation as a model does that is asked for a title: by the telling words of the question."""

import re
from collections.abc import Mapping, Sequence

__all__ = ("demo_title",)

_WORDS = 5
_ASKED = re.compile(r"Question:\n(.*?)\n\nAnswer:", re.DOTALL)
#: Words that say little about what is asked.
_SMALL = """
a about an and are can could do does explain for from give how i in is it me my of on or please show some tell
that the this to very was what when where which who why will with words write would you your
"""


def demo_title(messages: Sequence[Mapping[str, object]]) -> str:
    """Return the title of the conversation that is asked about, or nothing where no title is asked for."""
    instructions, said = (str(m.get("content")) for m in (messages[0], messages[-1]))
    asked = _ASKED.search(said)
    if asked is None or not instructions.startswith("Write a title"):
        return ""
    small = _SMALL.split()
    words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", asked[1])
    telling = [word for word in words if word.lower() not in small and not word.isdigit()] or words
    title = " ".join(telling[:_WORDS]) or "A question without words"
    return title[:1].upper() + title[1:]
