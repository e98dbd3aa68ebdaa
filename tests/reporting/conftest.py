"""A headless Chromium for all tests here, and pages to open in it."""

import pytest

from .chromium import lacking, started
from .sweeps import strangers, usual, written


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests of a process."""
    if why := lacking():
        pytest.skip(why)
    with started() as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    """The browser. Whatever a test does with a page, it logs nothing to the console and makes no request."""
    chromium.said()
    chromium.asked()
    yield chromium
    assert chromium.said() == []
    assert [url for url in chromium.asked() if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Pages by name, each made once."""
    folder = tmp_path_factory.mktemp("pages")
    makers = {"usual": usual, "strangers": strangers}

    def get(name):
        path = folder / f"{name}.html"
        return path if path.exists() else written(makers[name](), path)

    return get
