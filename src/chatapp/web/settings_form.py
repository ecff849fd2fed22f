"""The settings of a chat as a form sends them."""

import math

from msgspec import Struct

from chatapp.errors import InvalidInput
from chatapp.web.forms import text_of
from chatapp.web.views import Chosen

__all__ = ("SettingsForm",)

_OFF = ("", "0", "false", "off", "no")


class SettingsForm(Struct):
    """Fields that may be missing; `settings` is there when the form had them all.

    A checkbox that is off is not sent: whether its absence means anything only `settings` tells.
    """

    model: str = ""
    system: str = ""
    temperature: str = ""
    max_tokens: str = ""
    stream: str | None = None
    settings: str = ""

    def stream_value(self) -> bool:
        """Return whether answers are shown while they grow: yes, unless a form says otherwise."""
        return not self.settings if self.stream is None else self.stream.strip().lower() not in _OFF

    def temperature_value(self) -> float | None:
        """Return the temperature, None for the provider's default."""
        return _number("temperature", self.temperature)

    def max_tokens_value(self) -> int | None:
        """Return the maximum length in tokens, None for the provider's default."""
        number = _number("max_tokens", self.max_tokens)
        if number is not None and not number.is_integer():
            raise InvalidInput("max_tokens", "The maximum length is a whole number of tokens.")
        return None if number is None else int(number)

    def system_value(self) -> str:
        """Return the system prompt."""
        return text_of(self.system)

    def chosen(self) -> Chosen:
        """Return them as they were typed, for a form that is shown again."""
        return Chosen(self.model, self.system_value(), self.temperature, self.max_tokens, self.stream_value())


def _number(field: str, text: str) -> float | None:
    text = text.strip().replace(",", ".")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(field, "This is not a number.")
    return number
