"""Generated code is kept in git: the same commit for the same files, safe from users, crashes and company."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamiyo.expansion.provenance import Repository, RepositoryError, file_hashes, tag_of, tree_hash

FILES = {"block.py": b"class Block: ...\n", "units/head.py": b"", "units.md": b"# \xff\n", "a/b/c": b"deep"}
CREATED = "2026-01-02T03:04:05+00:00"
TAG = tag_of("run", "0123456789abcdef", "char_lm", tree_hash(FILES))


def keep(folder: Path, files: Mapping[str, bytes] = FILES, tag: str = TAG, created: str = CREATED) -> str:
    return Repository(folder).keep(files, tag=tag, message="One block\n", created=created)


def git(folder: Path, *arguments: str) -> str:
    """Return what the user's own git says of the repository."""
    done = subprocess.run(
        ["git", "-C", str(folder / "expansions.git"), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_files_are_read_back_as_they_were_kept(tmp_path: Path) -> None:
    commit = keep(tmp_path)
    repository = Repository(tmp_path)
    assert repository.files(commit) == FILES
    assert repository.tree(commit) == tree_hash(FILES)
    assert repository.commit_of(TAG) == commit
    assert git(tmp_path, "log", "--all", "--format=%an <%ae> %aI %cI %s %P") == (
        "Tamiyo <tamiyo@localhost> 2026-01-02T03:04:05+00:00 2026-01-02T03:04:05+00:00 One block"
    )
    assert git(tmp_path, "show", f"{TAG}:block.py") == "class Block: ..."
    assert git(tmp_path, "fsck", "--strict") == ""


def test_equal_files_dates_and_messages_are_the_same_commit_anywhere(tmp_path: Path) -> None:
    commits = [keep(tmp_path / name) for name in "ab"]
    assert keep(tmp_path / "b") == commits[0] == commits[1]
    other = keep(tmp_path / "c", created="2026-01-02T03:04:06+00:00")
    assert other != commits[0]
    assert keep(tmp_path / "d", created="2026-01-02T04:04:05+01:00") == commits[0]
    assert git(tmp_path / "b", "rev-list", "--all", "--count") == "1"


@settings(max_examples=25, deadline=None)
@given(run=st.text(min_size=1, max_size=128))
@pytest.mark.parametrize("folder", ["names"])
def test_any_name_of_a_run_makes_a_tag_that_git_takes(
    tmp_path_factory: pytest.TempPathFactory, folder: str, run: str
) -> None:
    if any(0xD800 <= ord(letter) < 0xE000 for letter in run):
        return  # halves of characters cannot be in a database
    tag = tag_of(run, "0" * 64, "char_lm", "1" * 40)
    subprocess.run(["git", "check-ref-format", f"refs/tags/{tag}"], check=True)
    assert all(len(part) <= 140 for part in tag.split("/"))
    assert len(tag.split("/")) == 3


@pytest.mark.parametrize(
    "run", ["-x", "..", "a..b", "x.lock", "@{", "~^:?*[\\", "a b", "é" * 128, "a/b", "HEAD", "%", "."]
)
def test_awkward_names_of_runs_are_kept_under_tags_of_their_own(tmp_path: Path, run: str) -> None:
    tag = tag_of(run, "0" * 64, "char_lm", tree_hash(FILES))
    others = {tag_of(name, "0" * 64, "char_lm", tree_hash(FILES)) for name in ("a", "b", "%25", "-", "a%2Fb")}
    assert tag not in others
    commit = keep(tmp_path, tag=tag)
    assert Repository(tmp_path).commit_of(tag) == commit
    assert git(tmp_path, "tag") == tag


def test_nothing_of_the_users_git_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = keep(tmp_path / "clean")
    home, hooks = tmp_path / "home", tmp_path / "hooks"
    home.mkdir()
    hooks.mkdir()
    for name in ("reference-transaction", "post-commit", "post-update"):
        hook = hooks / name
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\nexit 1\n")
        hook.chmod(stat.S_IRWXU)
    (home / ".gitconfig").write_text(
        f"[user]\nname = Somebody\nemail = a@b\n[core]\nhooksPath = {hooks}\nautocrlf = true\n"
        f"[init]\ntemplateDir = {home}\ndefaultObjectFormat = sha256\n[commit]\ngpgsign = true\n"
    )
    for name, value in {
        "HOME": str(home),
        "GIT_DIR": str(tmp_path / "elsewhere"),
        "GIT_OBJECT_DIRECTORY": str(tmp_path / "objects"),
        "GIT_AUTHOR_NAME": "Somebody",
        "GIT_COMMITTER_DATE": "2000-01-01T00:00:00Z",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "false",
    }.items():
        monkeypatch.setenv(name, value)
    assert keep(tmp_path / "mine") == clean
    assert Repository(tmp_path / "mine").files(clean) == FILES
    assert not (tmp_path / "called").exists()
    assert not (tmp_path / "objects").exists()
    assert not list((tmp_path / "mine" / "expansions.git").glob("hooks/*"))


def test_many_at_once_keep_all_that_they_make(tmp_path: Path) -> None:
    made = [{**FILES, "number": str(n).encode()} for n in range(6)]
    commits: dict[int, str] = {}

    def work(number: int) -> None:
        files = made[number % len(made)]
        tag = tag_of("run", f"{number % len(made)}", "char_lm", tree_hash(files))
        commits[number] = keep(tmp_path, files, tag)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(Repository(tmp_path).files(commits[number]) == made[number % 6] for number in range(12))
    assert len(set(commits.values())) == 6
    assert git(tmp_path, "fsck", "--strict") == ""


_KEEP = """
import sys
from pathlib import Path
from tamiyo.expansion.provenance import Repository, tag_of, tree_hash

print("ready", flush=True)
for number in range(10000):
    files = {"a.py": b"a" * 100_000, "number": str(number).encode()}
    tag = tag_of("run", str(number), "char_lm", tree_hash(files))
    Repository(Path(sys.argv[1])).keep(files, tag=tag, message="m", created="2026-01-01T00:00:00+00:00")
"""


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.11, 0.23])
def test_a_process_killed_at_any_moment_leaves_nothing_that_the_next_one_trips_over(
    tmp_path: Path, after_s: float
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _KEEP, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGKILL)  # with the git that it may be running
    process.wait()
    process.stdout.close()
    commit = keep(tmp_path)
    assert Repository(tmp_path).files(commit) == FILES
    assert not [line for line in git(tmp_path, "fsck", "--strict").splitlines() if "dangling" not in line]


def test_what_a_killed_git_left_locked_is_taken_over(tmp_path: Path) -> None:
    keep(tmp_path, {"other": b""}, "run/other/tabular-1")
    left = tmp_path / "expansions.git" / "refs" / "tags" / f"{TAG}.lock"
    left.parent.mkdir(parents=True)
    left.touch()
    (tmp_path / "expansions.git.part").mkdir()
    commit = keep(tmp_path)
    assert Repository(tmp_path).commit_of(TAG) == commit


def test_a_tag_that_somebody_moved_is_told_and_not_overwritten(tmp_path: Path) -> None:
    other = keep(tmp_path, {"other": b""}, "run/other/tabular-1")
    git(tmp_path, "tag", TAG, other)
    with pytest.raises(
        RepositoryError, match=f"tag {TAG} of .* is of tree .* somebody moved the tag: delete it"
    ):
        keep(tmp_path)
    assert Repository(tmp_path).commit_of(TAG) == other


def test_a_commit_that_is_not_there_is_refused_with_where_to_get_it(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "other"):
        if folder != tmp_path:
            keep(folder)
        for commit in ("f" * 40, "HEAD", "--help", ""):
            assert not Repository(folder).has(commit)
            with pytest.raises(
                RepositoryError, match=r"holds no commit .* fetch it: `git .* fetch OTHER/exp.* absolute"
            ):
                Repository(folder).files(commit)
    assert not (tmp_path / "expansions.git").exists(), "asking makes no repository"


def test_without_a_git_program_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RepositoryError, match=r"no git program; .* install git"):
        keep(tmp_path)


def test_a_folder_that_cannot_be_written_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RepositoryError, match=r"cannot write .*; check its permissions, or name another"):
        keep(tmp_path / "file" / "below")


def test_damaged_objects_are_told(tmp_path: Path) -> None:
    commit = keep(tmp_path)
    for path in (tmp_path / "expansions.git" / "objects").glob("??/*"):
        path.chmod(0o644)
        path.write_bytes(b"damaged")
    with pytest.raises(RepositoryError):
        Repository(tmp_path).files(commit)


def test_hashes_of_files_are_those_of_their_contents() -> None:
    assert file_hashes({"b": b"", "a": b"x"}) == {
        "a": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "b": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }
