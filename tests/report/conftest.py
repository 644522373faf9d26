from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.report.tabs import CHROMIUM, PATIENCE


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE
        )
        yield launched
        launched.close()
