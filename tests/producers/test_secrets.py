"""What looks like a secret: what people commit by mistake, and not what they write all day."""

from __future__ import annotations

import pytest

from rtevents.producers.secrets import looks_secret

# In two halves: this file is to be one that may be committed.
FOUND = [
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "/bPxRfiCYq7zT2mxKEY9"),
    ('aws_secret_access_key = "wJa', 'lrXUtnFEMI/K7MDENG/bPxRfiCYq7zT2mxKEY9"'),
    ('password = "hunter2', 'hunter2"'),
    ("db.Password: 'p4ssw!", "rd.9x'"),
    ('"client_secret": "Zx81', '-9kQe-77"'),
    ('headers["api_key"] = "9f8e7d', '6c5b4a"'),
    ('token: str = "kq3v9', 'z7w1x"'),
    ('const apiKey = "kq3v9', 'z7w1x";'),
    ("export DB_PASSWORD=s3cret", "pass9"),
    ("ENV API_TOKEN=kq3v9z", "7w1x"),
    ("postgres://u:s3cret", "pass@db/x"),
    ("redis://:kq3v9z7", "w1x@localhost:6379"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0", ".dozjgNryP4J3jVmNHl0w5N"),
    ("sk-proj-abcdefghij", "klmnopqrst_1234"),
    ("sk-" + "a1B2" * 6, "T3BlbkFJ" + "a1B2" * 5),
]

SETTINGS = [
    ("password: hunter2", "hunter2"),
    ("api_key = kq3v9z", "7w1x"),
    ('token: "kq3v9z', '7w1x"'),
]

SAMPLES = """\
AKIAIOSFODNN7EXAMPLE
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
ASIAXXXXXXXXXXXXXXXX
AKIA1234567890ABCDEF
AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
ghp_000000000000000000000000000000000000
glpat-your-token-goes-here-1
sk-ant-api03-your-api-key-goes-right-here
sk-proj-xxxxxxxxxxxxxxxxxxxxxxxx
sk-ant-REPLACE-with-your-own-key
xoxb-your-bot-token-here
xoxb-1234567890-abc
AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX
npm_XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX
sk_live_EXAMPLE00aaBBccDDee
eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c
"""
"""What documentation shows in the place of a secret."""

HARMLESS = """\
password = getpass()
password: str
token: str = ""
token: str | None = None
api_key = os.environ["KEY"]
api_key = os.environ.get("API_KEY_2", "")
token = "<your-token>"
token = "${GITHUB_TOKEN2}"
password = "changeme"
password = "changeme123!"
password = "password123"
password_field = "user-password"
secret = "projects/1234/secrets/name"
secret_name = "my-app/prod2"
access_token_url = "https://example.org/oauth2/v1/token"
TOKEN = settings.TOKEN
API_KEY=$API_KEY
API_KEY=${API_KEY:-none1}
PASSWORD=
PASSWORD=%PASSWORD%
SECRET=get_secret("v2/name")
if token == "IDENT2": return next_token(1)
TOKEN_KIND = "string_literal"
tokens = ["a1b2c3d4e5"]
max_tokens: 1000000000
token = f"{prefix}-{number:08}"
password: "{{ vault_db_pass1 }}"
postgres://user:password@localhost/db
postgres://$USER:$PASS@db/x
postgres://{user}:{pass_word1}@db/x
http://localhost:8473/v1/events@2
git@github.com:org/repo2.git
class="sk-fading-circle sk-cube-grid"
task-0123456789012345678901234567890123456789
eyJub3QiOiJhIHRva2VuIn0=
key = "a1b2c3d4e5f6"
primary_key = "a1b2c3d4e5f6"
"""


@pytest.mark.parametrize("halves", FOUND, ids=["".join(halves)[:16] for halves in FOUND])
def test_what_is_a_secret_is_found_in_any_file(halves: tuple[str, str]) -> None:
    for text in ("".join(halves), f"first\n  {''.join(halves)}\nlast\n"):
        assert looks_secret("notes.txt", text.encode())
        assert looks_secret("notes.txt", text.replace("\n", "\r\n").encode())


@pytest.mark.parametrize("halves", SETTINGS, ids=["yaml", "ini", "quoted"])
def test_a_setting_needs_no_quotes(halves: tuple[str, str]) -> None:
    assert looks_secret("compose.yml", f"db:\n  {''.join(halves)}\n".encode())


@pytest.mark.parametrize("line", SAMPLES.splitlines())
def test_a_sample_of_documentation_is_none_and_hides_none(line: str) -> None:
    real = "AKIA" + "Q3EGRZ7TUVW5XY2K"

    assert looks_secret("docs/aws.md", f"first\n{line}\nlast\n".encode()) is None
    assert looks_secret("docs/aws.md", f"{line}\n{real}\n".encode()) == "a key of AWS"
    assert looks_secret("docs/aws.md", f"{real}\n{line}\n".encode()) == "a key of AWS"


@pytest.mark.parametrize("line", HARMLESS.splitlines())
def test_a_line_as_people_write_them_is_none(line: str) -> None:
    assert looks_secret("a.py", f"{line}\n".encode()) is None
    assert looks_secret("a.yaml", f"{line}\n".encode()) is None


@pytest.mark.parametrize(
    "name",
    [
        ".npmrc", ".pypirc", ".netrc", ".env", ".env.local", ".git-credentials", "credentials.json",
        "service-account.json", "service-account-prod.json", "service_account.json", "secrets.yaml",
        "secrets.yml", "secrets.json", "secrets.toml", "kubeconfig", "main.tfstate",
        "terraform.tfstate.backup", "id_ed25519", "id_rsa", "Server.PEM", "release.keystore",
    ],
)  # fmt: skip
def test_a_name_is_enough(name: str) -> None:
    assert looks_secret(f"deploy/{name}", b"harmless") == "its name"


@pytest.mark.parametrize(
    "name",
    [
        ".env.example", "secrets.example.yaml", "secrets.py", "service-account-sample.json",
        "id_ed25519.pub", "terraform.tf", "credentials.ts", "package.json", "tokens.json", "env.py",
    ],
)  # fmt: skip
def test_a_name_that_shows_or_reads_a_secret_is_none(name: str) -> None:
    assert looks_secret(f"deploy/{name}", b"harmless") is None


def test_a_long_file_without_a_line_takes_no_long_time() -> None:
    for text in (b"a", b"eyJ", b"password", b"sk-", b"://a:", b"A_", b"-", b"TOKEN="):
        assert looks_secret("a.yaml", text * (1024**2 // len(text))) in (
            None,
            "a password or a key",
        )
