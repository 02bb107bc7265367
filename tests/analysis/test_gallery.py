"""Packed records say what the folder said, and a gallery's page says what its records say."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from analysis.commands.app import main
from analysis.records.archive import unpacked
from analysis.records.load import ResultsError
from tests.analysis.record_files import make_record, write_record, write_small_sweep

Capture = pytest.CaptureFixture[str]
TABLE = ["table", "--columns", "all"]


def predicted(record: Path, name: str = "predictions") -> None:
    """Predictions with texts beside a record, whose mean is its score."""
    right = [number < 450 for number in range(500)]
    rows = pd.DataFrame(
        {
            "example_id": [f"q{number}" for number in range(500)],
            "text": [f"SECRET {number}" for number in range(500)],
            "correct": right,
            "grade": None,
        }
    )
    rows.to_parquet(record.with_name(f"{name}.parquet"))


def shown(folder: Path, capsys: Capture) -> str:
    capsys.readouterr()
    assert main([*TABLE, "--results", str(folder)]) == 0
    return capsys.readouterr().out


def test_a_packed_folder_gives_the_same_table_without_texts(results: Path, tmp_path: Path, capsys: Capture) -> None:
    write_small_sweep(results)
    for seed in (1, 2, 3):
        predicted(write_record(results, make_record("srd_kd", 0.9, seed)))
    (results / "0123").mkdir()  # a cell that runs now
    packs = [tmp_path / "one.tar.xz", tmp_path / "two.tar.xz"]
    for pack in packs:
        assert main(["pack", "--results", str(results), "--output", str(pack)]) == 0
    assert packs[0].read_bytes() == packs[1].read_bytes()
    with unpacked(packs[0]) as folder:
        before, after = shown(results, capsys), shown(folder, capsys)
        assert after == before
        assert "± " in after  # the intervals over questions too
        assert not any(b"SECRET" in path.read_bytes() for path in folder.rglob("*.parquet"))
        assert len(list(folder.rglob("*.parquet"))) == 3
    assert not folder.exists()


def test_a_damaged_file_is_named_and_the_rest_is_packed(results: Path, tmp_path: Path, capsys: Capture) -> None:
    write_small_sweep(results)
    record = write_record(results, make_record("srd_kd"))
    broken = record.with_name("predictions.parquet")
    broken.write_text("no table")
    pack = tmp_path / "pack.tar.xz"
    assert main(["pack", "--results", str(results), "--output", str(pack)]) == 1
    assert f"skipped {broken}" in capsys.readouterr().err
    with unpacked(pack) as folder:
        assert "srd_kd" in shown(folder, capsys)


def test_a_cell_in_two_folders_is_refused(tmp_path: Path, capsys: Capture) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        for seed in (1, 2):
            write_record(folder, make_record(seed=seed))
    command = ["pack", *(word for folder in folders for word in ("--results", str(folder)))]
    assert main([*command, "--output", str(tmp_path / "pack.tar.xz")]) == 2
    error = capsys.readouterr().err
    assert "an archive holds each cell once" in error
    first, second = re.findall(r"\S+/([0-9a-f]{32})", error)
    assert first == second  # one cell in both places
    assert not (tmp_path / "pack.tar.xz").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\xfd7zXZ\x00 cut"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pack.tar.xz"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match="is no archive of results"), unpacked(path):
        pass


def test_an_archive_writes_nothing_outside_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "pack.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        member = tarfile.TarInfo("../../outside")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(ResultsError, match="is no archive of results"), unpacked(path):
        pass


ENTRY = """
small:
  question: Does it help? It does.
  read_more: methods/elad.md
  show:
    - compare --baseline answer_only
    - plot forest --baseline answer_only
"""


@pytest.fixture
def archives(results: Path, tmp_path: Path) -> Path:
    """A folder with one packed sweep and its gallery.yaml."""
    write_small_sweep(results)
    folder = tmp_path / "docs" / "results"
    assert main(["pack", "--results", str(results), "--output", str(folder / "small.tar.xz")]) == 0
    (folder / "gallery.yaml").write_text(ENTRY)
    return folder


def gallery(archives: Path) -> int:
    return main(["gallery", "--archives", str(archives), "--output", str(archives.parent / "results.md")])


def test_a_page_shows_what_each_command_prints(archives: Path, results: Path, capsys: Capture) -> None:
    assert gallery(archives) == 0
    page = (archives.parent / "results.md").read_text()
    capsys.readouterr()
    assert main(["compare", "--baseline", "answer_only", "--results", str(results)]) == 0
    assert capsys.readouterr().out.strip() in page
    assert "## small\n\nDoes it help? It does.\n" in page
    assert "12 cells, 1 failed" in page
    assert "(results/small-forest.png)" in page
    assert "(results/small.tar.xz)" in page
    assert (archives / "small-forest.png").exists()
    assert (archives / "small-forest.csv").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("answer_only", "answer_olny", "answer_olny"),
        ("compare", "compair", "compair"),
        ("question:", "qestion:", "gallery.yaml: small.question: Field required"),
        ("small:", "smal:", "smal.tar.xz is no archive of results"),
        ("  show:", "show", "gallery.yaml cannot be read"),
    ],
)
def test_a_wrong_entry_is_named_and_the_old_page_stays(
    archives: Path, capsys: Capture, old: str, new: str, message: str
) -> None:
    page = archives.parent / "results.md"
    page.write_text("old")
    (archives / "gallery.yaml").write_text(ENTRY.replace(old, new))
    assert gallery(archives) == 2
    assert message in capsys.readouterr().err
    assert page.read_text() == "old"
