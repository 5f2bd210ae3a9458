"""rtevents completion: the script that completes words in your shell."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)

ZSH_LAST = "compdef _rtevents_completion rtevents"
"""How typer's script for zsh ends: with nothing for the <TAB> that loads it from `fpath`."""

ZSH_END = """\
if [ "$funcstack[1]" = "_rtevents" ]; then
  _rtevents_completion "$@"
else
  compdef _rtevents_completion rtevents
fi"""
"""Completes at that <TAB> already, and can be sourced as before."""


class Shell(StrEnum):
    """The shells that are known."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command()
def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    """
    Print the completion script of a shell.

    \b
    rtevents completion bash > ~/.local/share/bash-completion/completions/rtevents
    rtevents completion zsh > ~/.zfunc/_rtevents
    rtevents completion fish > ~/.config/fish/completions/rtevents.fish
    """
    from typer._completion_shared import get_completion_script

    script = get_completion_script(
        prog_name="rtevents", complete_var="_RTEVENTS_COMPLETE", shell=shell.value
    )
    print(script.replace(ZSH_LAST, ZSH_END))
