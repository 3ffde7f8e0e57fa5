"""What a reward function may be, and what it may return."""

import asyncio
import decimal
import fractions
import math
import numbers
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.exceptions import ContractError
from agentcore_rl.reward import Reward, RewardFunction, raised_by_reward, to_reward

FINITE = st.floats(-1e6, 1e6)


class Doubled(RewardFunction):
    def reward(self, value: float, *, times: int = 2) -> float:
        return value * times


class Later(RewardFunction):
    async def reward(self, value: float) -> float:
        await asyncio.sleep(0)
        if value < 0:
            raise ValueError("negative")
        return value


class Broken(RewardFunction):
    def reward(self, *args: Any) -> float:
        raise KeyError("score")


class Float32:
    """A number of another library, as numpy's scalars are."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


numbers.Real.register(Float32)


def test_the_base_class_is_abstract():
    """A subclass writes `reward`."""
    with pytest.raises(TypeError, match="abstract"):
        RewardFunction()  # type: ignore[abstract]


def test_a_call_passes_its_arguments_on():
    """What is called by hand takes what its author defined, sync or async."""
    assert Doubled()(2.0) == 4.0
    assert Doubled()(value=2.0, times=3) == 6.0
    assert asyncio.run(Later()(1.5)) == 1.5


def test_what_a_reward_function_raises_is_marked():
    """The exception keeps its type and says where it came from, from sync and async functions."""
    with pytest.raises(KeyError) as broken:
        Broken()()
    assert raised_by_reward(broken.value)
    with pytest.raises(ValueError, match="negative") as late:
        asyncio.run(Later()(-1))
    assert raised_by_reward(late.value)
    assert not raised_by_reward(ValueError())


def test_an_exception_that_takes_no_mark_passes():
    """A class with slots cannot be marked; it is raised as it is."""

    class Slotted(Exception):
        __slots__ = ()

        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError(name)

    class Raising(RewardFunction):
        def reward(self) -> float:
            raise Slotted

    with pytest.raises(Slotted):
        Raising()()


@given(FINITE | st.integers(-(10**6), 10**6))
def test_a_finite_number_is_a_reward(value: float):
    """Integers too; the value is a float."""
    reward = to_reward(value)
    assert reward == Reward(float(value))
    assert reward is not None
    assert type(reward.value) is float


def test_numbers_of_other_libraries_count():
    """What calls itself a real number is one."""
    for value in (fractions.Fraction(1, 4), Float32(0.25)):
        assert to_reward(value) == Reward(0.25)
    assert to_reward({"scores": {"a": Float32(0.25)}, "turn_rewards": (Float32(1.0),)}, turns=1) == Reward(
        0.25, {"a": 0.25}, turn_rewards=[1.0]
    )


def test_numpys_numbers_count_and_its_booleans_do_not():
    """Scalars of every width; `numpy.bool` is refused like bool."""
    numpy = pytest.importorskip("numpy")
    for value in (numpy.float32(0.25), numpy.float64(0.25), numpy.float16(0.25)):
        assert to_reward(value) == Reward(0.25)
    assert to_reward(numpy.int64(3)) == Reward(3.0)
    for refused in (numpy.bool_(True), numpy.float32("nan"), numpy.array([1.0, 2.0]), numpy.complex64(1)):
        with pytest.raises(ContractError):
            to_reward(refused)


def test_none_is_not_judged():
    """None stays None: it is not zero."""
    assert to_reward(None) is None


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        "1.0",
        b"1",
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        1j,
        decimal.Decimal(1),
        [1.0],
        (1.0,),
        object(),
        {},
        {"metrics": {"a": 1}},
        {"score": 1},
        {"value": 1, "extra": 2},
        {"value": None},
        {"value": True},
        {"value": 1, "scores": {"a": 1}, "weights": {"a": 2}},
        {"scores": {"a": True}},
        {"scores": {"a": "1"}},
        {"scores": {"a": math.nan}},
        {"scores": [1, 2]},
        {"scores": {"a": 1}, "weights": {"b": 1}},
        {"scores": {"a": 1}, "weights": {"a": math.inf}},
        {"scores": {"a": 1e308, "b": 1e308}},
        {"scores": {"a": 1e308}, "weights": {"a": 10}},
        {"scores": {"a": 1e308, "b": -1e308}, "weights": {"a": 10, "b": 10}},
        {"scores": {"a": 1}, "metrics": {"m": math.nan}},
        {"scores": {"a": 1}, "metrics": 3},
        {"scores": {"a": 1}, "turn_rewards": "12"},
        {"scores": {"a": 1}, "turn_rewards": {"0": 1}},
        {"scores": {"a": 1}, "turn_rewards": [1, True]},
        {"scores": {"a": 1}, "turn_rewards": [1]},
        {"scores": {"a": 1}, "turn_rewards": 3},
        Reward(math.nan),
        Reward(True),
        Reward("1"),  # type: ignore[arg-type]
        Reward(1.0, {"a": None}),  # type: ignore[dict-item]
        Reward(1.0, turn_rewards=[math.inf, 1]),
    ],
)
def test_what_is_no_reward_is_a_contract_error(value: Any):
    """Bool and str are no numbers, NaN and infinities are not finite, unknown fields are not guessed."""
    with pytest.raises(ContractError) as refused:
        to_reward(value, turns=2)
    assert str(refused.value).endswith(".")


@given(st.dictionaries(st.text(min_size=1), FINITE, max_size=5), st.data())
def test_the_value_is_the_weighted_sum(scores: dict[str, float], data: st.DataObject):
    """A score without a weight counts as it is; metrics count nothing."""
    names = data.draw(st.lists(st.sampled_from(sorted(scores)), unique=True)) if scores else []
    weights = {name: data.draw(FINITE) for name in names}
    given_as = {"scores": scores, "weights": weights, "metrics": {"steps": 7}}
    reward = to_reward(given_as)
    assert reward == to_reward(Reward.from_scores(scores, weights=weights, metrics={"steps": 7}))
    assert reward is not None
    assert math.isclose(
        reward.value, sum(value * weights.get(name, 1) for name, value in scores.items()), abs_tol=1e-3
    )
    assert reward.metrics == {"steps": 7.0}
    assert reward.turn_rewards is None


def test_a_value_may_come_with_scores_and_metrics():
    """A mapping with `value` says the number itself; its scores are kept beside it."""
    reward = to_reward({"value": 2, "scores": {"a": 1}, "metrics": {"m": 3}, "turn_rewards": (0, 2)}, turns=2)
    assert reward == Reward(2.0, {"a": 1.0}, {}, {"m": 3.0}, [0.0, 2.0])


def test_turn_rewards_are_one_per_turn():
    """Their number must be that of the turns, where that is known."""
    assert to_reward(Reward(1.0, turn_rewards=[1, 2, 3])) == Reward(1.0, turn_rewards=[1.0, 2.0, 3.0])
    with pytest.raises(ContractError, match="1 turn_rewards, the rollout has 3 turns"):
        to_reward(Reward(1.0, turn_rewards=[1]), turns=3)
    assert to_reward(Reward(1.0, turn_rewards=[]), turns=0) == Reward(1.0, turn_rewards=[])


def test_errors_name_the_place():
    """The sentence says which number it is."""
    with pytest.raises(ContractError, match=r"scores\['exact'\] must be a finite number, not str"):
        to_reward({"scores": {"exact": "yes"}})
    with pytest.raises(ContractError, match=r"turn_rewards\[1\] must be a finite number, not bool"):
        to_reward(Reward(1.0, turn_rewards=[1, True]))
