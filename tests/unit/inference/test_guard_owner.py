"""Root may run a command on the data of a node that another user runs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_node.core.errors import InferenceError
from inference.guard.guard import DecodeGuard
from inference.pixels.layout import PixelLimits

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder of another user, where that user may go: pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="dicom-node-guard-"))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def _as_nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@needs_root
def test_what_root_makes_belongs_to_the_user_of_the_data(data: Path) -> None:
    folder = data / "run" / "guard"
    DecodeGuard(folder, PixelLimits()).close()
    assert folder.stat().st_uid == folder.parent.stat().st_uid == NOBODY
    with _as_nobody():
        DecodeGuard(folder, PixelLimits()).close()


@needs_root
@pytest.mark.parametrize("made", ["run", "run/guard", "run/guard/suspects"])
def test_a_user_that_may_not_write_there_is_told_how_to_mend_it(
    data: Path, made: str
) -> None:
    theirs = data / made
    theirs.parent.mkdir(parents=True, exist_ok=True)
    if theirs.name == "suspects":
        theirs.write_text("")
        os.chown(theirs.parent, NOBODY, NOBODY)
        theirs.chmod(0o600)
    else:
        theirs.mkdir(mode=0o700)
    with _as_nobody(), pytest.raises(InferenceError) as raised:
        DecodeGuard(data / "run" / "guard", PixelLimits())
    said = str(raised.value)
    assert f"{theirs} belongs to root and this process is of nobody" in said
    assert "`chown -R nobody " in said
