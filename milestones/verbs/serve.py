"""serve RUN: answer questions over HTTP, many at once, until told to end."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Sequence

from .subject import add_run
from .words import answer, say

TOKEN = "MILESTONES_TOKEN"
LEAST_TOKEN = 16


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_run(parser)
    parser.add_argument("--port", type=int, default=8422, help="where it listens; 0 for any free one [8422]")
    parser.add_argument("--host", default="127.0.0.1",
                        help="where it listens; 0.0.0.0: to other machines, too [127.0.0.1: to this one]")  # fmt: skip
    parser.add_argument("--token", default=os.environ.get(TOKEN, ""),
                        help=f"what each question must bring; needed with another --host [${TOKEN}]")  # fmt: skip
    parser.add_argument("--window", type=float, default=3.0, metavar="MS",
                        help="questions within so many ms are answered by one forward pass [3]")  # fmt: skip
    parser.add_argument("--most", type=int, default=64, metavar="N", help="inputs of one forward pass [64]")
    parser.add_argument("--queue", type=int, default=256, metavar="N",
                        help="questions at once; more are told to come again (503) [256]")  # fmt: skip
    parser.add_argument("--largest", type=float, default=16.0, metavar="MIB", help="size of a question [16]")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="N",
                        help="until a question without an answer is given up (504) [30]")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from ..catalog import load
    from ..core.errors import UserError

    for name, low, high in (("window", 0, 1000), ("most", 1, 4096), ("queue", 1, 10_000), ("largest", 0.001, 1024),
                            ("seconds", 0.1, 3600)):  # fmt: skip
        if not low <= getattr(args, name) <= high:
            raise UserError(f"--{name} from {low} to {high:,}", f"{getattr(args, name):g}", "Change it", "serve")
    near = local(args.host)
    if not near and not args.token:
        got = f"none, and --host {args.host}, which others can reach"
        raise UserError("a --token", got, f"Choose one of {LEAST_TOKEN} letters or more; ${TOKEN} may hold it", "serve")
    if args.token and (len(args.token) < LEAST_TOKEN or not args.token.isascii() or " " in args.token):
        want = f"a token of at least {LEAST_TOKEN} letters without spaces or accents"
        do = "Make one: python -c 'import secrets; print(secrets.token_urlsafe())'"
        raise UserError(want, f"one of {len(args.token)}", do, "serve")
    try:
        from ..studio.stand import Limits, stand
    except ImportError as problem:
        got = f"no package {problem.name}"
        raise UserError("the server's packages", got, "Install them: pip install 'milestones[studio]'") from None
    trained = load(args.run, args.runs, args.page)
    if not trained.system.takes:
        got = f"the page {trained.entry.name}, which plays by itself"
        raise UserError("a run that takes inputs", got, "See it: milestones play RUN", trained.entry.name)
    limits = Limits(int(args.largest * 2**20), args.queue, args.seconds)

    def ready(address: str) -> None:
        if args.json:
            answer(args, {"address": address, "run": str(trained.folder)}, "")
        say(f"{trained.folder.name} at {address}/predict; described at {address}/openapi.json; Ctrl-C ends it")

    return stand(trained, args.host, args.port, args.token, limits, args.window / 1000, args.most, ready)


def local(host: str) -> bool:
    """Whether only this machine can ask there. UserError: no address."""
    from ..core.errors import UserError

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        do = "For example 127.0.0.1 or 0.0.0.0"
        raise UserError("--host as an address of this machine", repr(host)[:60], do, "serve") from None
