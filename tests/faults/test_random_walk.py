"""A random walk through files and git: the stream, applied to what was there, gives what is."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rtevents.core.filter import Filter
from tests.conftest import Daemon, wait_for

STEPS = 200
"""Operations of the walk of every run."""

MANY = 500
"""Operations of a long one."""


class Walk:
    """
    A work tree in which somebody works without rest.

    Args:
        root: An empty folder.
        seed: Names the walk.
        env: The environment of git.
    """

    def __init__(self, root: Path, seed: int, env: dict[str, str]) -> None:
        self.root = root
        self.dice = random.Random(seed)
        self._env = env
        self._count = 0
        self.git("init", "-q", "-b", "main")
        self.write()
        self.git("add", "-A")
        self.git("commit", "-qm", "Begin")

    def git(self, *arguments: str) -> str | None:
        """Run git; return what it said, None when it failed."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=self._env,
            capture_output=True,
            check=False,
        )
        return None if done.returncode else done.stdout.decode()

    def step(self) -> None:
        """Do one thing at random."""
        self._count += 1
        self.dice.choice(STEPS_OF_FILES * 2 + STEPS_OF_GIT)(self)

    def files(self) -> dict[str, int]:
        """Return the files of the work tree, with their sizes."""
        return {
            str(file.relative_to(self.root)): file.lstat().st_size
            for file in self.root.rglob("*")
            if file.is_file() and ".git" not in file.relative_to(self.root).parts
        }

    def refs(self) -> dict[str, str]:
        """Return every branch and tag, with what it names."""
        lines = (self.git("for-each-ref", "--format=%(refname) %(objectname)",
                          "refs/heads", "refs/tags") or "").splitlines()  # fmt: skip
        return {line.split()[0]: line.split()[1] for line in lines}

    def commits(self) -> set[str]:
        """Return every commit that a branch or a tag reaches."""
        return set((self.git("rev-list", "--all", "HEAD") or "").split())

    def write(self) -> None:
        folder = self.root / self.dice.choice(["", "src", "src/deep/er", "doc"])
        folder.mkdir(parents=True, exist_ok=True)
        name = f"f{self.dice.randrange(60)}.txt"
        if (folder / name).is_dir():
            return
        (folder / name).write_text("x" * self.dice.randrange(200) + str(self._count))

    def append(self) -> None:
        if file := self._file():
            with file.open("a") as opened:
                opened.write(f"{self._count}\n")

    def save_by_rename(self) -> None:
        if file := self._file():
            other = file.with_name(f".{file.name}.swp")
            other.write_text(f"saved {self._count}")
            other.replace(file)

    def remove(self) -> None:
        if file := self._file():
            file.unlink()

    def rename(self) -> None:
        if file := self._file():
            file.rename(file.with_name(f"r{self._count}.txt"))

    def rename_and_edit(self) -> None:
        if file := self._file():
            other = file.rename(file.with_name(f"e{self._count}.txt"))
            with other.open("a") as opened:
                opened.write(f"{self._count}\n")

    def rotate(self) -> None:
        if file := self._file():
            older = file.with_name(f"{file.name}.1")
            if older.is_file():
                older.rename(file.with_name(f"{file.name}.{self._count}"))
            if not older.exists():
                file.rename(older)
                file.write_text(f"rotated {self._count}")

    def move_folder(self) -> None:
        source = self.root / "src"
        if source.is_dir():
            source.rename(self.root / f"moved{self._count}")

    def remove_folder(self) -> None:
        folders = [path for path in self.root.iterdir() if path.is_dir() and path.name != ".git"]
        if len(folders) > 3:
            shutil.rmtree(self.dice.choice(folders))

    def burst(self) -> None:
        for _ in range(20):
            self.write()

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", f"Commit {self._count}")

    def amend(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--amend", "-m", f"Amended {self._count}")

    def branch(self) -> None:
        self.git("branch", f"b{self._count}")

    def switch(self) -> None:
        self.commit()
        self.git("checkout", "-q", self._branch())

    def detach(self) -> None:
        self.commit()
        self.git("checkout", "-q", "--detach")
        self.append()
        self.commit()
        self.git("checkout", "-qB", f"d{self._count}")

    def merge(self) -> None:
        self.commit()
        if self.git("merge", "-q", "--no-edit", "--no-ff", self._branch()) is None:
            self.git("merge", "--abort")

    def rebase(self) -> None:
        self.commit()
        if self.git("rebase", "-q", self._branch()) is None:
            self.git("rebase", "--abort")

    def pick(self) -> None:
        self.commit()
        if self.git("cherry-pick", self._branch()) is None:
            self.git("cherry-pick", "--abort")

    def reset(self) -> None:
        self.git("reset", "-q", "--hard", "HEAD~1")

    def stash(self) -> None:
        self.append()
        self.git("stash", "-q", "-u")
        if self.git("stash", "pop", "-q") is None:
            self.git("checkout", "-qf")
            self.git("stash", "drop", "-q")

    def tag(self) -> None:
        self.git("tag", *self.dice.choice([[], ["-am", "Tag"]]), f"t{self._count}")

    def forget(self) -> None:
        refs = sorted(self.refs())
        ref = self.dice.choice(refs)
        if ref != "refs/heads/main" and len(refs) > 3:
            self.git("branch", "-qD", ref.removeprefix("refs/heads/"))
            self.git("tag", "-d", ref.removeprefix("refs/tags/"))

    def pack(self) -> None:
        self.git("pack-refs", "--all")
        self.git("gc", "-q")

    def _file(self) -> Path | None:
        files = sorted(self.files())
        return self.root / self.dice.choice(files) if files else None

    def _branch(self) -> str:
        heads = [ref for ref in sorted(self.refs()) if ref.startswith("refs/heads/")]
        return self.dice.choice(heads).removeprefix("refs/heads/")


STEPS_OF_FILES: list[Callable[[Walk], None]] = [
    Walk.write, Walk.append, Walk.save_by_rename, Walk.remove, Walk.rename, Walk.move_folder,
    Walk.rename_and_edit, Walk.rotate, Walk.remove_folder, Walk.burst,
]  # fmt: skip
STEPS_OF_GIT: list[Callable[[Walk], None]] = [
    Walk.commit, Walk.amend, Walk.branch, Walk.switch, Walk.detach, Walk.merge, Walk.rebase,
    Walk.pick, Walk.reset, Walk.stash, Walk.tag, Walk.forget, Walk.pack,
]  # fmt: skip


class Reader:
    """
    Applies the stream to what was there when it began.

    Args:
        daemon: Whose stream it is.
        walk: What is there.
    """

    def __init__(self, daemon: Daemon, walk: Walk) -> None:
        self._daemon = daemon
        self._after = 0
        self.files = walk.files()
        self.refs = walk.refs()
        self.commits: list[str] = []
        self.wrong: list[str] = []

    def read(self) -> None:
        """Apply what is new."""
        with self._daemon.client() as client:
            while page := client.history(Filter(), after=str(self._after), limit=1000).events:
                for entry in page:
                    self._after = entry.seq
                    self._apply(entry.type, entry.event.data)

    def _apply(self, kind: str, data: dict[str, object]) -> None:
        if kind == "COMMIT":
            self.commits.append(str(data["commit_hash"]))
        elif kind == "REF_UPDATE":
            ref = str(data["ref"])
            if self.refs.get(ref) != data.get("old"):
                self.wrong.append(f"{ref} was {self.refs.get(ref)}, not {data.get('old')}")
            self.refs.pop(ref, None)
            if data.get("new"):
                self.refs[ref] = str(data["new"])
        elif kind == "FILE_CHANGE":
            path = str(data["file_path"])
            if (
                data["change_type"] == "renamed"
                and self.files.pop(str(data["old_path"]), None) is None
            ):
                self.wrong.append(f"{data['old_path']} was not there to be renamed")
            if data["change_type"] in ("created", "renamed") and path in self.files:
                self.wrong.append(f"{path} was there already")
            if data["change_type"] == "deleted":
                if self.files.pop(path, None) is None:
                    self.wrong.append(f"{path} was not there to be deleted")
            else:
                self.files[path] = int(str(data["size"]))


@pytest.mark.parametrize(
    ("seed", "steps"),
    [(1, STEPS), *(pytest.param(seed, MANY, marks=pytest.mark.slow) for seed in (1, 2, 3, 4))],
)
def test_the_stream_of_a_random_walk_gives_the_tree_and_the_refs(
    stopped_daemon: Daemon, tmp_path: Path, seed: int, steps: int
) -> None:
    root = tmp_path.resolve() / "web"
    root.mkdir()
    walk = Walk(root, seed, stopped_daemon.env)
    stopped_daemon.start(str(root))
    reader = Reader(stopped_daemon, walk)
    before = walk.commits()
    for number in range(steps):
        walk.step()
        if number == steps // 2:
            stopped_daemon.stop()
            for _ in range(20):
                walk.step()
            stopped_daemon.start(str(root))

    def is_told() -> bool:
        reader.read()
        is_same = (reader.files, reader.refs) == (walk.files(), walk.refs())
        return is_same and walk.commits() - before <= set(reader.commits)

    with contextlib.suppress(AssertionError):  # what differs is told below
        wait_for(is_told, "the stream gives what is there")
    assert reader.wrong == []
    assert set(reader.files.items()) ^ set(walk.files().items()) == set()
    assert set(reader.refs.items()) ^ set(walk.refs().items()) == set()
    assert walk.commits() - before - set(reader.commits) == set()
    assert len(reader.commits) == len(set(reader.commits))
    assert all(walk.git("cat-file", "-e", f"{sha}^{{commit}}") == "" for sha in reader.commits)
