"""The timeline: one line per system. The only registry."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from .core.errors import UserError, nearest
from .core.folder import header, read_json

if TYPE_CHECKING:
    import traceback
    from types import ModuleType

    from .trained import Trained


class Entry(NamedTuple):
    """A system's line in the timeline."""

    name: str
    year: int
    showed: str  # what it showed the world
    module: str


TIMELINE = (
    Entry("descent", 1847, "the way downhill, and where it is slow or goes astray", "milestones.systems.descent"),
    Entry("mdp", 1957, "what to do now for the sake of later, solved and learned", "milestones.systems.mdp"),
    Entry(
        "perceptron", 1958, "a unit that learns from its mistakes, and what it cannot", "milestones.systems.perceptron"
    ),
    Entry("roman", 1961, "how numbers are written decides what a net can learn of them", "milestones.systems.roman"),
    Entry("parity", 1969, "what a shallow net does not learn, and depth or recurrence do", "milestones.systems.parity"),
    Entry("mlp", 1986, "back-propagation teaches hidden units what to represent", "milestones.systems.mlp"),
    Entry("lenet1989", 1989, "a net that learns its own detectors reads zip codes", "milestones.systems.lenet1989"),
    Entry("driver", 1989, "a net steers a car by what its camera sees", "milestones.systems.driver"),
    Entry("reinforce", 1992, "actions that turn out well become likelier", "milestones.systems.reinforce"),
    Entry("dynamics", 1993, "a net becomes another system and runs on freely", "milestones.systems.dynamics"),
    Entry("stack", 1995, "a net with rational weights computes what any machine can", "milestones.systems.stack"),
    Entry("lstm", 1997, "a net that learns over hundreds of steps what to keep", "milestones.systems.lstm"),
    Entry("lenet", 1998, "convolutional nets beat hand-made features at reading", "milestones.systems.lenet"),
    Entry("zipcode", 1998, "whole numbers are read without cutting them into digits", "milestones.systems.zipcode"),
    Entry("autoencoder", 2006, "a few numbers that give a picture back", "milestones.systems.autoencoder"),
    Entry("dbn", 2006, "layers that learn without labels give a deep net its start", "milestones.systems.dbn"),
    Entry(
        "circuit", 2011, "whatever is asked of its pictures or rows is answered exactly", "milestones.systems.circuit"
    ),
    Entry("alexnet", 2012, "large convolutional nets recognise photographs", "milestones.systems.alexnet"),
    Entry("charrnn", 2013, "a recurrent net writes a text, character by character", "milestones.systems.charrnn"),
    Entry("dqn", 2013, "a net plays from the screen and the score alone", "milestones.systems.dqn"),
    Entry("speech", 2013, "speech is written down, with no alignment given", "milestones.systems.speech"),
    Entry("vectors", 2013, "words become vectors, and near ones mean the like", "milestones.systems.vectors"),
    Entry("depth", 2014, "what depth is worth at equal weights, and how a deep net starts", "milestones.systems.depth"),
    Entry("gan", 2014, "a net learns to draw by deceiving another", "milestones.systems.gan"),
    Entry("memory", 2014, "a net with a memory learns a procedure, and carries it on", "milestones.systems.memory"),
    Entry("translator", 2014, "a net translates, and learns what to look at", "milestones.systems.translator"),
    Entry("vae", 2014, "pictures are drawn from a few causes, learned without labels", "milestones.systems.vae"),
    Entry("adversarial", 2015, "changes that mislead a net, and nets that resist", "milestones.systems.adversarial"),
    Entry("frames", 2015, "memory over pictures tells what no single frame shows", "milestones.systems.frames"),
    Entry("sounds", 2015, "a spectrogram is a picture, and nets that see can hear", "milestones.systems.sounds"),
    Entry("captions", 2015, "a picture is told in a sentence, and where it looked", "milestones.systems.captions"),
    Entry("bpl", 2015, "a character is a program of strokes, known from one drawing", "milestones.systems.bpl"),
    Entry("made", 2015, "the exact chance of a picture, from masks on an autoencoder", "milestones.systems.made"),
    Entry("resnet", 2015, "identity shortcuts make nets a hundred layers deep", "milestones.systems.resnet"),
    Entry("alphago", 2016, "nets that learned from games, and a search, play go", "milestones.systems.alphago"),
    Entry(
        "learned_optimizer",
        2016,
        "a net learns to train nets, of the kind it saw",
        "milestones.systems.learned_optimizer",
    ),
    Entry(
        "alphazero", 2017, "a net and a search teach each other a game, from nothing", "milestones.systems.alphazero"
    ),
    Entry(
        "eeg",
        2017,
        "imagined movements are read from the brain, end to end",
        "milestones.systems.eeg",
    ),
    Entry("fewshot", 2017, "a class is known from one example, by a net that compares", "milestones.systems.fewshot"),
    Entry("ppo", 2017, "a policy learns in small safe steps, from poles to Pong", "milestones.systems.ppo"),
    Entry("scenes", 2017, "what is too large for its scene is missed, by people", "milestones.systems.scenes"),
    Entry("transformer", 2017, "attention alone translates, without recurrence", "milestones.systems.transformer"),
    Entry("words", 2017, "texts are told apart by the mean of their words", "milestones.systems.words"),
    Entry("worldmodel", 2018, "few real steps, by thinking ahead in a learned world", "milestones.systems.worldmodel"),
    Entry("gpt", 2018, "a net that foretells the next token continues any text", "milestones.systems.gpt"),
    Entry("logic", 2018, "digits are learned from sums, with a program that adds", "milestones.systems.logic"),
    Entry("flow", 2023, "noise flows into pictures of a wanted class, in few steps", "milestones.systems.flow"),
    Entry("pqn", 2025, "many games at once replace the memory of old moments", "milestones.systems.pqn"),
)


def find(name: str) -> Entry:
    """The entry of a page, or for a path that ends in .py one of the user's own. UserError: no such page."""
    for entry in TIMELINE:
        if entry.name == name:
            return entry
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise UserError(
                "a page's file", f"{name}, which is no file", "Check the path, or 'milestones fork PAGE FILE'"
            )
        if not path.stem.isidentifier() or any(entry.name == path.stem for entry in TIMELINE):
            raise UserError("a page's file whose name is a new word", path.name, "Rename it, for example to my.py")
        return Entry(path.stem, 0, "your own page", str(path.resolve()))
    names = [entry.name for entry in TIMELINE]
    raise UserError("a page of the catalog or a file that ends in .py", f"no page {name!r}",
                    nearest(name, names, f"There are: {', '.join(names)}"))  # fmt: skip


OWN = "milestones_page_"  # what modules of the user's own pages are called before their name


def told(problem: Exception) -> str:
    """An error in one line, with its innermost place in a page of the user's own."""
    line = (f"{type(problem).__name__}: {problem}".splitlines() or [""])[0][:200]
    if place := own_place(problem):
        return f"{line} ({Path(place.filename).name} line {place.lineno}, in {place.name}: {place.line})"
    return line


def own_place(problem: Exception) -> traceback.FrameSummary | None:
    """The innermost line of a page of the user's own that an error came through; None: of none."""
    import traceback  # not above: `milestones list` has no use for it

    frames = traceback.walk_tb(problem.__traceback__)
    own = [(frame, line) for frame, line in frames if str(frame.f_globals.get("__name__")).startswith(OWN)]
    return traceback.StackSummary.extract(iter(own))[-1] if own else None


@contextlib.contextmanager
def blaming() -> Generator[None, None, None]:
    """Within it an error in a page of the user's own is a UserError that says where; others stay what they are."""
    try:
        yield
    except (UserError, BrokenPipeError):
        raise
    except Exception as problem:  # whatever the user's page does wrong
        place = own_place(problem)
        if place is None:
            raise
        raise UserError("a page that runs", told(problem), "Mend the page", Path(place.filename).name) from problem


def page(entry: Entry) -> ModuleType:
    """The page's module, imported. A file of the user's runs here: naming it on the command line was the consent."""
    if not entry.module.endswith(".py"):
        return importlib.import_module(entry.module)
    spec = importlib.util.spec_from_file_location(f"{OWN}{entry.name}", entry.module)
    assert spec is not None and spec.loader is not None  # as for each name that ends in .py
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as problem:  # whatever the user's page does wrong
        want = f"a page that can be run in {entry.module}"
        raise UserError(want, told(problem), "Mend the page", entry.name) from problem
    if not hasattr(module, "system"):
        raise UserError(f"'system = System(...)' at the end of {entry.module}", "no such name",
                        "Begin from a copy: milestones fork lenet my.py", entry.name)  # fmt: skip
    return module


SHIPPED = Path(__file__).parent / "shipped"
SHIPS = "shipped:"  # before the name of a run that ships
KNOBS = Path(__file__).parent / "systems" / "knobs.json"  # written by UPDATE_GOLDEN=1 pytest tests/golden


@functools.cache
def shipped() -> dict[str, Path]:
    """The folders of the runs that ship, by name: one for each page, and some that another preset made."""
    found = {path.parent.name: path.parent for path in sorted(SHIPPED.glob("*/config.json"))}
    first = [entry.name for entry in TIMELINE if entry.name in found]
    return {name: found[name] for name in [*first, *(name for name in found if name not in first)]}


def settings(entry: Entry) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """A page's presets and the JSON schema of its knobs."""
    found = described(entry)
    return list(found["presets"]), found["knobs"]


def described(entry: Entry) -> dict[str, Any]:
    """A page's presets with their values, the JSON schema of its knobs, the kinds of media that it takes, the options
    of its `use`, and whether it has a probe. Kept for the pages of the catalog, since importing one takes PyTorch's two
    seconds; of a page that was changed since, and of the user's own, taken from the page."""
    if not entry.module.endswith(".py"):
        kept = json.loads(KNOBS.read_text(encoding="utf-8")).get(entry.name) if KNOBS.exists() else None
        if kept and kept["code"] == code_of(entry):
            return {name: value for name, value in kept.items() if name != "code"}
    from .core.config import knobs

    system = page(entry).system
    return {
        "presets": {name: preset.model_dump(mode="json") for name, preset in system.presets.items()},
        "knobs": knobs(system.Config), "takes": [kind.__name__.lower() for kind in system.takes],
        "options": options(system.use), "probe": system.probe is not None,
    }  # fmt: skip


def options(use: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """What a page's `use` can be told beside its inputs: its keyword-only parameters, each with a default and annotated
    as ``beam: Annotated[int, "hypotheses kept"] = 4``, as a JSON schema by name: type, default, description, for a
    Literal its enum, and for a path, ``learn: Annotated[str, "a folder", "path"] = ""``, its format."""
    import inspect  # half the time that `milestones list` takes

    found: dict[str, dict[str, Any]] = {}
    named = [one for one in inspect.signature(use).parameters.values() if one.kind is one.KEYWORD_ONLY]
    if not named:
        return found
    hints = get_type_hints(use, include_extras=True)
    for one in named:
        kind, description, *form = get_args(hints[one.name])
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        name = {bool: "boolean", int: "integer", float: "number", str: "string"}[type(one.default)]
        enum = {"enum": list(choices)} if choices else {}
        named_form = {"format": form[0]} if form else {}
        found[one.name] = {"type": name, "default": one.default, "description": description, **enum, **named_form}
    return found


def fields(doc: str) -> dict[str, str]:
    """The fields of a page's docstring: title, paper, idea, deviations, result."""
    found = {"title": doc.splitlines()[0].rstrip(".")}
    for name, text in re.findall(r"^(Paper|Idea|Deviations|Result)\s+((?:.|\n)*?)(?=^\S|\Z)", doc, re.MULTILINE):
        found[name.lower()] = " ".join(text.split())
    return found


def code_of(entry: Entry) -> str:
    """A hash of a page of the catalog, its docstring left out."""
    text = (KNOBS.parent / f"{entry.name}.py").read_text(encoding="utf-8")
    return hashlib.sha256(text[text.find("from __future__") :].encode()).hexdigest()[:16]


def user_runs(root: str | Path, name: str = "*") -> list[Path]:
    """The run folders under `root`, by page and number; none if there is no such folder."""

    def place(path: Path) -> tuple[str, int]:
        page, _, number = path.name.rpartition("-")
        return page, int(number) if number.isdecimal() else 0

    found = (path.parent for path in Path(root).glob("*-*/config.json"))
    return sorted((folder for folder in found if name in ("*", place(folder)[0])), key=place)


def state_of(folder: Path) -> dict[str, object]:
    """The run's status, or what can be said without one."""
    try:
        return {"state": "unreadable", **read_json(folder, "status.json")}
    except UserError:
        return {"state": "unreadable"}


def locate(word: str, root: str | Path = "runs") -> Path:
    """The run folder that `word` names: a folder, a name as lenet-3, a page, or shipped:NAME for a run that ships, also
    where there are runs of the user's. UserError: there is none."""
    if word.startswith(SHIPS):
        name, there = word.removeprefix(SHIPS), shipped()
        if name not in there:
            raise UserError("a run that ships", repr(word), nearest(name, there, f"There are: {', '.join(there)}"))
        return there[name]
    for folder in (Path(word), Path(root) / word):
        if (folder / "config.json").is_file():
            return folder
        if folder.is_dir() and folder.parent == Path(root):
            raise UserError(f"a run folder {folder}", "one without config.json: half-written", "Train again")
    name = Path(word).stem if word.endswith(".py") else word
    finished = [p for p in user_runs(root, name) if state_of(p)["state"] == "finished"]
    if finished:
        return finished[-1]
    if (SHIPPED / name / "config.json").is_file():
        return SHIPPED / name
    known = [p.name for p in user_runs(root)] + [entry.name for entry in TIMELINE]
    if name in known or word.endswith(".py"):
        raise UserError(f"a finished run of {name}", "none", f"Train one: milestones train {word}")
    raise UserError(
        "a run (a folder, a name as lenet-3, or a page)", repr(word), nearest(word, known, "See 'milestones runs'")
    )


def published(word: str) -> Path | None:
    """The weights of a net as it was published, which `word` names by their file, or of a GPT-2 by its folder; None: no
    such."""
    path, names = Path(word), ("model.safetensors", "vocab.json", "merges.txt")
    if path.suffix == ".safetensors" and path.is_file():
        return path
    return path / names[0] if path.is_dir() and any((path / name).is_file() for name in names) else None


def published_page(weights: Path) -> str:
    """The page that published weights are opened by: nets for pictures are known by torchvision's names."""
    names = header(weights) if weights.is_file() else {}
    first = {"resnet": ("conv1.weight", "layer1.0.conv1.weight"), "alexnet": ("features.0.weight",)}
    return next((page for page, known in first.items() if names.keys() >= set(known)), "gpt")


def load(word: str, root: str | Path = "runs", page_name: str = "") -> Trained:
    """The trained model of a run, or of published weights, ready to use. `page_name` names the page's file for a run of
    the user's own page."""
    from .trained import open_published, open_run

    if weights := published(word):
        return open_published(weights)
    return open_run(locate(word, root), page_name or (word if word.endswith(".py") else ""))
