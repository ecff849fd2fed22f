"""All routes of the JSON API.

Litestar wants every method of one path in one controller, while each of these has its own reason to change.
No two of them may have a method of the same name.
"""

from chatapp.web.api import ApiController
from chatapp.web.api_list import ListApiController
from chatapp.web.api_share import ShareApiController

__all__ = ("Api",)


class Api(ApiController, ListApiController, ShareApiController):
    """Section 2 of the contract."""
