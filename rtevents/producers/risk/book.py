"""Book: the risks that are open, each told once when it opens, when it grows, and when it ends."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from rtevents.core.causes import CAUSATION, caused_by, story_of
from rtevents.core.event import Entry, Event, EventType
from rtevents.core.names import new_event_id
from rtevents.core.where import SEVERITIES

SOURCE = "rtevents/risk"

MOST_OPEN = 1000
"""Risks that are open at once, at most: the one that was seen longest ago makes room."""

MOST_EVIDENCE = 10
"""Events that show a risk, at most: the first three and the last ones."""

FIRST_EVIDENCE = 3

AT_ONCE = 20
"""Risks of one rule that open within a minute; what is beyond is told as one risk."""

QUIET = 300.0
"""Seconds between two words on the same risk, unless it gets worse."""

MANY = "*"
"""The subject of the risk that stands for too many others of its rule."""

Subject = tuple[str, str | None, str]
"""What a risk is about: the rule, the project, and what the rule is looking at."""


class Finding(msgspec.Struct, kw_only=True):
    """
    What a rule found.

    Args:
        rule: The rule's name.
        project_id: The project; None for none.
        subject: What it is about; the same for the same risk.
        severity: How bad it is.
        message: What it is, in one line.
        when: When, in unix seconds.
        cause: The event that showed it; None where there was none.
        evidence: Ids of further events that show it.
        file_path: The file that it is about; None for none.
        close_after: Seconds after which it is over, unless it is found again; None for never.
        is_state: Whether it is what is, and not what happens: seen again, it is not counted.
    """

    rule: str
    project_id: str | None
    subject: str
    severity: str
    message: str
    when: float
    cause: Entry | None = None
    evidence: list[str] = []
    file_path: str | None = None
    close_after: float | None = None
    is_state: bool = False


class Risk(msgspec.Struct, kw_only=True):
    """
    A risk that is open.

    Args:
        closes_after: Seconds after which it is over, unless it is found again.
        opened: The id of the event that told it first.
        story: What the events around it have in common.
        count: How often it was found.
        told: How often it had been when it was told last.
        told_at: When that was, in unix seconds.
    """

    rule: str
    project_id: str | None
    subject: str
    severity: str
    message: str
    fingerprint: str
    opened: str
    story: str
    opened_at: float
    seen_at: float
    closes_after: float | None
    evidence: list[str]
    file_path: str | None
    count: int = 1
    told: int = 1
    told_at: float = 0.0

    @property
    def about(self) -> Subject:
        """What it is about."""
        return self.rule, self.project_id, self.subject


class Book:
    """
    The risks that are open.

    Args:
        risks: Those that were open before, the one seen longest ago first.
        clock: Returns the time, in unix seconds.

    Attributes:
        events: What is to be told: who has told it takes it out.
    """

    def __init__(self, risks: Iterable[Risk] = (), clock: Callable[[], float] = time.time) -> None:
        self.events: list[Event] = []
        self._open = {risk.about: risk for risk in risks}
        # How many are open of each rule.
        self._counts = Counter(risk.rule for risk in self._open.values())
        self._clock = clock
        self._opened: dict[str, deque[float]] = {}

    @property
    def risks(self) -> list[Risk]:
        """Every risk that is open, the one that was seen longest ago first."""
        return list(self._open.values())

    def is_open(self, rule: str, project_id: str | None, subject: str) -> bool:
        """Tell whether a risk is open."""
        return (rule, project_id, subject) in self._open

    def is_any_open(self, rule: str) -> bool:
        """Tell whether any risk of a rule is open."""
        return self._counts[rule] > 0

    def about(self, rule: str, project_id: str | None) -> set[str]:
        """Return the subjects of the open risks of a rule and a project."""
        return {risk.subject for risk in self.of(rule, project_id)}

    def of(self, rule: str, project_id: str | None) -> list[Risk]:
        """Return the open risks of a rule and a project."""
        return [
            risk
            for risk in (self._open.values() if self.is_any_open(rule) else ())
            if (risk.rule, risk.project_id) == (rule, project_id)
        ]

    def shown_by(self, rule: str, project_id: str | None, ids: Collection[str]) -> list[str]:
        """Return the subjects of those whose newest evidence is one of some events."""
        return [
            risk.subject
            for risk in (self.of(rule, project_id) if ids else ())
            if risk.evidence and risk.evidence[-1] in ids
        ]

    def found(self, finding: Finding) -> None:
        """Open a risk; one that is open already is seen again, and told again when it has grown."""
        about = finding.rule, finding.project_id, finding.subject
        if (risk := self._open.get(about)) is not None:
            self._again(risk, finding)
            return
        after = finding.close_after
        if after is not None and finding.when + after <= self._clock():
            return  # it would be over by now: the event is an old one
        if finding.subject != MANY and self._are_many(finding):
            self.found(
                msgspec.structs.replace(
                    finding,
                    subject=MANY,
                    message=f"more than {AT_ONCE} within a minute, the last: {finding.message}",
                    close_after=min(after or 600.0, 600.0),
                )
            )
            return
        self._open_one(finding)

    def over(
        self,
        about: Subject,
        reason: str,
        cause: Entry | None = None,
    ) -> None:
        """Close a risk; one that is not open is none."""
        if (risk := self._open.pop(about, None)) is not None:
            self._counts[risk.rule] -= 1
            self._tell(risk, "closed", cause, reason)

    def dismissed(self, fingerprint: str) -> None:
        """Forget a risk that somebody else has closed: found again, it opens again."""
        for risk in self.risks:
            if risk.fingerprint == fingerprint:
                del self._open[risk.about]
                self._counts[risk.rule] -= 1

    def pass_time(self, now: float) -> None:
        """Close what was not found again for as long as it takes."""
        for risk in list(self._open.values()):
            after = risk.closes_after
            # Also where a clock that was ahead has been set back: it would stay open for years.
            if after is not None and abs(now - risk.seen_at) >= after:
                self.over(risk.about, "not seen again")

    def keep_only(self, is_kept: Callable[[Risk], bool]) -> None:
        """Close what no rule looks at any more."""
        for risk in list(self._open.values()):
            if not is_kept(risk):
                self.over(risk.about, "its rule is switched off, or its project not watched")

    def _are_many(self, finding: Finding) -> bool:
        """Tell whether too many risks of a rule opened within a minute."""
        now = self._clock()
        opened = self._opened.setdefault(finding.rule, deque(maxlen=AT_ONCE))
        if len(opened) == AT_ONCE and abs(now - opened[0]) < 60.0:
            return True
        opened.append(now)
        return False

    def _open_one(self, finding: Finding) -> None:
        if len(self._open) >= MOST_OPEN:
            self.over(next(iter(self._open)), "there are too many: the oldest made room")
        cause = finding.cause
        opened = new_event_id()
        risk = Risk(
            rule=finding.rule,
            project_id=finding.project_id,
            subject=finding.subject,
            severity=finding.severity,
            message=finding.message,
            fingerprint=_fingerprint(finding),
            opened=opened,
            story=story_of(cause) if cause else opened,
            opened_at=finding.when,
            seen_at=finding.when,
            closes_after=finding.close_after,
            evidence=_evidence([], finding),
            file_path=finding.file_path,
        )
        self._open[risk.about] = risk
        self._counts[risk.rule] += 1
        self._tell(risk, "open", cause)

    def _again(self, risk: Risk, finding: Finding) -> None:
        # Behind the others: it was seen last.
        self._open[risk.about] = self._open.pop(risk.about)
        risk.count += not finding.is_state
        risk.seen_at = max(risk.seen_at, finding.when)
        risk.evidence = _evidence(risk.evidence, finding)
        risk.message = finding.message
        is_worse = SEVERITIES.index(finding.severity) > SEVERITIES.index(risk.severity)
        if is_worse:
            risk.severity = finding.severity
        has_grown = risk.count >= 2 * risk.told and abs(self._clock() - risk.told_at) >= QUIET
        if is_worse or has_grown:
            self._tell(risk, "updated", finding.cause)

    def _tell(self, risk: Risk, state: str, cause: Entry | None, reason: str = "") -> None:
        now = self._clock()
        risk.told, risk.told_at = risk.count, now
        data: dict[str, Any] = {
            "severity": risk.severity,
            "message": risk.message,
            "rule": risk.rule,
            "evidence": [*risk.evidence],
            "fingerprint": risk.fingerprint,
            "state": state,
            "count": risk.count,
        }
        if risk.file_path is not None:
            data["file_path"] = risk.file_path
        if reason:
            data["reason"] = reason
        extensions = caused_by(cause) if cause else {}
        if state != "open":
            extensions = {CAUSATION: risk.opened} | extensions
        self.events.append(
            Event(
                type=EventType.RISK_ALERT,
                data=data,
                source=SOURCE,
                project_id=risk.project_id,
                event_id=risk.opened if state == "open" else new_event_id(),
                timestamp=now,
                # All that is said of one risk is one story, whatever showed it again.
                extensions=extensions | {"correlation_id": risk.story},
            )
        )


def _fingerprint(finding: Finding) -> str:
    about = "\0".join((finding.rule, finding.project_id or "", finding.subject))
    return f"{finding.rule}:{hashlib.blake2b(about.encode(), digest_size=8).hexdigest()}"


def _evidence(before: Collection[str], finding: Finding) -> list[str]:
    cause = [finding.cause.event_id] if finding.cause else []
    ids = [*dict.fromkeys([*before, *finding.evidence, *cause])]
    if len(ids) <= MOST_EVIDENCE:
        return ids
    return ids[:FIRST_EVIDENCE] + ids[FIRST_EVIDENCE - MOST_EVIDENCE :]
