"""The demo's folder: made anew at each run, foreign files never touched."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from dicom_node.core.errors import UsageError

MARKER = ".made-by-dicom-node-demo"


@dataclass(frozen=True, slots=True)
class Output:
    """Where the demo keeps what."""

    folder: Path

    @property
    def config(self) -> Path:
        """The node's configuration."""
        return self.folder / "node.toml"

    @property
    def log(self) -> Path:
        """What the node says."""
        return self.folder / "node.log"

    @property
    def data(self) -> Path:
        """The node's database, files and reports."""
        return self.folder / "data"

    @property
    def database(self) -> Path:
        """The node's SQLite database."""
        return self.data / "node.db"

    @property
    def images(self) -> Path:
        """What the stand-in PACS sends."""
        return self.folder / "pacs" / "images"

    @property
    def reports(self) -> Path:
        """What the stand-in PACS got back."""
        return self.folder / "pacs" / "reports"


def make_output(folder: Path, *, data: Path | None) -> Output:
    """Make the folder, or empty the one that an earlier demo made.

    Args:
        data: the user's files, which must not lie in the folder.

    Raises:
        UsageError: the folder holds something that the demo did not put there.
    """
    folder = folder.absolute()
    if data is not None:
        _keep_apart(folder.resolve(), data)
    output = Output(folder)
    try:
        if folder.exists() and not (folder / MARKER).is_file():
            if not folder.is_dir() or any(folder.iterdir()):
                raise UsageError(
                    f"{folder} was not made by the demo and is not empty: name another "
                    "folder with --output"
                )
        else:
            _remove_own(output)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text(
            "The folders data and pacs and the files node.toml and node.log are "
            "replaced by the next `dicom-node demo`.\n"
        )
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({type(error).__name__}): name another folder "
            "with --output"
        ) from None
    return output


def _keep_apart(folder: Path, data: Path) -> None:
    if not data.is_dir():
        raise UsageError(f"there is no folder {data}: name one with --data")
    files = data.resolve()
    if folder == files or folder in files.parents or files in folder.parents:
        raise UsageError(
            f"--data {data} and the output folder {folder} lie in one another: name "
            "another folder with --output"
        )


def _remove_own(output: Output) -> None:
    """Remove what the demo writes, and nothing else."""
    for path in (output.data, output.folder / "pacs", output.config, output.log):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
