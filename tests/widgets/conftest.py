import pytest

import steerkit as sk


@pytest.fixture(scope="session")
def storybook_model() -> sk.Model:
    return sk.load()


@pytest.fixture(scope="session")
def features(storybook_model: sk.Model) -> sk.Dictionary:
    return storybook_model.dictionary()
