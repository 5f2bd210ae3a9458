"""Looks: what the rules ask git, in threads; nothing that a repository names is run for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rtevents.core.event import Entry
from rtevents.errors import RteventsError
from rtevents.producers import Known, Own
from rtevents.producers.commit import event_id as commit_id
from rtevents.producers.repository import Repository
from rtevents.producers.risk.book import Book, Risk
from rtevents.producers.risk.commits import LargeFile, Protected, Secret, is_merge
from rtevents.producers.risk.content import Changed, changed, dropped, kept, without_secret
from rtevents.producers.risk.deletions import Deletions, lost
from rtevents.producers.risk.rule import Rule
from rtevents.producers.risk.work import Uncommitted, uncommitted

logger = logging.getLogger(__name__)

T = TypeVar("T")

TOGETHER = 50
"""Commits that are looked into at once."""

DROPPED = "its commit is in no branch any more"


class Looks:
    """
    Looks into repositories for the rules that have to.

    Args:
        own: The daemon.
        book: Takes what is found, and what is over.

    Attributes:
        moved: The projects whose branches moved: commits may have been dropped.
    """

    def __init__(self, own: Own, book: Book) -> None:
        self.moved: set[str] = set()
        self._own = own
        self._book = book

    async def look(self, rules: Sequence[Rule], commits: Sequence[Entry], now: float) -> None:
        """Look at what events told: commits, very large files, deletions, moves of branches."""
        if commits:
            await self._look_into(rules, commits, now)
        for rule in rules:
            if isinstance(rule, LargeFile) and rule.appeared:
                await self._look_at_large(rule)
            elif isinstance(rule, Deletions) and rule.due:
                await self._look_at_deletions(rule)
        if self.moved:
            await self._look_at_moved(rules)

    async def look_again(self, rules: Sequence[Rule], now: float, *, is_due: bool) -> bool:
        """
        Look at what may have changed without an event; return whether there was anything.

        Args:
            is_due: Whether it is time for that; else only what cannot wait is looked at.
        """
        is_any = False
        projects = [each for each in self._own.projects() if each.is_repository]
        for rule in rules:
            if isinstance(rule, Uncommitted):
                rule.forget({project.id for project in projects})
                for project in projects:
                    if project.id in rule.urgent or (is_due and rule.is_due(project.id)):
                        is_any = True
                        await self._look_at_work(rule, project, now)
            elif isinstance(rule, LargeFile):
                for project in projects:
                    if is_due or project.id in rule.due:
                        await self._look_at_open(rule, project)
                rule.due.clear()
        return is_any

    async def _look_into(self, rules: Sequence[Rule], commits: Sequence[Entry], now: float) -> None:
        """Ask git what is in the files that commits change."""
        judges = [rule for rule in rules if isinstance(rule, Secret | LargeFile)]
        if not judges:
            return
        for project in self._own.projects():
            by_sha = {
                str(data["commit_hash"]): entry
                for entry in commits
                if entry.project_id == project.id and not is_merge(data := entry.event.data)
            }
            if project.is_repository:
                for some in _pieces([*by_sha]):
                    files = await self._files(project, some)
                    for sha in some:
                        for judge in judges if sha in files else ():
                            when = min(by_sha[sha].timestamp, now)
                            judge.judge(by_sha[sha], files[sha], when, self._book)
                    await self._look_at_rewritten(project, [by_sha[sha] for sha in some])

    async def _look_at_rewritten(self, project: Known, commits: Sequence[Entry]) -> None:
        """Close secrets that an amend or a rebase took out: what it wrote shows no change of it."""
        for entry in commits:
            data = entry.event.data
            olds = {commit_id(project.id, old) for old in data.get("replaces") or ()}
            paths = self._book.shown_by(Secret.name, project.id, olds)
            if not paths:
                continue
            sha = str(data["commit_hash"])
            for path in await self._ask(project, without_secret, sha, paths) or ():
                reason = "the commit was rewritten without it: where it was pushed, change it"
                self._book.over((Secret.name, project.id, path), reason, entry)

    async def _files(self, project: Known, shas: Sequence[str]) -> dict[str, list[Changed]]:
        """Return what is in the files that commits change; the health tells why that is unknown."""
        warnings, name = self._own.service.warnings, f"commits of {project.id}, for risks"
        asked = self._book.about(Secret.name, project.id)
        try:
            files = await asyncio.to_thread(changed, self._repository(project), shas, asked)
        except RteventsError as error:
            warnings[name] = f"not looked into: {error}"
            return {}
        warnings.pop(name, None)
        return files

    async def _look_at_large(self, rule: LargeFile) -> None:
        """Open the risks of very large files that appeared, unless git would not keep them."""
        appeared, rule.appeared = rule.appeared, []
        by_id = {project.id: project for project in self._own.projects()}
        for name in {entry.project_id for entry, _, _ in appeared}:
            some = [each for each in appeared if each[0].project_id == name]
            sizes = None
            if (project := by_id.get(name or "")) is not None and project.is_repository:
                paths = [*{entry.path for entry, _, _ in some}]
                sizes = await self._ask(project, kept, project.root, paths)
            for entry, size, when in some:
                if sizes is None or entry.path in sizes or "%" in entry.path:
                    rule.appear(entry, size, when, self._book)

    async def _look_at_open(self, rule: LargeFile, project: Known) -> None:
        """Close the risks of very large files that are ignored now, or gone unseen."""
        risks = self._book.of(rule.name, project.id)
        paths = [risk.subject for risk in risks if "%" not in risk.subject]
        sizes = await self._ask(project, kept, project.root, paths) if paths else None
        if sizes is None:
            return
        left = [path for path in paths if not rule.is_large(sizes.get(path))]
        # In the history it stays, whatever the work tree has.
        for risk in risks:
            if risk.subject in left and not self._shas(project, risk):
                reason = "it is gone, or git leaves it out now"
                self._book.over(risk.about, reason)

    async def _look_at_deletions(self, rule: Deletions) -> None:
        """Let the rule know which files that went git has, and had to keep."""
        by_id = {project.id: project for project in self._own.projects()}
        for name in [*rule.due]:
            found: set[str] | None = None
            project = by_id.get(name)
            if project is not None and project.is_repository:
                found = await self._ask(project, lost, project.root, rule.asked(name))
            rule.judge(name, found, self._book)

    async def _look_at_moved(self, rules: Iterable[Rule]) -> None:
        """Close what only commits show that are in no branch any more: reset, rebased, deleted."""
        moved, self.moved = self.moved, set()
        names = [each.name for each in rules if isinstance(each, Secret | LargeFile | Protected)]
        for project in self._own.projects():
            if project.id not in moved or not project.is_repository:
                continue
            shown = {
                risk.about: (risk, shas)
                for name in names
                for risk in self._book.of(name, project.id)
                if (shas := self._shas(project, risk)) and len(shas) == len(risk.evidence)
            }
            asked = [*{sha for _, shas in shown.values() for sha in shas}]
            gone = (await self._ask(project, dropped, asked) if asked else None) or set()
            for risk, shas in shown.values():
                if gone.issuperset(shas) and await self._is_gone(project, risk):
                    self._book.over(risk.about, DROPPED)

    async def _is_gone(self, project: Known, risk: Risk) -> bool:
        """Tell whether what a dropped commit brought is nowhere else to be seen."""
        if risk.rule == Secret.name:
            # What it added may be in the commit that is there instead.
            return risk.subject in (
                await self._ask(project, without_secret, "HEAD", [risk.subject]) or ()
            )
        if risk.rule == LargeFile.name:
            sizes = await self._ask(project, kept, project.root, [risk.subject])
            return sizes == {}
        return True

    async def _look_at_work(self, rule: Uncommitted, project: Known, now: float) -> None:
        """Ask git what is not committed."""
        try:
            work = await asyncio.to_thread(uncommitted, self._repository(project), project.root)
        except RteventsError as error:
            rule.urgent.discard(project.id)
            logger.debug("work of %s cannot be looked at: %s", project.id, error)
            return
        rule.judge(project.id, work, now, self._book)

    def _shas(self, project: Known, risk: Risk) -> list[str]:
        """Return the commits among what shows a risk."""
        begin = commit_id(project.id, "")
        return [each[len(begin) :] for each in risk.evidence if each.startswith(begin)]

    async def _ask(self, project: Known, question: Callable[..., T], *about: object) -> T | None:
        """Return the answer to a question about a repository; None where git fails."""
        try:
            return await asyncio.to_thread(question, self._repository(project), *about)
        except RteventsError as error:
            logger.debug("%s cannot be looked into: %s", project.id, error)
            return None

    def _repository(self, project: Known) -> Repository:
        return Repository(project.root, self._own.config.git.timeout)


def _pieces(shas: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(shas), TOGETHER):
        yield shas[at : at + TOGETHER]
