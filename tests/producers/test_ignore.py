"""IgnoreRules against git itself: `git check-ignore` is the judge."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rtevents.producers.ignore import Explanation, IgnoreRules, is_rule_file
from rtevents.producers.pattern import Origin
from tests.producers.conftest import git

NAMES = ("a", "b", "ab", "a.log", "b.log", ".x", "A", "a b", "é", "#a", "!a", "a\\", "[a]")

FOLDERS = ("", "a", "b", "a/b", "ab", "a/b/ab", ".x")

PATHS = sorted(
    {f"{folder}/{name}".lstrip("/") for folder in FOLDERS for name in NAMES} - set(FOLDERS)
)
"""Files: none of them is the place of a folder."""


def ignored_by_git(root: Path, paths: list[str]) -> set[str]:
    """Return the paths that git ignores."""
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=root,
        input=b"\0".join(map(os.fsencode, paths)),
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return set(map(os.fsdecode, done.stdout.split(b"\0"))) - {""}


def decided_by_git(root: Path, paths: list[str]) -> dict[str, tuple[str, int]]:
    """Return the file and the line of the rule that decides, by the path."""
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--verbose", "-z", "--stdin"],
        cwd=root,
        input=b"\0".join(map(os.fsencode, paths)),
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    fields = [*map(os.fsdecode, done.stdout.split(b"\0"))]
    rows = zip(fields[::4], fields[1::4], fields[3::4], strict=False)
    return {path: (str(root / file), int(line)) for file, line, path in rows}


def decided_by_us(rules: IgnoreRules, paths: list[str]) -> dict[str, tuple[str, int]]:
    """Return the same."""
    words = {path: rules.explain(path) for path in paths}
    return {path: (word.rule.file, word.rule.line) for path, word in words.items() if word.rule}


PLAIN = "a b ab * ? ** *.log .x .* [ab] [!a] [^a] [a-b]* a* A é ab** *b** [a *** **b #a !a"

ODD = r"\* \a \#a [[:alpha:]] [[:no:]] [[:alpha] []a] [!]a] [b-a] [a-] [\]a] [a\-b] ?? a\* *a*b*"

pieces = st.sampled_from(
    [*PLAIN.split(), *ODD.split(), "a b", "[", "[]", "[a-\\b]", "a\\"]
) | st.text("ab*?[]!^-\\:", min_size=1, max_size=6)
patterns = st.builds(
    lambda negation, start, parts, end: f"{negation}{start}{'/'.join(parts)}{end}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/", "**/"]),
    st.lists(pieces, min_size=1, max_size=4),
    st.sampled_from(["", "", "/", "/*", "/**", " ", "  ", "\\ ", "\t", "\r", "\x0c", "\\"]),
)
ignore_files = st.lists(
    patterns | st.sampled_from(["", "# note", "/", "!", "*", "!*/"]), max_size=5
)


def test_git_agrees_whatever_the_patterns_are() -> None:
    home = Path(os.environ["XDG_CONFIG_HOME"])
    root = Path(tempfile.mkdtemp(prefix="rth")).resolve()
    git(root, "init", "-q")
    excludes = home / "git" / "ignore"
    excludes.parent.mkdir(parents=True)
    for path in PATHS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        top=ignore_files,
        nested=ignore_files,
        deep=ignore_files,
        own=ignore_files,
        user=ignore_files,
        any_case=st.booleans(),
    )
    @example(["*", "!*/", "!*.log"], ["!a"], ["*.log"], ["b"], ["a"], False)
    @example(["a/", "!a/b/"], [], [], [], [], False)
    @example(["a/**/ab"], ["b/"], ["!*"], [], [], False)
    @example(["A", "[B]", "\\A/*", "[[:upper:]].LOG"], [], [], [], [], True)
    def compare(
        top: list[str],
        nested: list[str],
        deep: list[str],
        own: list[str],
        user: list[str],
        any_case: bool,
    ) -> None:
        git(root, "config", "core.ignoreCase", str(any_case).lower())
        for file, lines in (
            (root / ".gitignore", top),
            (root / "a" / ".gitignore", nested),
            (root / "a" / "b" / ".gitignore", deep),
            (root / ".git" / "info" / "exclude", own),
            (excludes, user),
        ):
            file.write_bytes("\n".join(lines).encode())
        rules = IgnoreRules(root)

        ours = {path for path in PATHS if rules.hides(path)}

        assert ours == ignored_by_git(root, PATHS)
        assert decided_by_us(rules, PATHS) == decided_by_git(root, PATHS)

    try:
        compare()
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b", "**/a*a/" * 20 + "b", "a/" + "**/*a" * 30])
def test_no_pattern_takes_for_ever(tmp_path: Path, pattern: str) -> None:
    (tmp_path / ".gitignore").write_text(pattern)
    begun = time.monotonic()

    assert not IgnoreRules(tmp_path).hides("a" * 250)
    assert not IgnoreRules(tmp_path).hides("/".join(["aaaa"] * 100))
    assert time.monotonic() - begun < 10


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty repository."""
    git(tmp_path, "init", "-q")
    return tmp_path.resolve()


def test_the_file_of_core_excludesfile_hides(root: Path) -> None:
    (root / "mine").write_text("*.log\n")
    git(root, "config", "--global", "core.excludesFile", str(root / "mine"))

    assert IgnoreRules(root).hides("a.log")
    assert ignored_by_git(root, ["a.log"]) == {"a.log"}


def test_core_excludesfile_in_the_home_folder_hides(root: Path) -> None:
    (Path.home() / "mine").write_text("*.log\n")
    git(root, "config", "core.excludesFile", "~/mine")

    assert IgnoreRules(root).hides("a.log")
    assert ignored_by_git(root, ["a.log"]) == {"a.log"}


def test_the_nearest_rule_decides_before_the_users_own(root: Path) -> None:
    (root / ".git" / "info" / "exclude").write_text("*.log\n")
    (root / ".gitignore").write_text("!keep.log\n")

    rules = IgnoreRules(root)

    assert [rules.hides("a.log"), rules.hides("keep.log")] == [True, False]


def test_nothing_in_an_ignored_folder_comes_back(root: Path) -> None:
    (root / ".gitignore").write_text("build/\n!build/keep\n")
    (root / "build").mkdir()
    (root / "build" / ".gitignore").write_text("!*\n")

    assert IgnoreRules(root).hides("build/keep")


def test_a_pattern_for_folders_does_not_hide_a_file(root: Path) -> None:
    (root / ".gitignore").write_text("build/\n")

    rules = IgnoreRules(root)

    assert not rules.hides("build")
    assert rules.hides("build", is_folder=True)


@pytest.mark.parametrize("path", [".git", ".git/config", "sub/.git", "sub/.git/hooks/x"])
def test_the_git_folder_is_hidden_wherever_it_is(root: Path, path: str) -> None:
    (root / ".gitignore").write_text("!.git\n")

    assert IgnoreRules(root).hides(path)


def test_a_plain_folder_has_rules_too(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n!keep.log\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".gitignore").write_text("/x\n")

    rules = IgnoreRules(tmp_path)

    assert [rules.hides(path) for path in ("a.log", "keep.log", "sub/x", "sub/y/x", "x")] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_a_plain_folder_without_rules_hides_nothing(tmp_path: Path) -> None:
    assert not IgnoreRules(tmp_path).hides("a/b.log")


def test_a_folder_that_is_not_there_hides_nothing(tmp_path: Path) -> None:
    assert not IgnoreRules(tmp_path / "gone").hides("a")


def test_patterns_of_the_settings_come_before_all_others(root: Path) -> None:
    (root / ".gitignore").write_text("!a.tmp\n*.log\n")

    rules = IgnoreRules(root, ["*.tmp", "!keep.log"])

    assert [rules.hides("a.tmp"), rules.hides("keep.log"), rules.hides("a.log")] == [
        True,
        False,
        True,
    ]


def test_an_ignore_file_that_is_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    (root / "patterns").write_text("*.log\n")
    (root / ".gitignore").symlink_to("patterns")

    assert not IgnoreRules(root).hides("a.log")


def test_an_ignore_file_of_other_bytes_than_utf8_is_read(root: Path) -> None:
    (root / ".gitignore").write_bytes(b"\xef\xbb\xbf*.log\nbad\xff\n")
    names = ["a.log", os.fsdecode(b"bad\xff"), "bad"]
    rules = IgnoreRules(root)

    assert {name for name in names if rules.hides(name)} == ignored_by_git(root, names)


def test_a_linked_work_tree_has_the_excludes_of_its_repository(
    repository: Path, tmp_path: Path
) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
    (repository / ".git" / "info" / "exclude").write_text("*.log\n")

    assert IgnoreRules(tmp_path / "linked").hides("a.log")


def test_rules_that_are_forgotten_are_read_again(root: Path) -> None:
    rules = IgnoreRules(root)
    assert not rules.hides("sub/deep/a.log")
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "sub" / "deep" / ".gitignore").write_text("*.log\n")

    rules.forget("sub")

    assert rules.hides("sub/deep/a.log")


def test_a_rule_file_is_known_by_its_name() -> None:
    paths = [".gitignore", "a/.gitignore", ".git/info/exclude", "gitignore", "a/.gitignore/b"]

    assert [is_rule_file(path) for path in paths] == [True, True, False, False, False]


def test_what_git_tracks_is_shown_whatever_the_rules_say(root: Path) -> None:
    for name in ("build/kept/a.txt", "build/b.txt", "c.log"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    git(root, "add", "-f", "build/kept/a.txt", "c.log")
    (root / ".gitignore").write_text("build/\n*.log\n")

    rules = IgnoreRules(root)

    assert not rules.hides("build/kept/a.txt")
    assert not rules.hides("build", is_folder=True)
    assert not rules.hides("build/kept", is_folder=True)
    assert not rules.hides("c.log")
    assert rules.hides("build/b.txt")
    assert rules.hides("build/other", is_folder=True)
    assert rules.hides("d.log")
    assert rules.explain("c.log").is_tracked
    assert rules.explain("build/kept/a.txt").rule is not None
    # But not against the user's own settings.
    assert IgnoreRules(root, ["build/"]).hides("build/kept/a.txt")


def test_rules_are_stale_when_git_tracks_something_else(root: Path) -> None:
    (root / ".gitignore").write_text("*.log\n")
    (root / "a.log").touch()
    (root / "b.txt").touch()
    rules = IgnoreRules(root)
    git(root, "add", "b.txt")
    assert not rules.is_stale
    git(root, "add", "-f", "a.log")
    assert rules.is_stale


def test_a_rule_is_told_with_its_place(root: Path) -> None:
    (root / ".gitignore").write_text("# what is made\n\nbuild/\n*.log\n!keep.log\n")
    rules = IgnoreRules(root, ["*.tmp"])
    file = str(root / ".gitignore")

    assert rules.explain("a.log") == Explanation(hides=True, rule=Origin(file, 4, "*.log"))
    assert rules.explain("keep.log") == Explanation(hides=False, rule=Origin(file, 5, "!keep.log"))
    assert rules.explain("build/x/y") == Explanation(
        hides=True, rule=Origin(file, 3, "build/"), folder="build"
    )
    assert rules.explain("a.tmp") == Explanation(hides=True, rule=Origin("ignore", 1, "*.tmp"))
    assert rules.explain("a.txt") == Explanation(hides=False)
    assert rules.explain(".git/config") == Explanation(hides=True)


def test_no_variable_makes_another_repositorys_rules_count(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q")
    git(other, "config", "core.excludesFile", str(other / "mine"))
    (other / "mine").write_text("*.log\n")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))

    assert not IgnoreRules(root).hides("a.log")


def test_a_pipe_is_no_ignore_file(root: Path) -> None:
    os.mkfifo(root / ".gitignore")

    assert not IgnoreRules(root).hides("a.log")
