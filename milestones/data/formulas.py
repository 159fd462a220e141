"""Random formulas of clauses with three literals (3-CNF), and whether an assignment makes them true: by trying all."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError


def assignments(variables: int) -> np.ndarray:
    """Each of the 2^v assignments as a row of 1 (true) and -1."""
    return (2 * ((np.arange(2**variables)[:, None] >> np.arange(variables)) & 1) - 1).astype(np.int8)


def satisfiable(clauses: np.ndarray) -> bool:
    """Whether some assignment makes a literal of each clause true. A row "D" has 1 or -1 at its literals' variables;
    rows of zeros are no clauses."""
    there = clauses[np.abs(clauses).sum(1) > 0]
    true = (there[None] * assignments(clauses.shape[1])[:, None] > 0).any(-1)  # assignments x clauses
    return bool(true.all(1).any())


def spoiled(variables: int) -> tuple[np.ndarray, np.ndarray]:
    """Every clause of three of the variables, "N D", and the assignments that it rules out, "N bytes", 8 to a byte."""
    triples, true = list(itertools.combinations(range(variables), 3)), assignments(variables)
    signs = np.array(list(itertools.product((1, -1), repeat=3)), np.int8)
    clauses = np.zeros((len(triples), 8, variables), np.int8)
    out = np.empty((len(triples), 8, 2**variables // 8), np.uint8)
    for k, triple in enumerate(triples):
        clauses[k][:, triple] = signs
        out[k] = np.packbits((true[:, triple][None] == -signs[:, None]).all(-1), axis=-1)
    return clauses.reshape(-1, variables), out.reshape(len(triples) * 8, -1)


def formulas(variables: int, clauses: int, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random formulas "N T D" and whether each is satisfiable, "N": half of them are, in random order.

    UserError: where nearly all formulas of that size are alike.
    """
    every, out = spoiled(variables)
    found: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    want, have = ((count + 1) // 2, count // 2), [0, 0]
    for _ in range(20 + count // 100):
        ids = torch.randint(0, len(every), (1000, clauses), generator=rng).numpy()
        good = (np.bitwise_or.reduce(out[ids], axis=1) != 255).any(1)  # an assignment is left
        for kind in (0, 1):
            found[kind].append(ids[good == bool(kind)])
            have[kind] += len(found[kind][-1])
        if have[0] >= want[0] and have[1] >= want[1]:
            break
    else:
        got = f"{100 * have[1] / sum(have):.1f} % of {clauses} clauses on {variables} variables"
        raise UserError("formulas of which some are satisfiable and some are not", got,
                        "About 5 clauses a variable are balanced", "parity")  # fmt: skip
    chosen = np.concatenate([np.concatenate(part)[:n] for part, n in zip(found, want, strict=True)])
    order = torch.randperm(count, generator=rng)
    return torch.from_numpy(every[chosen])[order], (torch.arange(count) >= want[0]).long()[order]
