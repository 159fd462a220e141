"""A net steers a car by what its camera sees, and learns it from whoever knows the way.

Paper       Pomerleau (1989), ALVINN: An autonomous land vehicle in a neural network, NIPS 1, 305-313; Bojarski et al.
            (2016), End to end learning for self-driving cars, arXiv 1604.07316; Ross, Gordon & Bagnell (2011), A
            reduction of imitation learning to no-regret online learning, AISTATS, 627-635 (DAgger).
Idea        pictures in, steering out, with nothing between that somebody programmed. Who only copies an expert never
            sees what to do after a mistake of its own; so the net drives while it learns, and the expert says what it
            would have done there.
Deviations  drawn roads, no real ones. Rounds are not trained to their end: an update drives each car a metre, and the
            net that drives is the one of now. The expert knows the middle of the road and steers by pure pursuit.
            Pictures are freed of their own mean and spread. Preset `paper` has ALVINN's camera of 30 x 32, 29 hidden
            and 45 output units, but no laser, and learns by Adam with DAgger; `pilotnet` has PilotNet's layers, and
            tells the steering instead of the turn's inverse radius. World `field` (drive to red posts) is ours.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine
from ..core.run import Run
from ..core.score import Score, wilson
from ..core.source import Facts, Place, key
from ..core.state import Memo
from ..core.system import System
from ..media import Image, Media, Text, Video, mosaic
from ..worlds.field import Field as Grass
from ..worlds.road import Road

WORLDS: dict[str, type[Road] | type[Grass]] = {"road": Road, "field": Grass}
WHOLE = {"road": "laps", "field": "goals"}  # of an episode, by the facts of its world
HILL = 5  # output units to each side of the highest one that say where to steer
MOST_FRAMES = 400


class Knobs(Config):
    world: Literal["road", "field"] = Field(default="road", description="stay on a road, or find red posts in a field")
    net: Literal["small", "alvinn", "pilotnet"] = Field(default="small", description="from picture to steering")
    height: int = Field(default=24, ge=8, le=160, description="of the camera's picture, pixels")
    width: int = Field(default=48, ge=8, le=240, description="of the camera's picture, pixels")
    together: int = Field(default=32, ge=1, le=1024, description="cars, each on a road of its own")
    rounds: int = Field(default=6, ge=1, le=100, description="of DAgger; the expert drives all cars in the first, half "
                                                             "as many in each that follows; 1: cloning")  # fmt: skip
    steps: int = Field(default=1500, ge=1, description="optimiser updates; all cars drive a metre in each")
    batch: int = Field(default=64, ge=1, description="pictures per update")
    lr: float = Field(default=1.5e-3, gt=0, description="Adam step size at its peak")
    rows: int = Field(default=16_000, ge=1, description="pictures kept to learn from")
    episodes: int = Field(default=40, ge=1, description="driven to score, each on a road that was never seen")


class Steered(NamedTuple):
    """Pictures, and what the expert steered there."""

    picture: UInt8[Tensor, "B 3 H W"]
    steering: Float[Tensor, "B 1"]


class Exposed(nn.Module):
    """Each picture with a mean of 0 and a spread of 1, so that the light matters less."""

    def forward(self, picture: Tensor) -> Float[Tensor, "B C H W"]:
        picture = picture.float()
        spread, mean = torch.std_mean(picture, (1, 2, 3), keepdim=True)
        return (picture - mean) / (spread + 1)


class Blue(nn.Module):
    """The blue band, in which a road is most unlike its verge."""

    def forward(self, picture: Tensor) -> Float[Tensor, "B 1 H W"]:
        return picture[:, 2:3]


def convolved(height: int, width: int, *shapes: tuple[int, int, int]) -> tuple[list[nn.Module], int]:
    """Convolutions without padding, each with ReLU (output maps, side of the filter, stride), and how many numbers come
    out. UserError: the picture is smaller than that."""
    layers, maps, rows, columns = list[nn.Module](), 3, height, width
    for more, side, stride in shapes:
        layers += [nn.Conv2d(maps, more, side, stride), nn.ReLU()]
        maps, rows, columns = more, (rows - side) // stride + 1, (columns - side) // stride + 1
        if rows < 1 or columns < 1:
            do = "Take a larger --height and --width; pilotnet's own are 66 and 200"
            raise UserError("a picture that this net's filters fit into", f"{height} x {width}", do, "driver")
    return [*layers, nn.Flatten()], maps * rows * columns


def small(height: int, width: int) -> list[nn.Module]:
    """For a camera of 24 x 48 pixels."""
    maps, size = convolved(height, width, (16, 5, 2), (24, 3, 2), (32, 3, 1))
    return [*maps, nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 1)]


def alvinn(height: int, width: int) -> list[nn.Module]:
    """Pomerleau's, figure 1, without the laser."""
    return [Blue(), nn.Flatten(), nn.Linear(height * width, 29), nn.Tanh(), nn.Linear(29, 45)]


def pilotnet(height: int, width: int) -> list[nn.Module]:
    """Bojarski and others', figure 4: 252,219 parameters at 66 x 200."""
    maps, size = convolved(height, width, (24, 5, 2), (36, 5, 2), (48, 5, 2), (64, 3, 1), (64, 3, 1))
    sizes = (size, 100, 50, 10)
    rest = [layer for n, m in itertools.pairwise(sizes) for layer in (nn.Linear(n, m), nn.ReLU())]
    return [*maps, *rest, nn.Linear(10, 1)]


NETS: dict[str, Callable[[int, int], list[nn.Module]]] = {"small": small, "alvinn": alvinn, "pilotnet": pilotnet}


class Driver(nn.Module):
    """Steers. Takes raw pictures, 0 to 255; gives the steering, or ALVINN's units from full left to full right."""

    def __init__(self, net: str, height: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(Exposed(), *NETS[net](height, width))

    def forward(self, picture: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        return self.net(picture)

    @torch.no_grad()
    def act(self, observation: UInt8[Tensor, "N 3 H W"], greedy: bool = True) -> Float[Tensor, "N 1"]:
        """The one steering that it knows: it explores nothing."""
        return steering(self(observation).float()).clamp(-1, 1)


def steering(output: Float[Tensor, "B K"]) -> Float[Tensor, "B 1"]:
    """What an output means: itself, or the middle of the hill of activity round the highest unit."""
    last = output.shape[1] - 1
    if not last:
        return output
    unit = torch.arange(last + 1, device=output.device)
    near = (unit - output.argmax(1, keepdim=True)).abs() <= HILL
    active = output.sigmoid() * near
    return (active * unit).sum(1, keepdim=True) / active.sum(1, keepdim=True) * (2 / last) - 1


def loss(model: Driver, batch: Steered) -> dict[str, Tensor]:
    """The square of the error; of ALVINN's units from a hill round the right one (Pomerleau 1991, Neural Computation 3,
    88-97: exp(-d^2 / 10)). `off`: percent of full steering."""
    output = model(batch.picture).float()
    last = output.shape[1] - 1
    aim, said = batch.steering, output
    if last:
        distance = torch.arange(last + 1, device=output.device) - (aim + 1) * last / 2
        aim, said = torch.exp(-distance.square() / 10), output.sigmoid()
    off = 100 * (steering(output.detach()) - batch.steering).abs().mean()
    return {"loss": F.mse_loss(said, aim), "off": off}


class Seen:
    """What the cars have met, with what the expert would have steered: of more than `rows`, a sample."""

    def __init__(self, rows: int, like: Steered) -> None:
        self.rows, self.count = rows, 0
        self.examples = Steered(*(field.new_zeros(rows, *field.shape[1:]) for field in like))

    def add(self, more: Steered, rng: torch.Generator) -> None:
        """Keep more; where there is no room left, each in place of any other."""
        size = len(more.steering)
        where = torch.randperm(self.count, generator=rng, device=rng.device)[:size]
        if self.count + size <= self.rows:
            where = torch.arange(self.count, self.count + size, device=rng.device)
            self.count += size
        for kept, new in zip(self.examples, more, strict=True):
            kept[where] = new

    def drawn(self, size: int, rng: torch.Generator) -> Steered:
        """So many of them at random."""
        where = torch.randint(max(1, self.count), (size,), generator=rng, device=rng.device)
        return Steered(*(field.index_select(0, where) for field in self.examples))

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, **{name: f[: self.count] for name, f in self.examples._asdict().items()}}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        self.count = state_dict["count"]
        for name, field in self.examples._asdict().items():
            field[: self.count] = state_dict[name]


def prepare(knobs: Knobs, place: Place) -> Road | Grass:
    if place.choice.data:
        raise UserError("no --data: driver draws its own roads", repr(place.choice.data), "Leave --data out", "driver")
    world = WORLDS[knobs.world]
    return world(knobs.together, key(place.seed, "train"), height=knobs.height, width=knobs.width, device=place.device)


def build(knobs: Knobs, facts: Facts) -> Driver:
    return Driver(knobs.net, *facts["shape"][1:])


def train(knobs: Knobs, model: Driver, world: Road | Grass, run: Run) -> None:
    optimizer = torch.optim.Adam(model.parameters(), knobs.lr, fused=True)
    now = Steered(world.observation, world.expert())
    some = torch.arange(knobs.batch, device=run.place.device) % knobs.together
    probe = Steered(now.picture[some], now.steering[some])
    run.measure(model, lambda twin, plan: loss(twin, plan.lay(probe))["loss"], knobs.batch)
    seen, rate = Seen(max(knobs.rows, knobs.together), now), cosine(knobs.steps)
    slot, memo = torch.arange(knobs.together, device=run.place.device), Memo(total=torch.zeros_like(now.steering[:, 0]))
    for step in run.steps(knobs.steps, model=model, optimizer=optimizer, seen=seen, world=world, memo=memo):
        now = Steered(world.observation, world.expert())
        seen.add(now, run.rng)
        # the expert's share is 1, 1/2, 1/4 ... (Ross 2011, section 3)
        by_expert = slot < knobs.together >> (step * knobs.rounds // knobs.steps)
        outcome = world.step(torch.where(by_expert[:, None], now.steering, model.act(now.picture)))
        optimizer.param_groups[0]["lr"] = knobs.lr * rate(step)
        with run.plan.running(run.place.device):
            terms = loss(model, run.plan.lay(seen.drawn(knobs.batch, run.rng)))
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        run.log(**terms)
        memo.total = memo.total + outcome.reward
        if (over := outcome.ended | outcome.cut).any():
            run.log(**{"return": memo.total[over].mean()})
            memo.total = torch.where(over, 0.0, memo.total)
    run.show(seen=looked(model, world))


def looked(model: Driver, world: Road | Grass) -> Image:
    """What four cars see, what the expert steers there, and what the net does: -100 is full left."""
    seen, captions = world.observation[:4], []
    for expert, net in zip(world.expert()[:4], model.act(seen), strict=True):
        captions.append(f"expert {100 * float(expert):+.0f}, net {100 * float(net):+.0f}")
    return mosaic([Image.of(p.repeat_interleave(3, 1).repeat_interleave(3, 2)) for p in seen], captions)


class Driven(NamedTuple):
    """The first episode of each car."""

    value: Float[Tensor, "N"]  # laps, or goals
    returned: Float[Tensor, "N"]  # sum of rewards


def drive(world: Road | Grass, act: Callable[[], Tensor]) -> Driven:
    """Let all cars drive until the first episode of each is over."""
    going = torch.ones(world.count, dtype=torch.bool, device=world.device)
    value, total = torch.zeros(2, world.count, device=world.device)
    while bool(going.any()):
        outcome = world.step(act())
        total += outcome.reward * going
        over = going & (outcome.ended | outcome.cut)
        value[over] = world.last[over].float()
        going &= ~over
    return Driven(value, total)


def score(knobs: Knobs, model: Driver, world: Road | Grass, place: Place) -> dict[str, Score]:
    facts, seed, scores = world.facts, key(place.seed, "score"), {}
    unit = WHOLE[facts["world"]]
    told = {
        unit: "the net",
        f"{unit}_dusk": "the net, darker than ever in training",
        "expert": "the expert",
    }
    for name, who in told.items():
        over = knobs.episodes
        test = world.fresh(over, seed, dusk=name.endswith("dusk"))
        found = drive(test, test.expert if name == "expert" else lambda: model.act(test.observation))  # noqa: B023
        whole = int((found.value >= facts[unit]).sum())
        note = f"{who}: {whole} of {over} episodes with all {facts[unit]} {unit}; return {found.returned.mean():.4g}"
        rate, data = 100 * whole / over, facts["data"]["name"]
        scores[name] = Score(rate, *wilson(whole, over), "%", "higher", data, "test", over, note=note)
    return scores


def use(model: Driver, facts: Facts, inputs: Sequence[Media]) -> list[dict[str, Media]]:
    """A drive in a place that it has never seen, as a film of at most MOST_FRAMES pictures."""
    _, height, width = facts["shape"]
    world = WORLDS[facts["world"]](1, key("use"), height=height, width=width)
    frames, said, expert, total, over = [], [], [], 0.0, False
    while not over and len(frames) < MOST_FRAMES:
        frames.append(world.picture())
        action = model.act(world.observation)
        said.append(float(action))
        expert.append(float(world.expert()))
        outcome = world.step(action)
        total, over = total + float(outcome.reward), bool(outcome.ended | outcome.cut)
    lines = {"steering": said, "expert": expert}
    film = Video(torch.stack(frames).numpy(), 4 * facts["rate_hz"], lines)  # four times as fast as it was
    return [{"episode": film, "return": Text(f"{total:.4g} in {len(frames)} steps")}]


PRESETS = {
    "quick": Knobs(),
    "cloning": Knobs(rounds=1),  # the expert drives all the time
    "paper": Knobs(net="alvinn", height=30, width=32, steps=6000),
    "pilotnet": Knobs(net="pilotnet", height=66, width=200, rows=8000, lr=5e-4),
    "field": Knobs(world="field"),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use)
