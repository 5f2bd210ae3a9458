"""What changes together, and how well that is foretold."""

from __future__ import annotations

import random

import pytest

from rtevents.core import together
from rtevents.core.together import MOST_FILES, MOST_PARTNERS, MOST_TOGETHER, Together
from tests.benchmarks.forecast import hold_out


def names(found: list[together.Likely]) -> list[str]:
    return [each.path for each in found]


def test_what_was_together_is_likely_and_what_was_not_is_not() -> None:
    model = Together()
    for number in range(40):
        model.learn(["app.py", "test_app.py"])
        model.learn(["README", f"other{number}"])
        if number % 4 == 0:
            model.learn(["app.py", "app.css"])

    first, second = model.likely(["app.py"], 5)

    assert (first.path, second.path) == ("test_app.py", "app.css")
    assert 0.7 < first.probability < 0.9
    assert 0.1 < second.probability < 0.3
    assert first.lift > 1.5
    assert 35 < first.seen <= 40
    assert names(model.likely(["app.py", "app.css"], 5)) == ["test_app.py"]
    assert model.likely(["unheard of"], 5) == []
    assert model.commonest(2) == ["README", "app.py"] or model.commonest(2) == ["app.py", "README"]
    assert model.given("other1", ["app.py"]) < 0.1
    assert 0 < model.base("unheard of") < 0.01


def test_what_is_long_ago_counts_less() -> None:
    model = Together()
    for _ in range(300):
        model.learn(["a", "old"])
    for _ in range(300):
        model.learn(["a", "new"])

    assert names(model.likely(["a"], 2)) == ["new", "old"]


def test_a_change_of_everything_says_nothing_of_pairs() -> None:
    model = Together()
    model.learn([f"file{number}" for number in range(MOST_TOGETHER + 1)])
    model.learn([])

    assert model.likely(["file1"], 5) == []
    assert model.base("file1") > model.base("no file")


def test_memory_is_bounded_and_what_is_common_is_kept() -> None:
    model = Together()
    for number in range(2 * MOST_FILES):
        model.learn(["common", f"file{number}"])
        if number % 10 == 0:
            model.learn(["common", "friend"])

    assert len(model._files) <= MOST_FILES
    assert all(len(each) <= MOST_PARTNERS for each in model._partners.values())
    assert names(model.likely(["common"], 1)) == ["friend"]


def test_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight of what is new grows without end, and is taken back."""
    monkeypatch.setattr(together, "HALF_LIFE", 1)
    model = Together()
    for number in range(200):
        model.learn(["a", "b" if number % 2 else "c"])

    assert model._weight <= 2e9
    assert set(names(model.likely(["a"], 5))) == {"b", "c"}
    assert model.given("b", ["a"]) <= 1


def test_it_beats_the_base_rate_on_a_history_it_has_not_seen() -> None:
    """Modules with their tests, among files that change all the time."""
    rng = random.Random(7)
    history = []
    for _ in range(1500):
        module = rng.randrange(60)
        files = [f"src/m{module}.py"]
        files += [f"tests/test_m{module}.py"] if rng.random() < 0.7 else []
        files += ["CHANGELOG.md"] if rng.random() < 0.3 else []
        files += [f"docs/page{rng.randrange(40)}.md"] if rng.random() < 0.2 else []
        history.append(files)

    model, base = hold_out(history)

    assert model.asked > 500
    assert model.answered > 0.95 * model.asked
    assert model.first > 2 * base.first
    assert model.top > 2 * base.top


def test_what_is_learned_as_the_past_counts_as_if_it_had_been_there_before() -> None:
    rng = random.Random(3)

    def changes(count: int) -> list[list[str]]:
        return [[f"f{rng.randrange(30)}" for _ in range(rng.randrange(1, 4))] for _ in range(count)]

    old, new = changes(700), changes(300)
    in_order, afterwards, past = Together(), Together(), Together()
    for files in old + new:
        in_order.learn(files)
    for files in old:
        past.learn(files)
    for files in new:
        afterwards.learn(files)
    afterwards.learn_past(past)

    files = [f"f{number}" for number in range(30)]
    for file in files:
        assert afterwards.base(file) == pytest.approx(in_order.base(file))
        assert [each.path for each in afterwards.likely([file], 3)] == [
            each.path for each in in_order.likely([file], 3)
        ]
    assert afterwards.commonest(30) == in_order.commonest(30)


def test_the_past_is_bounded_as_well() -> None:
    past, model = Together(), Together()
    for number in range(MOST_FILES - 1):
        past.learn(["old", f"old{number}"])
    for number in range(MOST_FILES - 1):
        model.learn(["old", f"new{number}"])
    model.learn_past(past)

    assert len(model._files) <= MOST_FILES
    assert all(len(each) <= MOST_PARTNERS for each in model._partners.values())
