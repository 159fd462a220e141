"""Seconds of training to 475 of 500 on CartPole-v1, ours and the peers'; and what other small worlds take.

    ./go bench cartpole [--only ours sb3 cleanrl acrobot ...] [--seeds 10] [--quick] [--fresh]

Each training is a process of its own with one thread, under the peers' Python. All are measured alike: after every
2,048 steps of the world the clock is stopped and the policy's likeliest actions play 100 episodes that begin from seeds
of their own; `reached` is the seconds of training until that is at least 475 for the first time. The clock starts when
all is imported; `cold` counts imports, too, and the start of Python. The plan, which is measured once on a machine and
then remembered, is timed apart. `last` is the mean of another 100 fresh episodes by the last checkpoint, after as many
steps as the recipe has: it is scored once, and the best checkpoint is not kept.

    ours      page `ppo`, preset quick, by the public loop: log, state and report are written as for a user
    sb3       Stable-Baselines3 PPO with the settings of RL Baselines3 Zoo for CartPole-v1: 8 environments, 100,000
              steps
    cleanrl   ppo.py of CleanRL reimplemented here from its published recipe (docs.cleanrl.dev/rl-algorithms/ppo and
              Huang et al. 2022), since it is a script and no package: 4 environments, 500,000 steps; a time limit is
              taken for an end, as it is there

The other worlds are the presets of `ppo` and `reinforce`: one command each, seeds in turn, scored once.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _results import Results, project
from digits import summed, train
from measure import ROOT, Value, ask, peers_python, say, spread, table

GOAL, EPISODES, EVERY, MOST = 475.0, 100, 2048, 500.0
TARGET = {"seconds": 5.0, "reach": 2.0, "times": 20.0, "times_cold": 5.0}
SIDES = ("ours", "sb3", "cleanrl")
WORLDS = {  # command, and what the return is to be in how many seconds of training
    "acrobot": (["train", "ppo", "--preset", "acrobot"], -85.0, 30.0),
    "pendulum": (["train", "ppo", "--preset", "pendulum"], -160.0, 30.0),
    "mountaincar": (["train", "ppo", "--preset", "mountaincar"], -110.0, 30.0),
    "lander": (["train", "ppo", "--preset", "lander"], 240.0, 300.0),
    "reinforce": (["train", "reinforce"], 475.0, 60.0),
}
Act = Callable[[Any], Any]  # observation "N 4" -> action "N", tensors


class Watch:
    """Seconds of training alone, and what the policy was worth when."""

    def __init__(self, seed: int, cap: float) -> None:
        self.seed, self.cap, self.curve, self.aside = seed, cap, [], 0.0
        self.due, self.reached, self.cold = EVERY, None, None
        self.ready = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self.ready - self.aside

    def look(self, steps: int, act: Act) -> bool:
        """Play and note, if it is time to. True when the time for training is up."""
        if steps >= self.due:
            self.due += EVERY
            begin, seconds = time.monotonic(), self.seconds()
            found = mean_return(act, f"{self.seed} {steps}")
            self.curve.append([steps, round(seconds, 3), round(found, 1)])
            if found >= GOAL and self.reached is None:
                self.reached = seconds
                self.cold = begin - float(os.environ["BENCHMARK_BEGAN"]) - self.aside
            self.aside += time.monotonic() - begin
        return self.seconds() > self.cap

    def answer(self, act: Act, steps: int, **more: Any) -> Value:
        whole = self.seconds()
        return {"reached": self.reached, "cold": self.cold, "trained": round(whole, 3), "rate": round(steps / whole),
                "steps": steps, "last": mean_return(act, f"{self.seed} last"), "curve": self.curve,
                "capped": whole > self.cap, **more}  # fmt: skip


def mean_return(act: Act, name: str) -> float:
    """Of 100 episodes that begin from seeds of this name; the same code for all sides."""
    from milestones.core.source import key
    from milestones.worlds.gym import gym
    from milestones.worlds.played import played

    world = gym("CartPole-v1", EPISODES, key("benchmark", name))
    found = float(played(world, act, EPISODES).value.mean())
    world.close()
    return found


def ours(question: Value) -> Value:
    """The public loop, looked at after its updates."""
    import torch

    from milestones.core.run import Run
    from milestones.verbs import execute

    watch = Watch(question["seed"], question["cap"])
    found: Value = {}

    class Watched(Run):
        def measure(self, model: Any, probe: Any, examples: int) -> None:
            begin = time.monotonic()
            super().measure(model, probe, examples)
            found["plan_seconds"] = round(time.monotonic() - begin, 3)
            watch.aside += time.monotonic() - begin

        def steps(self, total: int, stage: str = "train", /, **state: Any) -> Iterator[int]:
            found["model"] = state["model"]
            yield from super().steps(total, stage, **state)
            found["answer"] = watch.answer(found["model"].act, found["step"], plan_seconds=found["plan_seconds"])

        def log(self, **numbers: Any) -> None:
            super().log(**numbers)
            found["step"] = (self.step + 1) * self._examples
            watch.look(found["step"], found["model"].act)

    execute.Run = Watched
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        torch.set_num_threads(1)
        watch.ready, watch.aside = time.monotonic(), 0.0
        order = execute.Order(seed=question["seed"])
        report = execute.begin("ppo", {"steps": 2} if question["quick"] else {}, order, folder).report
    return {**found["answer"], "plan": report["plan"], "score": report["scores"]["return"]["value"]}


def sb3(question: Value) -> Value:
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    seed, steps = question["seed"], 2048 if question["quick"] else 100_000
    watch = Watch(seed, question["cap"])

    def act(observation: Any) -> Any:
        return torch.from_numpy(model.predict(observation.numpy(), deterministic=True)[0])

    class Looking(BaseCallback):
        over = False

        def _on_rollout_start(self) -> None:  # all updates so far are made
            self.over = self.num_timesteps > 0 and watch.look(self.num_timesteps, act)

        def _on_step(self) -> bool:
            return not self.over

    env = make_vec_env("CartPole-v1", n_envs=8, seed=seed)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=256, n_epochs=20, gamma=0.98, gae_lambda=0.8, ent_coef=0.0,
                learning_rate=lambda left: 1e-3 * left, clip_range=lambda left: 0.2 * left, seed=seed,
                device="cpu")  # fmt: skip
    model.learn(steps, callback=Looking())
    watch.look(max(watch.due, model.num_timesteps), act)
    return watch.answer(act, model.num_timesteps, version=importlib.metadata.version("stable-baselines3"))


def cleanrl(question: Value) -> Value:
    """PPO by CleanRL's recipe: what it says of each setting, in our own words."""
    import gymnasium
    import numpy as np
    import torch
    from torch import nn

    torch.set_num_threads(1)
    seed, total = question["seed"], 2048 if question["quick"] else 500_000
    watch = Watch(seed, question["cap"])
    slots, length, epochs, parts, discount, trace = 4, 128, 4, 4, 0.99, 0.95
    torch.manual_seed(seed)
    np.random.seed(seed)

    def layer(inputs: int, outputs: int, gain: float) -> nn.Linear:
        made = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(made.weight, gain)
        nn.init.zeros_(made.bias)
        return made

    def net(outputs: int, gain: float) -> nn.Sequential:
        hidden = [layer(4, 64, 2**0.5), nn.Tanh(), layer(64, 64, 2**0.5), nn.Tanh()]
        return nn.Sequential(*hidden, layer(64, outputs, gain))

    critic, actor = net(1, 1.0), net(2, 0.01)
    weights = [*critic.parameters(), *actor.parameters()]
    optimizer = torch.optim.Adam(weights, 2.5e-4, eps=1e-5)
    envs = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("CartPole-v1")) for _ in range(slots)],
        autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP,  # as Gymnasium had it when the recipe was written
    )
    seen, _ = envs.reset(seed=seed)
    now, over = torch.as_tensor(seen, dtype=torch.float32), torch.zeros(slots)

    def act(observation: Any) -> Any:
        return actor(observation).argmax(-1)

    updates, steps = total // (slots * length), 0
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = 2.5e-4 * (1 - update / updates)
        kept: list[tuple[Any, ...]] = []
        for _ in range(length):
            with torch.no_grad():
                policy = torch.distributions.Categorical(logits=actor(now))
                action = policy.sample()
                row = (now, action, policy.log_prob(action), over, critic(now)[:, 0])
            seen, reward, ended, cut, _ = envs.step(action.numpy())
            kept.append((*row, torch.as_tensor(reward, dtype=torch.float32)))
            now = torch.as_tensor(seen, dtype=torch.float32)
            over = torch.as_tensor(np.logical_or(ended, cut), dtype=torch.float32)
            steps += slots
        observations, actions, chances, overs, values, rewards = map(torch.stack, zip(*kept, strict=True))
        with torch.no_grad():
            after, going, last = critic(now)[:, 0], 1 - over, torch.zeros(slots)
            gains = torch.zeros_like(rewards)
            for t in reversed(range(length)):
                error = rewards[t] + discount * after * going - values[t]
                last = gains[t] = error + discount * trace * going * last
                after, going = values[t], 1 - overs[t]
        rows = [field.flatten(0, 1) for field in (observations, actions, chances, gains, gains + values, values)]
        for _ in range(epochs):
            for index in torch.as_tensor(np.random.permutation(slots * length)).chunk(parts):
                observation, action, old, gain, aim, before = (field[index] for field in rows)
                policy = torch.distributions.Categorical(logits=actor(observation))
                ratio = (policy.log_prob(action) - old).exp()
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                worse = torch.max(-gain * ratio, -gain * ratio.clamp(0.8, 1.2)).mean()
                value = critic(observation)[:, 0]
                held = before + (value - before).clamp(-0.2, 0.2)
                miss = 0.5 * torch.max((value - aim).square(), (held - aim).square()).mean()
                loss = worse - 0.01 * policy.entropy().mean() + 0.5 * miss
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(weights, 0.5)
                optimizer.step()
        if watch.look(steps, act):
            break
    envs.close()
    return watch.answer(act, steps, version="recipe of cleanrl 1.2, reimplemented")


def answer(question: Value) -> Value:
    """One training; run in a process of its own."""
    return {"ours": ours, "sb3": sb3, "cleanrl": cleanrl}[question["who"]](question)


def race(args: Any, results: Results, python: str) -> list[list[str]]:
    """All sides in turns, seed by seed."""
    words, found = [python, str(Path(__file__).resolve()), "--peer"], {who: [] for who in SIDES if who in args.only}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for seed in range(1 if args.quick else args.seeds):
        for who in found:
            cap = 10.0 if args.quick else args.cap
            question = {"who": who, "seed": seed, "cap": cap, "quick": args.quick}
            part = results.part(f"cartpole/{who}/{seed}", functools.partial(ask, words, question, env))
            found[who].append(part)
            when = "never" if part["reached"] is None else f"{part['reached']:.2f} s"
            say(f"{who} {seed}: {GOAL:g} in {when}, last {part['last']:.1f} after {part['trained']:.1f} s")
    rows, summary = [], {}
    for who, parts in found.items():
        met = [part for part in parts if part["last"] >= GOAL]
        reached = [part["reached"] for part in parts if part["reached"] is not None]
        about: Value = {"seeds": len(parts), "last": spread([part["last"] for part in parts]), "met": len(met),
                        "trained": spread([part["trained"] for part in parts]),
                        "rate": spread([part["rate"] for part in parts]), "arrived": len(reached),
                        "dirty": any(part["dirty"] for part in parts)}  # fmt: skip
        if reached:
            about |= {"reached": spread(reached), "cold": spread([p["cold"] for p in parts if p["cold"] is not None])}
        if all("plan_seconds" in part for part in parts):
            about["plan_seconds"] = spread([part["plan_seconds"] for part in parts])
        summary[who] = about
    for who, about in summary.items():
        mine = summary.get("ours", {})
        if who != "ours" and "reached" in about and "reached" in mine:
            about |= {f"times{name}": round(about[key]["mean"] / mine[key]["mean"], 2)
                      for name, key in (("", "reached"), ("_cold", "cold"))}  # fmt: skip
        times = [about.get(key) for key in ("reached", "cold", "trained")]
        told = [f"{one['mean']:.2f} ({one['min']:.2f} to {one['max']:.2f})" if one else "-" for one in times]
        last = f"{about['last']['mean']:.1f} ({about['last']['min']:.1f})"
        rows.append([who, *told, f"{about['rate']['mean']:,.0f}", last, f"{about['met']} of {about['seeds']}",
                     f"{about['times']:.1f}, {about['times_cold']:.1f} cold" if "times" in about else ""])  # fmt: skip
    results.write(cartpole=summary)
    return rows


def main() -> int:
    if "--peer" in sys.argv:  # asked by this script itself
        stdout, sys.stdout = sys.stdout, sys.stderr
        found = answer(json.load(sys.stdin))
        sys.stdout = stdout
        print("\n" + json.dumps(found))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    every = [*SIDES, *WORLDS]
    parser.add_argument("--only", nargs="*", default=every, choices=every, metavar="NAME", help=", ".join(every))
    parser.add_argument("--seeds", type=int, default=10, help="of CartPole")
    parser.add_argument("--more-seeds", type=int, default=5, help="of the other worlds")
    parser.add_argument("--cap", type=float, default=240.0, help="seconds after which a training is ended")
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    python = peers_python() if set(args.only) & set(SIDES) else sys.executable
    worlds = (ROOT / "milestones" / "worlds").glob("*.py")
    files = [*project("ppo", "reinforce"), *worlds, Path(__file__)]
    results = Results("cartpole", files, python, args.fresh, args.quick, targets=TARGET)
    if set(args.only) & set(SIDES):
        rows = race(args, results, python)
        head = ["CartPole-v1", f"s to {GOAL:g}", "with imports", "whole training, s", "steps/s", "last (least)", "met"]
        say(table([*head, "times ours"], rows))
    pages: Value = {}
    for name, (words, goal, most) in WORLDS.items():
        if name in args.only:
            seeds = 1 if args.quick else args.more_seeds
            part = results.part(f"{name}/{seeds}", functools.partial(train, words, seeds, args.quick))
            seconds = spread([run["seconds"] for run in part["runs"]])
            pages[name] = {**summed(part), "goal": goal, "most_seconds": most, "trained": seconds}
            results.write(pages=pages)
            found = pages[name]["scores"]["return"]["seeds"]
            word = "reached" if found["mean"] >= goal and seconds["max"] <= most else "MISSED"
            said = f"{name}: {found['mean']:.1f} ± {found['sd']:.1f} ({found['n']} seeds)"
            say(f"{said} in {seconds['max']:.1f} s at most; {goal:g} in {most:g} s: {word}")
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
