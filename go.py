"""./go: makes the project's environment where it is missing, then passes its words on.

    ./go train lenet             any verb of milestones (with no word: this help)
    ./go check [STAGE ...]       the tests, in order: style unit contract golden browser learns
               [--all]           the slow ones too; from the first other option on, words go to pytest
    ./go bench [NAME ...]        runs benchmarks/NAME.py in full; with no name what fits into half an hour,
               [--list] [--all]  into benchmarks/here, and prints the table; all of them take days.
                                 From the first other option on, words go to the scripts

On Windows: python go.py instead of ./go.

What is installed lives in .venv beside this file (for ./go bench also in .venv-peers): delete it to be rid
of it. PyTorch comes from where pip is configured to look. On Linux that is by default a build for CUDA of
several GB. For the small CPU build, name PyTorch's own CPU index in PIP_EXTRA_INDEX_URL before the first
./go, or a folder with its wheel in PIP_FIND_LINKS.
"""

# Standard library only, and nothing slow at the top: this file runs before every command.
from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.abspath(__file__))
WINDOWS = os.name == "nt"
FREE = "Free some and run ./go again."
STAGES = ("style", "unit", "contract", "golden", "browser", "learns")
SHARED = ("unit", "contract", "golden")  # stages whose tests are shared out to all cores; a browser waits for no one
MOST_WORKERS = 8  # each takes about 1.5 GB
HALF_HOUR = {  # what ./go bench measures: minutes on two cores, words; the installation of the peers comes on top
    "start": (1, ["--repeats", "5"]),
    "overhead": (3, ["--repeats", "3"]),
    "lenet": (4, ["--seeds", "1", "--only", "lightning", "--column", "tuned"]),
    "throughput": (4, ["--only", "resnet", "--pairs", "1"]),
    "lstm": (4, ["--only", "packed", "keras-tensorflow", "--lengths", "50", "--pairs", "2"]),
    "gpt": (1, ["--only", "generate"]),
    "search": (2, ["--only", "bare/puct, 256 games", "play/native, bfloat16", "play/native, float32",
                   "--repeats", "2", "--seconds", "5"]),
    "attacks": (3, ["--repeats", "1"]),
    "explain": (2, ["--repeats", "3"]),
    "landscape": (4, ["--repeats", "1"]),
    "mdp": (1, ["--repeats", "1"]),
    "zipcode": (1, []),
}  # fmt: skip
NEEDED_GB = 3  # 2 for an environment with the CPU build of PyTorch, the rest for pip's temporary files


def say(text: str) -> None:
    """Progress goes to standard error: with --json, standard output is one JSON object."""
    print("go: " + text, file=sys.stderr, flush=True)


def python_in(name: str) -> str:
    return os.path.join(ROOT, name, *(("Scripts", "python.exe") if WINDOWS else ("bin", "python")))


def fingerprint(name: str, files: tuple[str, ...]) -> str:
    """Of what decides an environment's content: the files, its Python (pyvenv.cfg) and where it stands."""
    digest = hashlib.sha256(ROOT.encode())
    for path in (*files, os.path.join(name, "pyvenv.cfg")):
        try:
            with open(os.path.join(ROOT, path), "rb") as file:
                digest.update(file.read() + b"\0")
        except FileNotFoundError:
            return ""
    return digest.hexdigest()


def ready(name: str, files: tuple[str, ...]) -> bool:
    try:
        with open(os.path.join(ROOT, name, "go.stamp")) as file:
            return file.read() == fingerprint(name, files) != ""
    except FileNotFoundError:
        return False


def environment(
    name: str, files: tuple[str, ...], phases: list[tuple[str, list[str]]], last: tuple[str, list[str]] | None = None
) -> str:
    """The Python of environment `name`, made and filled by pip's `phases` and then by words for its Python (`last`),
    unless its stamp is right."""
    if ready(name, files):
        return python_in(name)
    with open(os.path.join(ROOT, name + ".lock"), "w") as lock:
        if not WINDOWS:  # two of us at once would spoil each other's environment
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                say("waiting for another ./go that is installing")
                fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready(name, files):
            install(name, files, phases, last)
    return python_in(name)


def install(
    name: str, files: tuple[str, ...], phases: list[tuple[str, list[str]]], last: tuple[str, list[str]] | None
) -> None:
    folder, python, began = os.path.join(ROOT, name), python_in(name), time.monotonic()
    stamp = os.path.join(folder, "go.stamp")
    if os.path.exists(stamp):
        os.remove(stamp)
    test = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    if not os.path.exists(python) or subprocess.run([python, "-c", test], capture_output=True).returncode:
        if free() < NEEDED_GB:
            stop(f"expected {NEEDED_GB} GB of free disk for {name}, got {free():.1f} GB. {FREE}")
        say(f"making {name} with Python {sys.version.split()[0]}")
        base = getattr(sys, "_base_executable", sys.executable)
        phase(name, [base, "-m", "venv", "--clear", folder])
    for text, words in phases:
        say(text)
        phase(name, [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *words])
    if last:
        say(last[0])
        phase(name, [python, *last[1]])
    with open(stamp, "w") as file:
        file.write(fingerprint(name, files))
    say(f"{name} is ready ({time.monotonic() - began:.0f} s)")


def phase(name: str, command: list[str]) -> None:
    """Run one step of an installation; its output is kept in go.log and shown only when it fails."""
    env = {**os.environ, "PIP_USER": "0"}  # which would send the packages past the environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, cwd=ROOT, env=env, text=True, errors="replace", **pipes)
    log = os.path.join(ROOT, name, "go.log")
    try:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(command)}\n{done.stdout}\n")
    except OSError:
        log = "not written"
    if done.returncode == 0:
        return
    out = done.stdout
    if "No space left" in out or "Errno 28" in out:
        stop(f"the disk is full ({free():.1f} GB free; log: {log}). {FREE}")
    lost = ("NewConnectionError", "name resolution", "Network is unreachable", "ConnectTimeout", "ProxyError")
    if any(sign in out for sign in lost):
        stop(f"pip reached no package index (log: {log}). Connect to a network and run ./go again.")
    if "ensurepip is not" in out:
        stop("this Python has no venv module. Install it (Debian, Ubuntu: python3-venv) and run ./go again.")
    print("\n".join(out.rstrip().splitlines()[-15:]), file=sys.stderr)
    stop(f"installing failed: see above and {log}. Mend it or remove {name}; run ./go again.")


def free() -> float:
    import shutil

    return shutil.disk_usage(ROOT).free / 1e9


def stop(text: str) -> None:
    say(text)
    sys.exit(2)


def pinned(package: str) -> str:
    with open(os.path.join(ROOT, "constraints.txt")) as file:
        return next(line.strip() for line in file if line.startswith(package + "=="))


FILES = ("pyproject.toml", "constraints.txt")


def project() -> str:
    """The Python of .venv, with the project (editable), its extras and the tools that check it."""
    if ready(".venv", FILES):
        return python_in(".venv")
    # PyTorch first and alone: it is the large one, and its phase says so. The build tool comes pinned from
    # constraints.txt as everything else, hence no isolated build environment.
    return environment(".venv", FILES, [
        (f"installing {pinned('torch')} (the large one)", ["torch", "setuptools", "-c", "constraints.txt"]),
        ("installing milestones, its extras and its tools",
         ["--no-build-isolation", "-e", ".[all,dev]", "-c", "constraints.txt"]),
    ], ("compiling the rules of connect four", ["-m", "milestones", "use", "alphazero", "4453"]))  # fmt: skip


def split(words: list[str], known: tuple[str, ...], kind: str) -> tuple[list[str], bool, list[str]]:
    """(names, --all given, all words from the first other option on)."""
    everything = "--all" in words
    words = [word for word in words if word != "--all"]
    cut = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    for word in words[:cut]:
        if word not in known:
            stop(f"expected a {kind} ({', '.join(known) or 'there is none yet'}), got {word!r}.")
    return words[:cut], everything, words[cut:]


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check(words: list[str]) -> int:
    """Run the stages in order; stop at the first that fails, and say what took how long."""
    names, everything, rest = split(words, STAGES, "stage")
    python, took = project(), []
    for stage in [name for name in STAGES if name in names] or list(STAGES):
        began, tools = time.monotonic(), []
        if stage == "style":
            tools = [["ruff", "check", "--quiet", "--output-format", "concise"],
                     ["ruff", "format", "--check", "--quiet", "--output-format", "concise"],
                     ["basedpyright", "--level", "error", "--pythonpath", python]]  # fmt: skip
        folder = os.path.join("tests", stage)
        workers = ["-n", str(min(cores(), MOST_WORKERS)), "--dist", "loadgroup"] if stage in SHARED else []
        tools.append(["pytest", "-q", *workers, *([] if everything else ["-m", "not slow"]), folder, *rest])
        for tool in tools:
            print(f"== {stage}: {' '.join(tool[:2])}", flush=True)
            code = subprocess.call([python, "-m", *tool], cwd=ROOT)
            if tool[0] == "pytest" and code == 5:
                print(f"no test of {folder} was selected")
                code = 0
            if code:
                took.append(f"{stage} FAILED at {tool[0]} ({time.monotonic() - began:.1f} s)")
                print("\n== check: " + ", ".join(took) + f"\nRepeat it alone: ./go check {stage}", flush=True)
                return 130 if code in (-2, 130) else 1
        took.append(f"{stage} {time.monotonic() - began:.1f} s")
        print(f"== {stage}: passed in {time.monotonic() - began:.1f} s", flush=True)
    print("\n== check: all passed: " + ", ".join(took), flush=True)
    return 0


def bench(words: list[str]) -> int:
    """Run benchmarks: those named, all, or what fits into half an hour. MILESTONES_PEERS names the Python that has the
    projects to compare with."""
    import ast

    folder, told, texts = os.path.join(ROOT, "benchmarks"), {}, {}
    for file in sorted(os.listdir(folder) if os.path.isdir(folder) else []):
        name = file.removesuffix(".py")
        if name == file or name.startswith("_"):
            continue
        with open(os.path.join(folder, file), encoding="utf-8") as text:
            source = text.read()
        what = ast.get_docstring(ast.parse(source)) or ""
        if f"./go bench {name}" in what:  # others write figures or make what ships
            told[name], texts[name] = " ".join(what.partition("\n\n")[0].split()), source
    if "--list" in words:
        for name, what in told.items():
            minutes = f"{HALF_HOUR[name][0]} min" if name in HALF_HOUR else ""
            print(f"{name:<12} {minutes:<6} {what}")
        print(f"Those with minutes are what ./go bench measures: {sum(one[0] for one in HALF_HOUR.values())} min.")
        return 0
    names, everything, rest = split(words, tuple(told), "benchmark")
    brief = not names and not everything
    chosen = list(HALF_HOUR) if brief else list(told) if everything else names
    python, env, peers = project(), dict(os.environ), ("benchmarks/peers.txt",)
    if any(".venv-peers" in texts[name] or "peers_python" in texts[name] for name in chosen):
        # --no-deps: the file is complete, and what it leaves out (torchvision) shall not come by another's wish
        phases = [("installing the peers that benchmarks compare with (large)", ["--no-deps", "-r", *peers])]
        env["MILESTONES_PEERS"] = environment(".venv-peers", peers, phases)
    worst, here = 0, os.path.join(folder, "here")
    for name in chosen:
        print(f"== bench: {name}", flush=True)
        script = [os.path.join(folder, name + ".py")]
        if brief:
            script = [os.path.join(folder, "_aside.py"), here, name, *HALF_HOUR[name][1]]
        code = subprocess.call([python, *script, *rest], cwd=ROOT, env=env)
        print(f"== bench: {name} FAILED\n" if code else "", end="", flush=True)
        worst = worst or code
    if not names:
        subprocess.call([python, os.path.join(folder, "table.py"), *([here] if brief else [])], cwd=ROOT)
    return worst


def main(words: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  (called by any Python on Windows)
        stop(f"expected Python 3.11 or newer, got {sys.version.split()[0]}. Run go.py with a newer one.")
    if not words or words[0] in ("-h", "--help"):
        print(__doc__, flush=True)
        if words and not ready(".venv", FILES):  # asking for help is not asking for an installation
            print("Not installed yet: ./go alone, or with any other word, installs first.")
            return 0
        words = ["--help"]
    elif words[0] in ("check", "bench"):
        return check(words[1:]) if words[0] == "check" else bench(words[1:])
    # -P: a file of the user's named like a library (numpy.py in the current folder) must not be taken for it.
    command = [project(), "-P", "-m", "milestones", *words]
    if not WINDOWS:
        os.execv(command[0], command)
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program itself saves and ends on Ctrl-C
    return subprocess.call(command)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("interrupted; run ./go again to go on")
        sys.exit(130)
