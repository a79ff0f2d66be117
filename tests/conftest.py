"""What every test may ask for, and which tests this machine can run."""

from __future__ import annotations

import functools
import gc
import os
import ssl

import pytest

from tests.support.webdriver import find_browser

# Each bot reads the world's certificates; they are the same for all bots of a process.
ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]

# Each after those it builds on.
pytest_plugins = [
    "tests.support.database_fixture",
    "tests.support.redis_fixture",
    "tests.support.sandbox_fixture",
    "tests.support.job_env",
    "tests.support.payment_env",
    "tests.support.bot_env",
    "tests.support.process_env",
    "tests.support.stars_fixture",
]


def pytest_collection_finish() -> None:
    """Modules and tests stay as long as the process: the collector need not look through them again and again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a browser the page can't be looked at; where everything must run, that is an error and no excuse."""
    # The longest first: they compute by themselves in the background while the others mostly wait.
    items.sort(key=lambda item: "test_sim.py" not in item.nodeid)
    if find_browser() is not None:
        return
    if os.environ.get("CI"):
        raise pytest.UsageError("these tests need Chromium and chromedriver: apt install chromium chromium-driver")
    pages = [item for item in items if item.get_closest_marker("browser")]
    if pages:
        config.hook.pytest_deselected(items=pages)
        items[:] = [item for item in items if not item.get_closest_marker("browser")]
