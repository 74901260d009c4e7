# nnsight adds methods to `object` (CPython's own classes included), after which beartype,
# as of 0.23.1, cannot be imported. It is needed as soon as a module of steerkit is.
import beartype  # noqa: F401, I001

import annotated  # noqa: F401  # before anything else imports steerkit
import pytest
import torch

# The tests' models are so small that handing work to a second thread costs more than the work.
torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and this machine has none")
