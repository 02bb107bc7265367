"""What tests of methods on tensors share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rehearsals.tensor_parts import model_folder


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny frozen teacher; nobody writes to it."""
    return model_folder(tmp_path_factory.mktemp("models") / "teacher")
