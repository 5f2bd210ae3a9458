"""The rules in force: those that are there, the user's own, and each project's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from rtevents.config.project_file import NAME, read_project_file
from rtevents.config.risks import RiskRuleSettings, RiskSettings
from rtevents.errors import ConfigError, FilterError
from rtevents.producers import Known
from rtevents.producers.risk.commits import HotFile, LargeFile, Protected, Secret
from rtevents.producers.risk.counted import Counted
from rtevents.producers.risk.deletions import Deletions
from rtevents.producers.risk.rate import Rate
from rtevents.producers.risk.rule import Rule
from rtevents.producers.risk.stalled import Stalled
from rtevents.producers.risk.work import Uncommitted

ABOUT = {
    "uncommitted": "much work is not committed for long",
    "protected": "a commit changes a protected path",
    "secret": "a commit adds what looks like a secret",
    "large_file": "a very large file is not ignored",
    "deletions": "many files that git has are deleted at once, not by git",
    "failing": "a task fails again and again",
    "hot_file": "a file is rewritten again and again",
    "stalled": "progress stopped on the way",
    "rate": "far more events in an hour than in that hour of other weeks",
}
"""The rules that are there, and what each looks for."""

_FAILED = (
    '(data.status in ["failed", "error"] or data.exit_code > 0 or data.exit_code < 0) '
    'and data.exit_code != 130 and data.signal != "SIGINT"'  # somebody ended it by Ctrl-C
)
_DONE = 'data.status in ["done", "passed", "ok", "succeeded", "completed"] or data.exit_code == 0'

MOST_TEXT = 8192
"""Characters of all conditions of a project's own rules, at most: each event is shown to them."""


def build(settings: RiskSettings) -> list[Rule]:
    """
    Return the rules that the configuration asks for.

    Raises:
        FilterError: One of them cannot be used; ``field`` names its setting.
    """
    rules: list[Rule] = [
        kind(settings)
        for kind in (Uncommitted, Protected, Secret, LargeFile, Deletions, HotFile, Stalled, Rate)
        if getattr(settings, kind.name) != "none"
    ]
    if settings.failing != "none":
        rules.append(Counted(_failing(settings)))
    for index, each in enumerate(settings.rules):
        rules.append(_own(each, settings.rules[:index], f"risks.rules[{index}]", None))
    return rules


def build_own(project: Known) -> tuple[list[Rule], str | None]:
    """Return the rules of a project's own file, and why there are none; reads that file."""
    try:
        file = read_project_file(project.root)
        given = file.risks().rules if file is not None else []
        if sum(len(each.where) + len(each.until) for each in given) > MOST_TEXT:
            raise FilterError(f"risks.rules: more than {MOST_TEXT} characters of conditions")
        rules: list[Rule] = [
            _own(each, given[:index], f"risks.rules[{index}]", project.id)
            for index, each in enumerate(given)
        ]
    except FilterError as error:
        return [], f"{project.root / NAME}: {error}"
    except ConfigError as error:
        return [], str(error)
    return rules, None


def _own(
    given: RiskRuleSettings, before: Iterable[RiskRuleSettings], key: str, project_id: str | None
) -> Counted:
    if given.name in ABOUT or any(given.name == each.name for each in before):
        raise FilterError(
            f"{key}.name: there is a rule {given.name!r} already", field=f"{key}.name"
        )
    try:
        return Counted(given, project_id)
    except FilterError as error:
        place = f"{key}.{error.field}"
        raise FilterError(f"{place}: {error}", field=place) from error


def _failing(settings: RiskSettings) -> RiskRuleSettings:
    return RiskRuleSettings(
        name="failing",
        type="TASK_UPDATE",
        where=_FAILED,
        until=_DONE,
        severity="low" if settings.failing == "none" else settings.failing,
        count=settings.failing_count,
        within=settings.failing_within,
        per="data.task_id",
        message="{data.task_id} failed {count} times or more within {within}",
        close_after=settings.close_after,
    )


def in_force(settings: RiskSettings, projects: Sequence[Known]) -> list[dict[str, Any]]:
    """Return the rules as users are told of them; reads the projects' own files."""
    given = msgspec.to_builtins(settings)
    told = [
        {
            "name": name,
            "severity": given[name],
            "about": about,
            "settings": {key: value for key, value in given.items() if key.startswith(f"{name}_")},
            "project_id": None,
        }
        for name, about in ABOUT.items()
    ]
    told += [_told(each, None) for each in settings.rules]
    for project in projects:
        rules, _ = build_own(project)
        told += [_told(rule.settings, project.id) for rule in rules if isinstance(rule, Counted)]
    return told


def _told(rule: RiskRuleSettings, project_id: str | None) -> dict[str, Any]:
    given = msgspec.to_builtins(rule)
    return {
        "name": given.pop("name"),
        "severity": given.pop("severity"),
        "about": given.pop("message"),
        "settings": {key: value for key, value in given.items() if value != ""},
        "project_id": project_id,
    }
