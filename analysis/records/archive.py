"""A results folder as one small file: all records, and the outcomes of test questions, without texts and weights.

What it holds is a results folder again once it is unpacked (`tar xf FILE`), for every command that reads no texts.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.records.frames import TableError, read_parquet
from analysis.records.load import Problem, Records, ResultsError, cell_folders
from analysis.records.outcomes import COLUMNS as OUTCOMES

SUFFIX = ".tar.xz"


def packed(records: Records) -> tuple[bytes, list[Problem]]:
    """The content of an archive of all cells with a record, the same bytes for the same records; and what is missing.

    Raises ResultsError where a cell lies in several of the folders, as an archive has one place for it.
    """
    folders: dict[str, Path] = {}
    for folder in (cell for results in records.folders for cell in cell_folders(results)):
        if (folder / "record.json").is_file() and folders.setdefault(folder.name, folder) is not folder:
            raise ResultsError(f"{folders[folder.name]} and {folder} are one cell, and an archive holds each cell once")
    problems, content = list(records.problems), io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz", preset=9) as archive:
        for cell_id in sorted(folders.keys() & records.cell_ids):
            folder = folders[cell_id]
            _add(archive, f"{folder.name}/record.json", (folder / "record.json").read_bytes())
            for path in sorted(folder.glob("predictions*.parquet")):
                try:
                    _add(archive, f"{folder.name}/{path.name}", _outcomes(path))
                except TableError as error:
                    problems.append(Problem(path, str(error)))
    return content.getvalue(), problems


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A results folder with what the archive holds, for the time of the context.

    Raises ResultsError if the file is no such archive.
    """
    with TemporaryDirectory() as scratch:
        try:
            with tarfile.open(path, "r:xz") as archive:
                archive.extractall(scratch, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ResultsError(f"{path} is no archive of results ({error}): make it with `pack`") from error
        yield Path(scratch)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # time and owner stay zero: equal records are equal archives
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _outcomes(path: Path) -> bytes:
    """The predictions without texts, uncompressed, as the archive compresses all of them together."""
    rows, written = read_parquet(path, OUTCOMES), io.BytesIO()
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), written, compression="none")
    return written.getvalue()
