"""What each known kind of server needs in order to continue a partial answer. Pure: no I/O."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from msgspec import Struct

__all__ = ("UNKNOWN", "Family", "by_address", "by_owner")


class Family(Struct, frozen=True, kw_only=True):
    """One kind of server, and how it is told to continue the last assistant message."""

    #: Whether the Responses API, with its background mode, is there.
    responses: bool = False
    #: The models that continue (patterns).
    models: tuple[str, ...] = ("*",)
    #: Fields of the last message, and of the request.
    message: Mapping[str, bool] = {}
    request: Mapping[str, bool] = {}
    #: The address that continues, where it is another one.
    base_url: str | None = None

    def continues(self, model: str) -> bool:
        """Tell whether a model is known to continue."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)


#: Continues nothing, as far as we know.
UNKNOWN = Family(models=())

_HOSTS = {
    "api.openai.com": Family(responses=True, models=()),
    # https://api-docs.deepseek.com/guides/chat_prefix_completion
    "api.deepseek.com": Family(message={"prefix": True}, base_url="https://api.deepseek.com/beta"),
    # https://docs.mistral.ai: `prefix` of an AssistantMessage; its answer repeats the prefix.
    "api.mistral.ai": Family(message={"prefix": True}),
    # Passes the message on; OpenAI's, Google's and Anthropic's newer models refuse it or begin anew.
    "openrouter.ai": Family(models=("deepseek/*", "mistralai/*", "meta-llama/*", "qwen/*")),
}
#: By `owned_by` in the list of models, for servers that may be anywhere.
_OWNERS = {
    "vllm": Family(request={"add_generation_prompt": False, "continue_final_message": True}),
    # Continues a last assistant message unless started with --no-prefill-assistant.
    "llamacpp": Family(),
    # The demo model.
    "chatapp": Family(),
}


def by_address(base_url: str) -> Family | None:
    """Return the family whose host is known."""
    return _HOSTS.get(urlsplit(base_url).hostname or "")


def by_owner(owner: str) -> Family:
    """Return the family of a server that says who it is in its list of models."""
    return _OWNERS.get(owner.lower(), UNKNOWN)
