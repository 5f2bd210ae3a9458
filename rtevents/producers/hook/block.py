"""What the hook does, in the shell's own words."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

BEGIN = "# >>> rtevents >>>"
END = "# <<< rtevents <<<"
SHEBANG = "#!/bin/sh"

MOST = 1_000_000
"""Bytes of a spool that is put aside: where no daemon ever reads it, the last two are kept."""

BLOCK = """\
{begin}
# Notes the commit for the daemon; a commit never waits or fails for it. RTEVENTS=0 switches it
# off. `rtevents hook uninstall` takes it out.
if [ "${{RTEVENTS:-1}}" != 0 ]; then {{
  rte_dir=${{GIT_DIR:-.git}} rte_head='' rte_sha=''
  rte_all=$rte_dir
  # Read by hand where that is sure: to start another program takes longer than all the rest.
  if [ -f "$rte_dir/commondir" ] && read -r rte_all < "$rte_dir/commondir"; then
    case $rte_all in /*) ;; *) rte_all=$rte_dir/$rte_all ;; esac
  fi
  if [ -f "$rte_dir/HEAD" ] && read -r rte_head < "$rte_dir/HEAD"; then
    case $rte_head in
      "ref: "*) [ -f "$rte_all/${{rte_head#ref: }}" ] &&
        read -r rte_sha < "$rte_all/${{rte_head#ref: }}" ;;
      *) rte_sha=$rte_head ;;
    esac
    case $rte_sha in *[!0-9a-f]*) rte_sha='' ;; esac
  fi
  if [ "${{#rte_sha}}" -lt 40 ]; then
    rte_all=$(git rev-parse --git-common-dir) && rte_sha=$(git rev-parse HEAD)
  fi
  rte_spool=$rte_all/rtevents/spool rte_tells=1
  [ -d "$rte_all/rtevents" ] || mkdir "$rte_all/rtevents"
  # A daemon that watches sees the note, at once or when it is started again. Else who is first
  # has told what is noted, a moment later. Either may have been killed: one commit in sixteen
  # is not left to them.
  if [ -f "$rte_all/rtevents/watched" ] || [ -f "$rte_spool" ]; then
    case $rte_sha in *0) ;; *) rte_tells='' ;; esac
  fi
  if [ -n "$rte_sha" ] && echo "$rte_sha" >> "$rte_spool" && [ -n "$rte_tells" ]; then (
    [ "$(wc -c < "$rte_spool")" -lt {most} ] || mv -f "$rte_spool" "$rte_spool.taken"
    rte={program}
    [ -x "$rte" ] || rte=$(command -v rtevents) || exit 0
    unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE GIT_PREFIX GIT_COMMON_DIR GIT_OBJECT_DIRECTORY
    # In a shell of its own: this one holds git's output open, and who reads that would wait.
    exec sh -c 'sleep 1; exec "$0" hook tell -C "$1"' "$rte" "$rte_dir"
  ) & fi
}} </dev/null >/dev/null 2>&1 || :; fi
{end}
"""


def block() -> str:
    """Return what is put into a hook."""
    program = shutil.which("rtevents", path=str(Path(sys.executable).parent)) or "rtevents"
    return BLOCK.format(begin=BEGIN, end=END, most=MOST, program=shlex.quote(program))


def without_block(text: str, instead: str = "") -> str:
    """Return a hook without the block, or with another one in its place."""
    begin = text.find(BEGIN)
    end = text.find(END, begin)
    if begin < 0 or end < 0:
        return text
    return text[:begin] + instead + text[end + len(END) + 1 :]
