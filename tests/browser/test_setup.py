"""The page of the first run, with and without a script."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.conftest import Stage


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("width", [1280, 320])
async def test_the_button_tests(stage: Stage, open_page: Open, script: bool, width: int) -> None:
    setup = await open_page(
        stage.url, "/setup", java_script_enabled=script, viewport={"width": width, "height": 800}
    )
    page = setup.page
    await page.get_by_role("button", name="Test").click()
    await expect(page.get_by_text("answers after")).to_be_visible()
    await expect(page.locator("[data-verdict=ok]")).to_have_count(3)
    assert page.url == f"{stage.url}/setup" if script else f"{stage.url}/setup/test"
    assert await page.locator("html").evaluate("e => e.scrollWidth") <= width
    await page.get_by_role("link", name="Back to the chat").click()
    await expect(setup.prompt).to_be_visible()
    setup.calm()
