"""A worker in a process of its own gets the settings that it is started with."""

from pathlib import Path

from consumers.demo.stage import _variables
from consumers.settings import Settings, load_settings


def test_a_worker_gets_what_was_set_secrets_included(tmp_path: Path) -> None:
    """What a worker reads from its variables equals what they were made of; a secret is no row of asterisks there."""
    given = Settings(
        namespace="ours",
        instance="first",
        qdrant={"store": "server", "url": "http://127.0.0.1:6334", "api_key": "a-key", "edge_path": tmp_path / "edge"},
        limits={"batch_max_records": 100},
    )
    read = load_settings(environment=_variables(given), folder=tmp_path)
    assert read.model_dump() == given.model_dump()
