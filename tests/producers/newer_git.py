"""A git that is newer than this machine's, from Debian's unstable distribution."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PLACE = "DEBIAN_SID"
"""Names a folder with a Debian unstable in which git is; else one is made, which takes minutes."""

WRAPPER = """\
#!/bin/sh
GIT_EXEC_PATH={core} exec {root}/lib64/ld-linux-x86-64.so.2 \\
  --library-path {root}/usr/lib/x86_64-linux-gnu {root}/usr/bin/git "$@"
"""


@pytest.fixture(scope="session")
def newer_git(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose `git` is the newer one, to be put first in PATH."""
    root = Path(os.environ.get(PLACE) or _debootstrap(tmp_path_factory.mktemp("sid")))
    folder = tmp_path_factory.mktemp("newer")
    wrapper = folder / "git"
    wrapper.write_text(WRAPPER.format(root=root, core=folder))
    wrapper.chmod(0o755)
    for program in (root / "usr" / "lib" / "git-core").iterdir():
        # What is no program of the machine's own kind is a script, and runs as it is.
        if program.is_file() and program.read_bytes()[:4] != b"\x7fELF":
            (folder / program.name).symlink_to(program)
    for name in ("git-upload-pack", "git-receive-pack"):
        (folder / name).write_text(f'#!/bin/sh\nexec git {name.removeprefix("git-")} "$@"\n')
        (folder / name).chmod(0o755)
    said = subprocess.run([wrapper, "version"], capture_output=True, text=True, check=False)
    if said.returncode:
        pytest.skip(f"the newer git does not run here: {said.stderr.strip()}")
    return folder


def _debootstrap(folder: Path) -> Path:
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        pytest.skip("a newer git needs debootstrap, run by root: apt-get install debootstrap")
    subprocess.run(
        ["debootstrap", "--variant=minbase", "--include=git", "sid", folder],
        check=True,
        capture_output=True,
    )
    return folder
