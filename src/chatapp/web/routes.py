"""All routes of the JSON API, and of the pages.

Litestar wants every method of one path in one controller, while each of these has its own reason to change.
No two of them may have a method of the same name.
"""

from chatapp.web.api import ApiController
from chatapp.web.api_list import ListApiController
from chatapp.web.api_share import ShareApiController
from chatapp.web.pages import PagesController
from chatapp.web.pages_list import ListController
from chatapp.web.pages_settings import SettingsController
from chatapp.web.pages_share import ShareController
from chatapp.web.pages_versions import VersionsController

__all__ = ("Api", "HtmlPages")


class Api(ApiController, ListApiController, ShareApiController):
    """All of `/api` but its event stream."""


class HtmlPages(PagesController, ListController, ShareController, VersionsController, SettingsController):
    """All pages of a chat and of the list, and what htmx swaps into them."""
