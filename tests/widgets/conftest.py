from collections.abc import Iterator
from pathlib import Path

import pytest
from panel_page import Page, vector

import steerkit as sk

MODEL = Path(__file__).parents[3] / "shared" / "data" / "models" / "stories260K"


@pytest.fixture(scope="session")
def storybook_model() -> sk.Model:
    return sk.load()


@pytest.fixture(scope="session")
def features(storybook_model: sk.Model) -> sk.Dictionary:
    return storybook_model.dictionary()


@pytest.fixture(scope="session")
def model() -> sk.Model:
    if not MODEL.is_dir():
        pytest.skip(f"needs the model in {MODEL}")
    return sk.load(MODEL)


@pytest.fixture
def panel(model: sk.Model) -> Iterator[Page]:
    panel = Page(model, [vector(model, "1.resid_post")], prompt="One day", max_new_tokens=20)
    yield panel
    panel.close()
