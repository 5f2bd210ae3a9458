"""Settings of the rules for risks: those that are there, and the user's own."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from rtevents.config.numbers import Positive

Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 86400)]
Occurrences = Annotated[int, msgspec.Meta(ge=1, le=1000)]

Severity = Literal["low", "medium", "high", "critical"]
Level = Literal["none", "low", "medium", "high", "critical"]

RULE_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,47}\Z"


class RiskRuleSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    A rule of the user's own.

    Args:
        name: A letter and up to 47 of A-Z a-z 0-9 _ -; no rule that is there has it.
        message: What the risk is, in one line; `{data.file_path}` stands for a field, `{count}` for
            how often, `{within}` for the time.
        type: Only events of this type; empty for any.
        where: Only events of which this holds; empty for any.
        severity: How bad it is.
        count: How many such events make it a risk, 1 to 1000.
        within: Seconds within which they come.
        per: The field by which they are counted; empty for all of a project together.
        until: It is over with an event of which this holds, and counted anew; empty for none.
        close_after: Seconds without such an event after which it is over.
    """

    name: Annotated[str, msgspec.Meta(pattern=RULE_NAME)]
    message: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    type: str = ""
    where: str = ""
    severity: Severity = "medium"
    count: Occurrences = 1
    within: Seconds = 300.0
    per: str = ""
    until: str = ""
    close_after: Seconds = 3600.0


class RiskSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    Which risks are told; a rule whose severity is `none` is switched off.

    Args:
        uncommitted: Severity of much work that is not committed for long.
        uncommitted_files: Files that differ from HEAD, or are new, from which on it is much.
        uncommitted_lines: Lines of them from which on it is.
        uncommitted_for: Seconds for which it may be.
        protected: Severity of a commit that changes a protected path.
        protected_paths: Path globs of those.
        secret: Severity of a commit that adds what looks like a secret.
        secret_examples: Path globs of files whose secrets are most often made up: there it is low.
        large_file: Severity of a very large file that is not ignored.
        large_file_bytes: Bytes from which on a file is.
        deletions: Severity of many files that git has deleted at once, and not by git.
        deletions_count: How many files.
        deletions_within: Seconds within which they are.
        failing: Severity of a task that fails again and again.
        failing_count: How often without a success in between.
        failing_within: Seconds within which it does.
        hot_file: Severity of a file that is rewritten again and again.
        hot_file_commits: Commits that change it.
        hot_file_lines: Lines of it that they add, and that they remove, each.
        hot_file_within: Seconds within which they do.
        stalled: Severity of progress that stopped on the way.
        stalled_times: Times the usual pause between two steps after which it has.
        stalled_least: Seconds after which it has, at least.
        rate: Severity of far more events in an hour than in that hour of other weeks.
        rate_least: Events of an hour below which they are never too many.
        rate_deviations: Robust standard deviations above the median from which on they are.
        close_after: Seconds after which what has no end of its own is over.
        rules: Rules of your own; see `rtevents docs risks`.
    """

    uncommitted: Level = "medium"
    uncommitted_files: Positive = 40
    uncommitted_lines: Positive = 1500
    uncommitted_for: Seconds = 4 * 3600.0
    protected: Level = "medium"
    protected_paths: list[str] = msgspec.field(
        default_factory=lambda: [
            ".github/workflows/**", ".github/CODEOWNERS", "CODEOWNERS", ".gitlab-ci.yml",
            "Jenkinsfile", ".gitmodules", "LICENSE", "LICENSE.*", "SECURITY.md", ".rtevents.yaml",
        ]
    )  # fmt: skip
    secret: Level = "critical"  # noqa: S105 - how bad one is
    secret_examples: list[str] = msgspec.field(
        default_factory=lambda: [
            "**/test/**", "**/tests/**", "**/testdata/**", "**/fixtures/**", "**/examples/**",
            "**/spec/**", "**/__tests__/**", "**/*_test.*", "**/test_*", "**/*.test.*",
        ]
    )  # fmt: skip
    large_file: Level = "high"
    large_file_bytes: Positive = 50 * 1024**2
    deletions: Level = "high"
    deletions_count: Occurrences = 50
    deletions_within: Seconds = 60.0
    failing: Level = "high"
    failing_count: Occurrences = 3
    failing_within: Seconds = 86400.0
    hot_file: Level = "low"
    hot_file_commits: Occurrences = 10
    hot_file_lines: Positive = 400
    hot_file_within: Seconds = 86400.0
    stalled: Level = "medium"
    stalled_times: Positive = 10
    stalled_least: Seconds = 600.0
    rate: Level = "low"
    rate_least: Positive = 1000
    rate_deviations: Annotated[float, msgspec.Meta(gt=0)] = 6.0
    close_after: Seconds = 86400.0
    rules: list[RiskRuleSettings] = []


class OwnRisks(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    What a project's own file says of risks: rules for that project alone, besides all others.

    Args:
        rules: The rules.
    """

    rules: Annotated[list[RiskRuleSettings], msgspec.Meta(max_length=50)] = []
