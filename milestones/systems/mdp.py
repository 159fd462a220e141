"""What to do now for the sake of later: values of states solve an equation, and an agent can learn them by trying.

Paper       Bellman (1957), A Markovian decision process, Journal of Mathematics and Mechanics 6(5), 679-684; Howard
            (1960), Dynamic programming and Markov processes, MIT Press; Watkins & Dayan (1992), Q-learning, Machine
            Learning 8, 279-292.
Idea        a state is worth what the best action pays now and what the state after it is worth, discounted. Sweeps of
            that equation converge (value iteration); so does taking in turns a policy's exact values and the best
            actions by them (policy iteration); and with no model, outcomes that were tried stand for their mean
            (Q-learning).
Deviations  Q-learning tries every action of every state once an update, as a generator of outcomes allows, instead of
            walking through episodes; its rate is 1 / (1 + (1 - discount) n) at the n-th (Wainwright 2019). Policies
            are evaluated by a solver of sparse equations, exactly only once they change no more.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.errors import UserError, nearest
from ..core.run import Run
from ..core.score import Score
from ..core.source import Data, Facts, Held, Place, keyed
from ..core.state import Memo
from ..core.system import System
from ..media import Curve, Heat, Listing, Media, Text
from ..media.sheet import SUFFIXES
from ..parts.decision import NEVER, Process, backup, bounds, drawn, evaluated, greedy
from ..worlds.mdp import chain, garnet, grid, lake, table

ARROWS = {"left": "<", "down": "v", "right": ">", "up": "^"}
EPISODES = 2000  # that are played to score a policy
NEGLIGIBLE = 1e-5  # a discount that small ends an episode that goes on


class Knobs(Config):
    world: Literal["lake", "grid", "chain", "garnet"] = Field(default="lake", description="what to decide in, when no "
                                                              "--data is given")  # fmt: skip
    side: Literal[4, 8] = Field(default=8, description="cells along a side of the lake")
    states: int = Field(default=400, ge=2, le=1_000_000, description="of the other worlds; a grid takes a square")
    actions: int = Field(default=4, ge=1, le=100, description="of each state of a garnet")
    branches: int = Field(default=3, ge=1, le=100, description="states that an action of a garnet may lead to")
    discount: float = Field(default=0.99, ge=0, lt=1, description="worth of a reward one step later")
    tolerance: float = Field(default=1e-9, gt=0, le=1, description="largest error of the values")
    sweeps: int = Field(default=20_000, ge=1, description="of value iteration, at most")
    improvements: int = Field(default=1000, ge=1, description="of the policy, at most")
    steps: int = Field(default=4000, ge=1, description="outcomes that Q-learning tries of each action of each state")


class Outcomes(NamedTuple):
    """What actions led to."""

    state: Int[Tensor, "B"]
    action: Int[Tensor, "B"]
    next: Int[Tensor, "B"]
    reward: Float[Tensor, "B"]  # expected


class Trials(Held[Outcomes]):
    """One outcome of every action of every state; in training another one each time."""

    def __init__(self, process: Process, place: Place, name: str, split: str) -> None:
        self.process = process
        state, action = process.given.nonzero().unbind(1)
        examples = Outcomes(state, action, state, process.reward[state, action])
        examples = self.tried(examples, keyed(place.seed, "outcomes", split))
        super().__init__(examples, place, name, split, self.tried if split == "train" else None)

    def tried(self, examples: Outcomes, rng: torch.Generator) -> Outcomes:
        uniform = torch.rand(len(examples.state), generator=rng, dtype=torch.float64)
        return examples._replace(next=drawn(self.process, examples.state, examples.action, uniform))


class Values(nn.Module):
    """What each action of each state is worth: by value iteration, by policy iteration, and as learned by trying."""

    value: Tensor
    exact: Tensor
    policy: Tensor
    learned: Tensor
    worth: Tensor
    ended: Tensor

    def __init__(self, states: int, actions: int) -> None:
        super().__init__()
        for name in ("value", "exact"):  # S
            self.register_buffer(name, torch.zeros(states, dtype=torch.float64))
        self.register_buffer("policy", torch.zeros(states, dtype=torch.long))  # S: of policy iteration
        self.register_buffer("ended", torch.zeros(states, dtype=torch.bool))  # S
        for name in ("worth", "learned"):  # S A
            self.register_buffer(name, torch.zeros(states, actions, dtype=torch.float64))

    def forward(self, state: Int[Tensor, "B"]) -> Float[Tensor, "B A"]:
        """What the actions are worth, as learned."""
        return self.learned[state]


def process_of(knobs: Knobs, place: Place) -> tuple[Process, str, dict[str, Any]]:
    """The process, its name, and what else is to be said of the data."""
    if path := place.choice.data:
        if not path.lower().endswith(SUFFIXES):
            want = f"a table ({', '.join(SUFFIXES)}) of columns state, action, next, chance, reward"
            raise UserError(want, path, "Save it as one", "mdp")
        found, sha256 = table(Path(path))
        return found, Path(path).name, {"sha256": sha256}
    made = {
        "lake": lambda: lake(knobs.side), "grid": lambda: grid(max(2, math.isqrt(knobs.states))),
        "chain": lambda: chain(knobs.states),
        "garnet": lambda: garnet(knobs.states, knobs.actions, knobs.branches, place.seed),
    }[knobs.world]()  # fmt: skip
    return made, f"{knobs.world} of {len(made.reward):,} states (made by rules)", {}


def prepare(knobs: Knobs, place: Place) -> Data[Outcomes]:
    process, name, more = process_of(knobs, place)
    train, valid, test = (Trials(process, place, name, split) for split in ("train", "valid", "test"))
    facts: Facts = {
        "kind": "text", "states": list(process.states), "shape": list(process.reward.shape),
        "actions": list(process.actions), "sides": list(process.sides), "start": process.start,
        "data": {"name": name, "train": len(train), "valid": len(valid), "test": len(test), "closed": True,
                 "note": "all splits are the same states and actions", **more},
    }  # fmt: skip
    return Data(train, valid, test, facts)


def build(knobs: Knobs, facts: Facts) -> Values:
    return Values(*facts["shape"])


@torch.no_grad()
def train(knobs: Knobs, model: Values, data: Data[Outcomes], run: Run) -> None:
    process, discount = cast("Trials", data.train).process, knobs.discount
    ends, there = bool(process.ended.any()), ~process.ended
    model.ended.copy_(process.ended)
    model.learned.masked_fill_(~process.given & there[:, None], NEVER)
    for _ in run.steps(knobs.sweeps, "values", model=model):
        model.worth.copy_(backup(process, model.value, discount))
        change = torch.where(there, model.worth.max(1).values, 0.0) - model.value
        model.value += change
        low, high = bounds(change, discount, ends)
        run.log(loss=change.square().mean(), apart=high - low)
        if high - low <= knobs.tolerance:
            model.value[there] += (low + high) / 2
            run.enough()
    model.policy.copy_(process.reward.argmax(1))
    exact = Memo(within=1.0)  # policies that are left soon need no exact values
    for _ in run.steps(knobs.improvements, "policies", model=model, exact=exact):
        within = max(knobs.tolerance, exact.within)
        model.exact.copy_(evaluated(process, model.policy, discount, model.exact, within))
        worth = backup(process, model.exact, discount)
        better = greedy(worth, model.policy)
        changed = (better != model.policy).sum()
        model.policy.copy_(better)
        gain = torch.where(there, worth.max(1).values, 0.0) - model.exact
        run.log(loss=gain.square().mean(), changed=changed, apart=(model.exact - model.value).abs().max())
        exact.within = min(within, 0.1 * float(gain.abs().max())) if changed else 0.0
        if not changed and within == knobs.tolerance:
            run.enough()
    memo, spread = Memo(at=[], apart=[]), max(1e-12, float(model.exact.abs().max()))
    for step in run.steps(knobs.steps, "trials", model=model, memo=memo):
        state, action, after, reward = data.train.batch(step, len(data.train))
        aim = reward + discount * torch.where(there[after], model.learned[after].max(1).values, 0.0)
        error = aim - model.learned[state, action]
        model.learned[state, action] += error / (1 + (1 - discount) * (step + 1))
        apart = (model.learned.max(1).values - model.exact)[there].abs().max()
        run.log(loss=error.square().mean(), apart=apart)
        if run.every(max(1, knobs.steps // 200)):
            memo.at.append(step + 1)
            memo.apart.append(100 * float(apart) / spread)
    run.show(**shown(model, process, data.facts, memo))


def played(process: Process, policy: Int[Tensor, "S"], discount: float, rng: torch.Generator,
           episodes: int = EPISODES) -> Float[Tensor, "N"]:  # fmt: skip
    """The discounted return of so many episodes from the start, played by a policy."""
    state = torch.full((episodes,), process.start)
    total, worth = torch.zeros(episodes, dtype=torch.float64), 1.0
    while worth > NEGLIGIBLE and not bool(process.ended[state].all()):
        action = policy[state]
        total += worth * torch.where(process.ended[state], 0.0, process.reward[state, action])
        uniform = torch.rand(episodes, generator=rng, dtype=torch.float64)
        state, worth = drawn(process, state, action, uniform), worth * discount
    return total


def score(knobs: Knobs, model: Values, data: Data[Outcomes], place: Place) -> dict[str, Score]:
    test, discount = cast("Trials", data.test), knobs.discount
    process, start, scores = test.process, test.process.start, {}
    best = float(evaluated(process, model.policy, discount, model.exact, knobs.tolerance)[start])
    policies = {"return": greedy(model.worth), "return_learned": greedy(model.learned)}
    for name, policy in policies.items():
        returns = played(process, policy, discount, keyed(place.seed, "episodes", name))
        mean, half = float(returns.mean()), 1.96 * float(returns.std()) / len(returns) ** 0.5
        exact = float(evaluated(process, policy, discount, model.exact, knobs.tolerance)[start])
        note = f"discounted by {discount:g} a step; exactly {exact:.6g}, the best policy's {best:.6g}"
        scores[name] = Score(mean, mean - half, mean + half, "reward", "higher", test.name, test.split, len(returns),
                             note=note)  # fmt: skip
    lost = 100 * max(0.0, best - exact) / max(abs(best), 1e-12)
    scores["lost"] = Score(lost, lost, lost, "%", "lower", test.name, test.split, len(test),
                           note="of the best return, what the learned policy leaves; exact, not sampled")  # fmt: skip
    apart = float((model.value - model.exact).abs().max())
    scores["apart"] = Score(apart, apart, apart, "reward", "lower", test.name, test.split, len(model.value),
                            note="largest difference between value iteration and policy iteration")  # fmt: skip
    return scores


def shown(model: Values, process: Process, facts: Facts, memo: Memo) -> dict[str, Media]:
    """The values and the best actions, on the plane where there is one; how fast trying comes near."""
    pictures: dict[str, Media] = {}
    if memo.at:
        lines = {"Q-learning": list(memo.apart)}
        words = "largest error, % of a value"
        pictures["learning"] = Curve(list(memo.at), lines, "outcomes tried of each action", words, logy=True)
    if process.sides:
        rows, columns = process.sides
        pictures["values"] = Heat(model.exact.view(rows, columns).numpy(), ylabel="row", xlabel="column")
        best = [" " if over else ARROWS.get(process.actions[k], process.actions[k][:1])
                for k, over in zip(model.policy.tolist(), process.ended.tolist(), strict=True)]  # fmt: skip
        pictures["policy"] = Text("\n".join(" ".join(best[r * columns : (r + 1) * columns]) for r in range(rows)))
    else:
        first = range(min(20, len(model.exact)))
        best = [None if process.ended[s] else process.actions[int(model.policy[s])] for s in first]
        cells = [[name_of(facts, s), best[s], float(model.exact[s])] for s in first]
        pictures["policy"] = Listing(("state", "best action", "worth"), cells)
    return pictures


def name_of(facts: Facts, state: int) -> str:
    """What a state is called: by the user's table, as a cell ROW,COLUMN, or by its number."""
    if facts["states"]:
        return facts["states"][state]
    return "{},{}".format(*divmod(state, facts["sides"][1])) if facts["sides"] else str(state)


def state_of(facts: Facts, name: str) -> int:
    """The state of that name. UserError: there is none."""
    own, words = facts["states"], "".join(name.split())
    if own:
        state = next((k for k, one in enumerate(own) if "".join(one.split()) == words), -1)
    else:
        parts = [int(part) if part.isdecimal() else -1 for part in words.split(",")]
        sides = facts["sides"] or [facts["shape"][0]]
        fits = len(parts) == len(sides) and all(0 <= part < side for part, side in zip(parts, sides, strict=True))
        state = (parts[0] * sides[-1] + parts[1] if len(sides) == 2 else parts[0]) if fits else -1
    if state < 0:
        want = f"a state of {facts['data']['name']}, for example {name_of(facts, facts['start'])}"
        raise UserError(want, repr(name), nearest(name, own or [], "Name one of its states"), "mdp")
    return state


def use(model: Values, facts: Facts, texts: Sequence[Text]) -> list[dict[str, Media]]:
    """For each state that is named its best action, and what all are worth, exactly and as learned."""
    answers: list[dict[str, Media]] = []
    for text in texts:
        state = state_of(facts, str(text))
        worth, learned = model.worth[state].tolist(), model.learned[state].tolist()
        rows = [(a, w, q) for a, w, q in zip(facts["actions"], worth, learned, strict=True) if w > NEVER / 2]
        best = "none: the episode is over" if model.ended[state] else max(rows, key=lambda row: row[1])[0]
        listing = Listing(("action", "worth, by value iteration", "as learned by trying"), rows)
        answers.append({"answer": Text(best), "worth": listing})
    return answers


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(world="chain", states=4, discount=0.9),
    "grid": Knobs(world="grid", steps=2000),
    "garnet": Knobs(world="garnet", states=2000, discount=0.95, steps=1000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,))
