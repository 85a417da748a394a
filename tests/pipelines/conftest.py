from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PREFECT_HOME that tests share which do not look at earlier runs: a private server's new database takes seconds.

    `test_rebuild` runs with that of its own folder, as users do.
    """
    home: Path = tmp_path_factory.mktemp("prefect")
    return str(home)
