"""What the reference allows is taken, what it forbids is refused, and nothing breaks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Daemon

SETTINGS = """\
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422"]

# What may be asked depends on the folders of this machine, on the logs, or on what they hold.
[[operations]]
include-name = [
  "POST /v1/projects", "POST /v1/commits", "POST /v1/types", "GET /v1/events",
  "PATCH /v1/connections/{id}", "GET /v1/analytics", "GET /v1/stats",
]
checks.positive_data_acceptance.enabled = false

# Where another path with the same form takes other methods.
[[operations]]
include-path = "/v1/tokens/self"
checks.allow_header_conformance.enabled = false
"""


HOOKS = '''\
import schemathesis


@schemathesis.hook
def before_call(context, case, **options):
    """Wait half a second where it would be up to a minute: it gives up on an answer after ten."""
    try:
        if 0.5 < float(case.query["wait"]) <= 60:
            case.query["wait"] = 0.5
    except (KeyError, TypeError, ValueError):
        return
'''


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_no_request_that_can_be_made_up_breaks_it(daemon: Daemon, examples: int) -> None:
    """Schemathesis makes requests from `/openapi.json`, right and wrong, and judges the answers."""
    st = shutil.which("st", path=str(Path(sys.executable).parent))
    if st is None:
        pytest.skip("schemathesis is not installed: it is part of the extra `test`")
    (daemon.home / "schemathesis.toml").write_text(SETTINGS)
    (daemon.home / "hooks.py").write_text(HOOKS)
    with daemon.client() as client:
        url = client.status()["url"]
        token = client.create_token("owner")["token"]

    done = subprocess.run(
        [
            st, "run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {token}",
            # Streams do not end.
            "--exclude-path-regex", "/stream$|/ws$",
            # After ten wrong tokens the answer is 429, on purpose.
            "--exclude-checks", "ignored_auth", "--warnings", "off",
            "--max-examples", str(examples), "--seed", "1", "--no-color",
        ],
        cwd=daemon.home, env={
            **os.environ, "HOME": str(daemon.home), "PYTHONPATH": str(daemon.home),
            "SCHEMATHESIS_HOOKS": "hooks",
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-8000:]
    assert daemon.is_up()
    assert "Traceback" not in daemon.log.read_text()
