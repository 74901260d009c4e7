import pickle
import subprocess
import sys

import pytest

from steerkit import storybook

# In a process of its own the type checks of the tests do not slow it down.
PROGRAM = """
import pickle, sys
from steerkit import storybook
pickle.dump(list(storybook.corpus(seed=3, n=8000)), sys.stdout.buffer)
"""


@pytest.fixture(scope="session")
def stories() -> list[storybook.Story]:
    """A corpus, told once."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    return pickle.loads(done.stdout)
