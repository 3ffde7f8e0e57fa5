"""What tests of batches have: a store, a channel, and a pace that waits for nothing."""

import pytest

from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore


@pytest.fixture
def store(tmp_path):
    """An empty record store."""
    return DirectoryStore(tmp_path / "records")


@pytest.fixture
def notices(tmp_path):
    """An empty channel."""
    return DirectoryNotices(tmp_path / "notices")
