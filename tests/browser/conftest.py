import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import MODEL, PATIENCE_MS, Notebook, Server, chromium
from playwright.sync_api import BrowserContext, Locator, Page

import steerkit as sk
from steerkit_widgets._base import Widget


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
def notebooks(server: Server, browser: BrowserContext) -> Callable[[str], Notebook]:
    """Opens, once for each host, a notebook whose kernel has the model."""
    return functools.cache(lambda app: Notebook(server, browser.new_page(), f"shared-{app}.ipynb", app))


@pytest.fixture
def app(request: pytest.FixtureRequest) -> str:
    """The host of `notebook`: JupyterLab, unless a test asks for others too."""
    return getattr(request, "param", "lab")


@pytest.fixture
def notebook(notebooks: Callable[[str], Notebook], app: str) -> Iterator[Notebook]:
    """A notebook whose kernel has the model; the page's console must stay clean."""
    shared_notebook = notebooks(app)
    try:
        shared_notebook.server.reach()
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)
    shared_notebook.errors.clear()
    yield shared_notebook
    assert shared_notebook.errors == []


@pytest.fixture
def release(notebook: Notebook) -> Iterator[None]:
    """The cell `HELD` ends with the test at the latest."""
    yield
    notebook.release()
    (notebook.server.root / "release").unlink()


@pytest.fixture(scope="session")
def storybook_model() -> sk.Model:
    return sk.load()


@pytest.fixture(scope="session")
def features(storybook_model: sk.Model) -> sk.Dictionary:
    return storybook_model.dictionary()


@pytest.fixture
def offline_page(browser: BrowserContext) -> Iterator[Page]:
    """A page that has no network, while those of the shared notebook keep theirs."""
    context = browser.browser.new_context(viewport={"width": 1280, "height": 1000}, offline=True)
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.fixture
def saved(offline_page: Page, tmp_path: Path) -> Iterator[Callable[[Widget], Locator]]:
    """Opens a widget's saved page, without a kernel or a network; its console must stay clean."""
    page, errors = offline_page, []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))

    def show(widget: Widget) -> Locator:
        widget.save_html(tmp_path / "widget.html")
        page.goto((tmp_path / "widget.html").as_uri())
        root = page.locator(".sk-root").first  # a lab has those of its views within
        root.wait_for()
        return root

    yield show
    assert errors == []
