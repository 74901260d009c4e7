from collections.abc import Iterator

import pytest
from harness import MODEL, Notebook, Server, chromium
from playwright.sync_api import BrowserContext


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not MODEL.is_dir():
        pytest.skip(f"needs the model in {MODEL}")
    with Server(tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[BrowserContext]:
    with chromium() as context:
        yield context


@pytest.fixture(scope="session")
def shared_notebook(server: Server, browser: BrowserContext) -> Notebook:
    return Notebook(server, browser.new_page(), "shared.ipynb")


@pytest.fixture
def notebook(shared_notebook: Notebook) -> Iterator[Notebook]:
    """A notebook whose kernel has the model; the page's console must stay clean."""
    shared_notebook.errors.clear()
    yield shared_notebook
    assert shared_notebook.errors == []
