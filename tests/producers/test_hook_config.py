"""The hook as a section of the configuration, which is restored to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtevents.errors import NotAllowed
from rtevents.producers.hook import config
from rtevents.producers.hook.block import block
from tests.producers.conftest import git
from tests.producers.hooks import _no_daemon, put, repository

__all__ = ["_no_daemon", "repository"]


@pytest.mark.parametrize(
    "more",
    [
        "",
        "[user]\n\tname = x",
        "# the end\n",
        "\n\n",
        '[hook "rtevents"]\n',
        '[hook "rtevents"]\n\tenabled = true\n',
        "[user]\r\n\tname = \udcff\r\n",
        "\ufeff",
    ],
)
def test_the_configuration_is_restored_to_the_byte(repository: Path, more: str) -> None:
    file = repository / ".git" / "config"
    text = file.read_text()
    text = f"{more}{text}" if more == "\ufeff" else f"{text}{more}"
    put(file, text, 0o600)
    before = (file.read_bytes(), file.stat().st_mode)

    for _ in range(2):
        config.put(file)
        assert config.is_there(file)
        told = git(repository, "config", "--get-all", "hook.rtevents.command")
        assert f"\n{told}\n" in f"\n{block()}"
        assert git(repository, "config", "--get-all", "hook.rtevents.event") == "post-commit"
    config.take_out(file)

    assert (file.read_bytes(), file.stat().st_mode) == before


def test_a_configuration_that_git_is_changing_is_left_alone(repository: Path) -> None:
    file = repository / ".git" / "config"
    before = file.read_bytes()
    file.with_name("config.lock").touch()

    with pytest.raises(NotAllowed, match=r"config\.lock is there: .* try again"):
        config.put(file)

    assert file.read_bytes() == before
    assert file.with_name("config.lock").exists()
