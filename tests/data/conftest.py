"""What the tests of this floor share: the cache, and a network that is not there."""

import io
import urllib.request
from urllib.error import URLError

import pytest


@pytest.fixture
def cache(tmp_path):
    """Where every test has its cache."""
    return tmp_path / "cache"


@pytest.fixture
def no_network(monkeypatch):
    """Every request fails as it does on a machine without network."""

    def refuse(*args, **kwargs):
        raise URLError("Temporary failure in name resolution")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


class Response(io.BytesIO):
    """As much of an HTTP response as torchvision looks at."""

    def __init__(self, url, content):
        super().__init__(content)
        self.url, self.length = url, len(content)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder whose files are what the network serves, whatever the host."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    def serve(request):
        file = folder / request.full_url.rpartition("/")[2]
        if not file.is_file():
            raise URLError(f"no {file.name}")
        return Response(request.full_url, file.read_bytes())

    monkeypatch.setattr(urllib.request, "urlopen", serve)
    return folder
