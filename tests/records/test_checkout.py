"""Which commit a record names, and the reason that it gives where nobody can tell."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmark.records.checkout import NO_CHECKOUT, git_state
from benchmark.records.schema import GitState

AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@example.org")
REFUSES = "git refuses: detected dubious ownership, the checkout belongs to another user"


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `safe.directory` of the user would hide a refusal, and a repository around the folder an installed package."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "no such file"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of code in a checkout with one commit."""
    path = tmp_path / "someone" / "package" / "code.py"
    path.parent.mkdir(parents=True)
    path.write_text("one = 1\n")
    git(path.parents[1], "init", "-q")
    git(path.parents[1], "add", ".")
    git(path.parents[1], "commit", "-qm", "one")
    return path


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *AUTHOR, "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def fake_git(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a `git` that runs a script of the shell in front of the real one."""
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def unknown(reason: str) -> GitState:
    return GitState(commit=None, dirty=None, unknown=reason)


def test_a_commit_is_named_and_changes_are_told(source: Path) -> None:
    commit = git(source.parent, "rev-parse", "HEAD")
    assert git_state(source) == GitState(commit=commit, dirty=False, unknown=None)
    assert git_state(source).text == f"commit {commit[:12]}"
    (source.parent / "notes.txt").write_text("untracked")
    assert git_state(source).dirty is False
    source.write_text("one = 2\n")
    assert git_state(source) == GitState(commit=commit, dirty=True, unknown=None)
    assert git_state(source).text == f"commit {commit[:12]}, with changes"


def test_a_checkout_of_another_user_is_said_to_be_one(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git itself then takes every folder for another user's
    assert git_state(source) == unknown(REFUSES)
    assert git_state(source).text == f"commit unknown: {REFUSES}"


def test_the_reason_does_not_depend_on_the_language_of_git(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    english, french = "detected dubious ownership in repository", "propriétaire douteux détecté dans le dépôt"
    script = f'[ "$LC_ALL" = C ] && echo "fatal: {english}" >&2 || echo "fatal : {french}" >&2; exit 128'
    fake_git(tmp_path / "bin", script, monkeypatch)
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    monkeypatch.setenv("LANGUAGE", "fr")
    assert git_state(source) == unknown(REFUSES)


def test_without_git_that_is_the_reason(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(source) == unknown("git is not installed")
    (tmp_path / "git").write_text("no program")  # which nobody may execute
    assert git_state(source) == unknown("git cannot be run: Permission denied")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo \"error: cannot open '/home/ann/repo/.git/index'\" >&2; exit 5", "git failed with exit status 5"),
        ("printf 'fatal: \\377\\376' >&2; exit 128", "git failed with exit status 128"),
        ("kill -9 $$", "git failed with exit status -9"),
    ],
    ids=["in other words", "not UTF-8", "killed"],
)
def test_any_other_failure_is_told_without_gits_own_words(
    script: str, reason: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(tmp_path / "bin", script, monkeypatch)
    assert git_state(source) == unknown(reason)


def test_an_installed_package_is_no_checkout(source: Path, tmp_path: Path) -> None:
    alone = tmp_path / "site-packages" / "code.py"
    alone.parent.mkdir()
    shutil.copy(source, alone)
    assert git_state(alone) == unknown(NO_CHECKOUT)
    inside = source.parents[1] / ".venv" / "site-packages" / "code.py"  # the repository is that of another project
    inside.parent.mkdir(parents=True)
    shutil.copy(source, inside)
    assert git_state(inside) == unknown(NO_CHECKOUT)


def test_a_checkout_without_a_commit_says_so(source: Path) -> None:
    shutil.rmtree(source.parents[1] / ".git")
    git(source.parents[1], "init", "-q")
    git(source.parents[1], "add", ".")
    assert git_state(source) == unknown("the checkout has no commit yet")


def test_a_hook_of_another_repository_changes_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(source.parent, "rev-parse", "HEAD")
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / ".git" / "index"))
    assert git_state(source) == GitState(commit=commit, dirty=False, unknown=None)


def test_no_reason_names_a_path_or_a_person(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [git_state(source)]
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    states.append(git_state(source))
    fake_git(tmp_path / "bin", 'echo "fatal: not a git repository: $PWD" >&2; exit 128', monkeypatch)
    states.append(git_state(source))
    monkeypatch.setenv("PATH", str(tmp_path))
    states.append(git_state(source))
    assert len({state.unknown for state in states}) == 4
    texts = [json.dumps(state.as_json()) for state in states]
    assert not [text for text in texts if "someone" in text or "/" in text]
