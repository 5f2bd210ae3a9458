"""How surprising an event is."""

from __future__ import annotations

from typing import Any

import msgspec

from rtevents.core import forecast
from rtevents.core.event import Entry, Event, corrupt_entry
from rtevents.core.filter import condition
from rtevents.core.forecast import FEW, MOST_PROJECTS, RANKED, Forecast, Past


def commit(*files: str, project: str | None = "web", **data: Any) -> Event:
    return Event(
        type="COMMIT",
        project_id=project,
        data={"commit_hash": "a" * 40, "message": "m", "author": "Ada",
              "files": [{"path": file} for file in files], **data},
    )  # fmt: skip


def change(path: str, at: float) -> Event:
    data = {"file_path": path, "change_type": "modified"}
    return Event(type="FILE_CHANGE", project_id="web", timestamp=at, data=data)


def taught(*events: Event) -> Forecast:
    model = Forecast()
    for seq, event in enumerate(events, 1):
        model.learn(Entry.of(event, seq))
    return model


def surprise(model: Forecast, event: Event) -> float | None:
    told = model.marked(event).extensions
    return None if told is msgspec.UNSET or "surprise" not in told else float(told["surprise"])


def test_an_unusual_commit_is_more_surprising_than_a_usual_one() -> None:
    usual = [commit("app.py", "test_app.py"), commit("cli.py", "test_cli.py")]
    model = taught(*usual * 40)

    strange = surprise(model, commit("app.py", "secrets.env"))
    known = surprise(model, commit("app.py", "test_app.py"))

    assert strange is not None
    assert known is not None
    assert strange > 0.95
    assert known < 0.7


def test_an_unusual_file_and_an_unusual_status_are_told_as_such() -> None:
    files = [change(name, at * 30.0) for at, name in enumerate(["a.py", "b.py"] * 60)]
    model = taught(*files)
    near, far = surprise(model, change("a.py", 3601.0)), surprise(model, change("zzz", 3601.0))
    assert near is not None
    assert far is not None
    assert far > 0.9 > near

    def risk(severity: str) -> Event:
        return Event(
            type="RISK_ALERT", project_id="web", data={"severity": severity, "message": "m"}
        )

    model = taught(*[risk("low")] * 60)
    low, critical = surprise(model, risk("low")), surprise(model, risk("critical"))
    assert low is not None
    assert critical is not None
    assert critical > 0.9 > low


def test_what_cannot_be_told_is_not() -> None:
    model = taught(*[commit("a", "b")] * (FEW - 1))
    assert surprise(model, commit("a", "z")) is None
    model = taught(*[commit("a", "b")] * FEW)
    assert surprise(model, commit("a", "z")) is not None
    assert surprise(model, commit("a", "z", project="other")) is None
    assert surprise(model, commit("a", "z", project=None)) is None
    assert surprise(model, Event(type="DEPLOY", project_id="web", data={})) is None
    model.learn(corrupt_entry(9, "x", type="COMMIT", project_id="web"))
    model.learn(Entry.of(commit("a", project=None), 10))
    assert surprise(model, commit(files=None)) is not None
    assert surprise(model, commit(files=[3, {"path": 4}])) is not None
    assert (
        surprise(model, Event(type="TASK_UPDATE", project_id="web", data={"task_id": "T"})) is None
    )


def test_a_mark_changes_nothing_else() -> None:
    model = taught(*[commit("a", "b")] * 30)
    event = msgspec.structs.replace(commit("a", "b"), extensions={"correlation_id": "c"})
    undated = commit("a", "b")

    marked = model.marked(event)

    assert marked.extensions == {"correlation_id": "c", "surprise": marked.extensions["surprise"]}  # type: ignore[index]
    assert msgspec.structs.replace(marked, extensions=event.extensions) == event
    assert not model.marked(undated).is_dated


def test_the_surprise_can_be_filtered_by() -> None:
    def holds(**extensions: str) -> bool:
        event = msgspec.structs.replace(commit("a"), extensions=extensions or msgspec.UNSET)
        return condition("surprise > 0.9").matches(Entry.of(event, 1))

    assert holds(surprise="0.95")
    assert not holds(surprise="0.9")
    assert not holds(surprise="much")
    assert not holds(other="0.95")
    assert not holds()


def test_memory_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(forecast, "MOST_PROJECTS", 3)
    model = taught(*[commit("a", "b", project=f"p{number}") for number in range(10)])
    assert list(model._projects) == ["p7", "p8", "p9"]
    assert model.likely("p1", ["a"], 5) == []
    assert [each.path for each in model.likely("p9", ["a"], 5)] == ["b"]
    model = taught(*[commit("a", "b")] * (RANKED + 50))
    assert len(model._projects["web"].ranks["COMMIT"]._sorted) == RANKED
    assert MOST_PROJECTS == 256
    model = taught(*[change(f"f{number}", 5.0) for number in range(20)], change("late", 5000.0))
    assert list(model._projects["web"].near) == ["late"]


def test_the_past_of_a_project_tells_what_is_surprising_from_the_first_day() -> None:
    past = Past([(f"{at:040x}", ["app.py", "test_app.py"]) for at in range(60)])
    model = taught(commit("app.py", "test_app.py"))
    assert surprise(model, commit("app.py", "secrets.env")) is None
    model.learn_past("web", past)

    strange = surprise(model, commit("app.py", "secrets.env"))
    known = surprise(model, commit("app.py", "test_app.py"))
    assert strange is not None
    assert known is not None
    assert strange > 0.95 > known
    assert [each.path for each in model.likely("web", ["app.py"], 5)] == ["test_app.py"]


def test_what_was_learned_already_is_no_past_and_a_past_is_learned_once() -> None:
    model = taught(commit("a", "b"), commit("a", "b", project="other"))
    sha = "a" * 40  # of the commits above
    past = Past([("b" * 40, ["a", "c"]), (sha, ["a", "b"]), ("c" * 40, [])], model.noted("web"))
    assert past.count == 1
    model.learn_past("web", past)
    before = model.likely("web", ["a"], 5)
    model.learn_past("web", past)

    assert model.likely("web", ["a"], 5) == before
    assert [each.path for each in before] == ["b", "c"]
    assert model.noted("web") == frozenset() == model.noted("nonesuch")
    assert model.noted("other") == {sha}


def test_the_numbers_of_the_past_are_bounded() -> None:
    past = Past((f"{at:040x}", [f"f{at}"]) for at in range(2 * RANKED))
    model = taught(*[commit("a", "b")] * 100)
    model.learn_past("web", past)

    ranks = model._projects["web"].ranks["COMMIT"]
    assert len(ranks._sorted) == len(ranks._recent) == RANKED
    model.learn(Entry.of(commit("a", "b"), 1))
    assert len(ranks._sorted) == RANKED
