"""The page on tasks does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import rtevents
from rtevents.config.project_file import read_project_file
from rtevents.errors import ConfigError
from rtevents.producers.taskfiles import wrong_name
from rtevents.producers.tasklist import STATES, parse
from tests.conftest import Daemon

PAGE = (Path(rtevents.__file__).parent / "docs" / "tasks.md").read_text()


def test_its_examples_run_as_they_are_pasted(daemon: Daemon) -> None:
    blocks = re.findall(r"^```sh tasks\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (daemon.home / "bin").mkdir()
    (daemon.home / "bin" / "rtevents").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m rtevents "$@"\n'
    )
    (daemon.home / "bin" / "rtevents").chmod(0o755)
    done = subprocess.run(
        ["bash", "-eu"],
        input='export PATH="$PWD/bin:$PATH"\n' + "".join(blocks),
        env=daemon.env, cwd=daemon.home, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert len(blocks) == 2
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"task_id":"T-12","status":"done","title":"T-12: Write the guide"' in done.stdout
    assert '"done":2,"total":3,"label":"all tasks"' in done.stdout
    assert '"stderr":["two orders were skipped"]' in done.stdout
    assert "it failed" in done.stdout
    assert "two orders were skipped" in done.stderr


def test_a_projects_own_file_is_read_as_it_is_shown(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(tasks:.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    (tmp_path / ".rtevents.yaml").write_text(blocks[0])
    file = read_project_file(tmp_path)

    assert file is not None
    assert file.tasks() == ["docs/plan.md", "notes/**/*.md"]
    assert wrong_name(file.tasks()) is None
    assert file.ignore() == ["build/", "*.log"]


@pytest.mark.parametrize(
    "text", [f"tasks: {['a.md'] * 101}", f"ignore: {['a'] * 501}", f"ignore: ['{'a' * 1025}']"]
)
def test_a_projects_own_file_is_bounded(tmp_path: Path, text: str) -> None:
    (tmp_path / ".rtevents.yaml").write_text(text)
    file = read_project_file(tmp_path)
    assert file is not None

    with pytest.raises(ConfigError, match=r"\.rtevents\.yaml:1: (tasks|ignore)"):
        file.ignore()


def test_every_mark_is_on_the_page() -> None:
    for mark, status in STATES.items():
        row = next(line for line in PAGE.splitlines() if f"`- [{mark}]`" in line)
        assert f"`{status}`" in row
        assert [item.status for item in parse(f"- [{mark}] a").items] == [status]
