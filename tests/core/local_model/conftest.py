from collections.abc import Iterator

import pytest

from agentcore_rl.local_model import LocalModel


@pytest.fixture(scope="session")
def local_model() -> Iterator[LocalModel]:
    """One running server for every test that asks it something."""
    with LocalModel() as model:
        yield model
