"""Every error this program raises on purpose.

ChatappError
├── SettingsError          a wrong environment variable
├── InvalidInput           the person's input cannot be accepted (422)
├── Unauthorized           a bearer token that is not ours (401)
├── NotFound               no such chat or message for this owner (404)
├── AnswerRunning          the chat already has an active answer (409)
├── LimitReached           more at once than one person may have (429)
├── KeyReused              an idempotency key came again with another body (422)
└── StorageUnavailable     Redis does not answer (503)

ProviderError              the model's server failed (502); its code differs from one to the next
"""

from typing import ClassVar


class ChatappError(Exception):
    """Base of all errors; `message` is a sentence for people, free of secrets."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SettingsError(ChatappError):
    """A setting is wrong: the start stops with one line that names the variable."""

    code = "settings"

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(f"{variable}: {message}")
        self.variable = variable


class InvalidInput(ChatappError):
    """The input is well-formed but cannot be accepted."""

    code = "invalid_input"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Unauthorized(ChatappError):
    """The caller's credentials are not ours."""

    code = "unauthorized"


class NotFound(ChatappError):
    """There is no such chat or message for this owner."""

    code = "not_found"

    def __init__(self, message: str = "There is no such chat, or it is not yours.") -> None:
        super().__init__(message)


class AnswerRunning(ChatappError):
    """A chat has one active answer, and this one is still running."""

    code = "answer_running"

    def __init__(self, active_message_id: str) -> None:
        super().__init__("An answer is still running in this chat. Stop it, or wait until it is done.")
        self.active_message_id = active_message_id


class LimitReached(ChatappError):
    """This person asks too often, or has too much open at once."""

    code = "limit_reached"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        #: Seconds after which trying again is worth it.
        self.retry_after = retry_after


class KeyReused(ChatappError):
    """An idempotency key came again with another body."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This was sent before with another text. Send it again (with a new key) to ask this, too."
        )


class StorageUnavailable(ChatappError):
    """Redis does not answer."""

    code = "storage_unavailable"

    def __init__(self) -> None:
        super().__init__("The chat's storage does not answer right now. Please try again in a moment.")


class Damaged(ChatappError):
    """Redis has something under a chat's keys that is not ours, or not whole."""

    code = "damaged"

    def __init__(self) -> None:
        super().__init__("What is stored of this chat cannot be read. Your other chats are not concerned.")


class ProviderError(Exception):
    """The model's server failed; `code` is ours, `message` is for people and holds no secret."""

    def __init__(self, code: str, message: str, *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        #: Seconds the provider wants to be left alone, where it says so.
        self.retry_after = retry_after
