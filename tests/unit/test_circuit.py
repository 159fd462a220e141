"""The circuit: each answer against the sum over all rows and all hidden states, the tree against all trees, and what
cannot be."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from milestones.parts.ascent import Ascent
from milestones.parts.chow_liu import centred, folded, mutual_information, spanning_tree
from milestones.parts.circuit import Circuit
from milestones.parts.queries import chances, completion, conditional, expectation, posterior, sample, surprise

NAN = math.nan
SIZES = [2, 3, 2, 2, 3]
PARENT = [1, -1, 1, 1, 3]  # one node with three children, and a grandchild
ROWS = torch.tensor(list(itertools.product(*map(range, SIZES))), dtype=torch.float64)


def made(sizes: list[int] = SIZES, parent: list[int] = PARENT, states: int = 3, classes: int = 2, seed: int = 0,
         smooth: float = 0.01, **more: list[float]) -> Circuit:  # fmt: skip
    """A circuit with random counts, in float64."""
    circuit = Circuit(parent, sizes, states, classes, smooth, **more).double()
    rng = torch.Generator().manual_seed(seed)
    for counts in circuit.parameters():
        counts.copy_(torch.rand(counts.shape, generator=rng).double() ** 2)
    circuit.category *= circuit.there[:, None, :, None]
    circuit.moments[:, :, 2] += circuit.moments[:, :, 1].square() / circuit.moments[:, :, 0]
    return circuit


def brute(circuit: Circuit, row: Tensor, peak: bool = False) -> Tensor:
    """p(row, class) "K" by a loop over all assignments of the hidden states; with `peak` the largest term."""
    value = circuit.standard(row[None])[:, 0]
    table, start = circuit.transitions(), circuit.shares(circuit.root, each=circuit.states)
    prior, codes, total = circuit.shares(circuit.prior), circuit.categories(), []
    coded, real = circuit.coded.tolist(), circuit.real.tolist()
    for k in range(circuit.classes):
        terms = []
        for z in itertools.product(range(circuit.states), repeat=len(value)):
            chance = float(prior[k])
            for v in range(len(value)):
                up = int(circuit.above[v])
                chance *= float(start[k, z[0]] if up < 0 else table[v, k, z[up], z[v]])
                if math.isnan(float(value[v])):
                    continue
                if v in coded:
                    chance *= float(codes[coded.index(v), k, int(value[v]), z[v]])
                else:
                    mean, variance = (float(part[real.index(v), k, z[v]]) for part in circuit.normals())
                    gap = (float(value[v]) - mean) ** 2 / variance
                    chance *= math.exp(-gap / 2) / math.sqrt(2 * math.pi * variance) / float(circuit.spread[v])
            terms.append(chance)
        total.append(max(terms) if peak else sum(terms))
    return torch.tensor(total, dtype=torch.float64)


def fits(rows: Tensor, given: Tensor) -> Tensor:
    return (given.isnan() | (rows == given)).all(1)


GIVEN = torch.tensor(
    [[NAN] * 5, [1, NAN, 0, NAN, 2], [NAN, 2, NAN, NAN, NAN], [0, 1, 1, 0, NAN], [0, NAN, 1, 0, 1]], dtype=torch.float64
)


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return made()


@pytest.fixture(scope="module")
def chance(circuit: Circuit) -> Tensor:
    """p(row, class) of all rows, "72 K", by brute force."""
    return torch.stack([brute(circuit, row) for row in ROWS])


def test_likelihood_is_the_sum_over_hidden_states(circuit: Circuit, chance: Tensor) -> None:
    assert float(chance.sum()) == pytest.approx(1, abs=1e-6)
    assert torch.allclose(circuit(ROWS).exp(), chance, atol=1e-6, rtol=1e-6)


def test_marginals_are_sums_over_what_is_missing(circuit: Circuit, chance: Tensor) -> None:
    want = torch.stack([chance[fits(ROWS, given)].sum(0) for given in GIVEN])
    assert torch.allclose(circuit(GIVEN).exp(), want, atol=1e-6, rtol=1e-6)


def test_conditionals(circuit: Circuit, chance: Tensor) -> None:
    row = torch.tensor([[1.0, NAN, NAN, 1, NAN]]).double().expand(len(GIVEN), -1)
    want = [
        float(chance[fits(ROWS, given) & fits(ROWS, row[0])].sum() / chance[fits(ROWS, given)].sum()) for given in GIVEN
    ]
    assert torch.allclose(conditional(circuit, row, GIVEN).exp(), torch.tensor(want).double(), atol=1e-6)
    assert want[3] == 0 and conditional(circuit, row, GIVEN)[3] == -math.inf, "a row cannot be against what is given"


def test_classes_states_and_expectations(circuit: Circuit, chance: Tensor) -> None:
    found, mean = posterior(circuit, GIVEN), expectation(circuit, GIVEN)
    for i, given in enumerate(GIVEN):
        here = chance * fits(ROWS, given)[:, None]
        assert torch.allclose(found.label[i], here.sum(0) / here.sum(), atol=1e-6)
        assert torch.allclose(mean[i], (ROWS * here.sum(1, keepdim=True)).sum(0) / here.sum(), atol=1e-6)
    assert torch.allclose(found.state.sum((1, 3)), torch.ones(5, len(GIVEN)).double(), atol=1e-6)


def test_chances_and_surprise_are_of_the_rest(circuit: Circuit, chance: Tensor) -> None:
    given = torch.cat([GIVEN, ROWS[[0, 40]]])
    nats = surprise(circuit, given)
    for column, size in enumerate(SIZES):
        found = chances(circuit, given, column)
        for i, row in enumerate(given):
            rest = row.clone()
            rest[column] = NAN
            here = chance.sum(1) * fits(ROWS, rest)
            want = torch.stack([here[ROWS[:, column] == code].sum() for code in range(size)]) / here.sum()
            assert torch.allclose(found[i], want, atol=1e-6)
            if not math.isnan(float(row[column])):
                assert float(nats[i, column]) == pytest.approx(-math.log(want[int(row[column])]), abs=1e-6)


def test_completion_is_likeliest_and_says_when_it_is_exact(circuit: Circuit, chance: Tensor) -> None:
    found = completion(circuit, GIVEN)
    assert found.exact.tolist() == [False, False, False, True, True]
    for i, given in enumerate(GIVEN):
        fitting = fits(ROWS, given).nonzero()[:, 0]
        if found.exact[i]:
            best = fitting[chance.sum(1)[fitting].argmax()]
        else:  # with class and hidden states
            best = fitting[torch.stack([brute(circuit, ROWS[j], peak=True).max() for j in fitting]).argmax()]
        assert torch.equal(found.row[i], ROWS[best])


def test_completion_without_anything_hidden_is_exact() -> None:
    plain = made(states=1, classes=1)
    found, chance = completion(plain, GIVEN), plain(ROWS)[:, 0]
    assert found.exact.all()
    for given, row in zip(GIVEN, found.row, strict=True):
        fitting = ROWS[fits(ROWS, given)]
        assert torch.equal(row, fitting[chance[fits(ROWS, given)].argmax()])


def test_samples_follow_the_conditional(circuit: Circuit, chance: Tensor) -> None:
    for given in GIVEN[:2]:
        drawn = sample(circuit, given.expand(20_000, -1), torch.Generator().manual_seed(1))
        here = chance.sum(1) * fits(ROWS, given)
        counts = torch.stack([(drawn == row).all(1).sum() for row in ROWS])
        assert counts.sum() == 20_000, "each draw is a row"
        assert float((counts / 20_000 - here / here.sum()).abs().sum()) < 0.06


def test_numbers_and_codes_together() -> None:
    mixed = made([2, 0, 3, 0], [1, -1, 1, 0], mean=[0, 10, 0, -2], spread=[1, 4, 1, 0.5])
    rows = torch.tensor([[1, 12.0, 2, -2.5], [NAN, 7, 0, NAN], [0, NAN, NAN, -1.6], [NAN] * 4]).double()
    assert torch.allclose(mixed(rows).exp(), torch.stack([brute(mixed, row) for row in rows]), rtol=1e-6, atol=1e-9)
    grid = torch.linspace(-600, 620, 40_001, dtype=torch.float64)
    line = rows[0].expand(len(grid), -1).clone()
    line[:, 1] = grid
    density = mixed(line).exp().sum(1)
    gap = rows[:1].clone()
    gap[0, 1] = NAN
    step = float(grid[1] - grid[0])
    assert float(density.sum() * step) == pytest.approx(float(mixed(gap).exp().sum()), rel=1e-6), "it is a density"
    mean = float((grid * density).sum() / density.sum())
    assert float(expectation(mixed, gap)[0, 1]) == pytest.approx(mean, rel=1e-5)
    nats = float(surprise(mixed, rows[:1])[0, 1])
    assert nats == pytest.approx(float(mixed(gap).logsumexp(1) - mixed(rows[:1]).logsumexp(1)), abs=1e-6)
    drawn = sample(mixed, gap.expand(20_000, -1), torch.Generator().manual_seed(0))[:, 1]
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.1)


def test_what_cannot_be_is_said() -> None:
    """Without smoothing, a code that never occurs has the chance 0: no answer is a number made up."""
    hard = made(smooth=0.0)
    hard.category[hard.coded.tolist().index(int((hard.order == 0).nonzero())), :, 1] = 0  # column 0 is never 1
    row = torch.tensor([[1, NAN, 0, NAN, NAN], [0, NAN, 0, NAN, NAN]]).double()
    assert hard(row).logsumexp(1).isneginf().tolist() == [True, False]
    found = posterior(hard, row)
    assert found.possible.tolist() == [False, True] and not found.state.isnan().any()
    for answer in (expectation(hard, row), completion(hard, row).row, surprise(hard, row), chances(hard, row, 3)):
        assert answer[0].isnan().all() and not answer[1].isnan().any()
    assert sample(hard, row, torch.Generator().manual_seed(0))[0].isnan().all()
    query = torch.full((2, 5), NAN).double()
    query[:, 3] = 1
    answer = conditional(hard, query, row)
    assert answer[0].isnan() and answer[1].isfinite()


def test_a_number_far_outside_is_not_possible_in_float32() -> None:
    mixed = made([0, 2], [-1, 0], mean=[0, 0], spread=[1, 1]).float()
    row = torch.tensor([[1e30, 1.0], [0.0, 1.0]])
    assert posterior(mixed, row).possible.tolist() == [False, True]
    assert mixed(row)[0].isneginf().all()


def naive(row: Tensor, sizes: list[int]) -> Tensor:
    """Mutual information by a loop over pairs and values."""
    out = torch.zeros(len(sizes), len(sizes), dtype=torch.float64)
    for i, j in itertools.product(range(len(sizes)), repeat=2):
        both = row[(row[:, i] >= 0) & (row[:, j] >= 0)]
        for a, b in itertools.product(range(sizes[i]), range(sizes[j])):
            ab = float(((both[:, i] == a) & (both[:, j] == b)).double().mean())
            if ab:
                alone = float((both[:, i] == a).double().mean() * (both[:, j] == b).double().mean())
                out[i, j] += ab * math.log(ab / alone)
    return out


def test_mutual_information_over_rows_that_have_both() -> None:
    rng, sizes = torch.Generator().manual_seed(0), [2, 3, 4, 2]
    row = torch.stack([torch.randint(-1, size, (60,), generator=rng) for size in sizes], 1)
    row[:, 3] = row[:, 0]
    assert torch.allclose(mutual_information(row, sizes).double(), naive(row, sizes), atol=1e-6)


def trees(n: int) -> list[list[tuple[int, int]]]:
    """All spanning trees of n nodes, as edges, by Pruefer's sequences."""
    out = []
    for code in itertools.product(range(n), repeat=n - 2):
        degree = [1 + code.count(i) for i in range(n)]
        edges = []
        for a in code:
            leaf = degree.index(1)
            edges.append((leaf, a))
            degree[leaf] -= 1
            degree[a] -= 1
        edges.append(tuple(i for i in range(n) if degree[i] == 1))
        out.append(edges)
    return out


def test_the_tree_is_the_heaviest_of_all() -> None:
    rng = torch.Generator().manual_seed(3)
    weight = torch.rand(6, 6, generator=rng)
    weight = weight + weight.T
    found = spanning_tree(weight)
    got = sum(float(weight[child, up]) for child, up in enumerate(found) if up >= 0)
    assert found.count(-1) == 1
    assert got == pytest.approx(max(sum(float(weight[a, b]) for a, b in edges) for edges in trees(6)), abs=1e-5)


def test_columns_that_tell_nothing_do_not_all_hang_on_one() -> None:
    fold = folded(spanning_tree(torch.zeros(200, 200)))
    assert len(fold.depths) < 40 and max(map(len, fold.ranks)) < 40
    assert sorted(fold.order) == list(range(200))


def test_fold_keeps_the_tree() -> None:
    parent = centred([-1, 0, 1, 2, 3, 3, 3])  # a path with three ends: its middle is 1, 2 or 3
    fold = folded(parent)
    assert len(fold.depths) == 3 + (parent.index(-1) != 2)
    for place, column in enumerate(fold.order):
        up = fold.above[place]
        assert (fold.order[up] if up >= 0 else -1) == parent[column]
    for (begin, end), ranks in zip(fold.depths, fold.ranks, strict=True):
        assert [place for a, b in ranks for place in range(a, b)] == list(range(begin, end))
        assert all(len(set(fold.above[a:b])) == b - a for a, b in ranks)


def drawn_rows(count: int = 600) -> Tensor:
    teacher = made(seed=5, classes=1, states=2)
    return sample(teacher, torch.full((count, 5), NAN).double(), torch.Generator().manual_seed(7))


def test_whole_batch_em_never_makes_rows_less_likely() -> None:
    rows = drawn_rows()
    rows[:, 2] = rows[:, 0]
    pupil = Circuit(PARENT, SIZES, 2, smooth=1e-9).double()
    pupil.begin(rows, None, torch.Generator().manual_seed(0))
    losses = [float(pupil.learn(rows, None, 1.0)) for _ in range(60)]
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(losses)), "EM climbs"
    assert losses[-1] < losses[0] - 0.1


def test_em_counts_are_the_likelihoods_slopes() -> None:
    """Expected counts of transitions = chance x the slope of the log likelihood, by autograd over a plain loop."""
    circuit = made([2, 2, 2], [-1, 0, 0], states=2, classes=1, smooth=0.0)
    rows = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))).double()
    table = circuit.transitions().clone().requires_grad_()
    codes, start = circuit.categories(), circuit.shares(circuit.root)[0]
    value = circuit.standard(rows).long()
    below = [table[v, 0] @ codes[v, 0][value[v]].T for v in (1, 2)]  # H B
    total = (start[:, None] * codes[0, 0][value[0]].T * below[0] * below[1]).sum(0).log().sum()
    (slope,) = torch.autograd.grad(total, table)
    counts = torch.zeros_like(circuit.transition)
    circuit.down(circuit.up(circuit.standard(rows)[:, None]), None, counts)
    assert torch.allclose(counts[1:], (slope * table.detach())[1:], atol=1e-9)


def test_mini_batches_by_class_are_the_same_as_each_class_alone() -> None:
    rows = drawn_rows(90)
    label = torch.arange(90) % 3 % 2  # 60 and 30
    both = Circuit(PARENT, SIZES, 2, classes=2).double()
    both.begin(rows, label, torch.Generator().manual_seed(0))
    alone = Circuit(PARENT, SIZES, 2, classes=1).double()
    for name, counts in alone.named_parameters():
        whole = both.get_parameter(name)
        dim = 0 if name in ("prior", "root") else 1
        counts.copy_(whole[:1] if dim == 0 else whole[:, :1])
    both.learn(rows, label, 1.0)
    alone.learn(rows[label == 0], None, 1.0)
    share = float((label == 0).double().mean())
    ratio = both.transition[1:, 0] / both.scale / share
    assert torch.allclose(ratio, alone.transition[1:, 0] / alone.scale, atol=0.02)


def test_missing_cells_and_columns_are_learned_around() -> None:
    rows = drawn_rows()
    rows[torch.rand(rows.shape, generator=torch.Generator().manual_seed(2)) < 0.3] = NAN
    rows[:, 2] = NAN  # never there
    pupil = Circuit(PARENT, SIZES, 2).double()
    pupil.begin(rows, None, torch.Generator().manual_seed(0))
    losses = [float(pupil.learn(rows[i : i + 100], None, 0.3)) for _ in range(5) for i in range(0, 600, 100)]
    assert all(map(math.isfinite, losses))
    gap = torch.full((1, 5), NAN).double()
    assert torch.allclose(chances(pupil, gap, 2), torch.tensor([[0.5, 0.5]]).double()), "nothing is known of it"


def test_counts_that_grow_are_scaled_back() -> None:
    rows = drawn_rows(50)
    pupil = Circuit(PARENT, SIZES, 2).double()
    pupil.begin(rows, None, torch.Generator().manual_seed(0))
    before = []
    for _ in range(40):
        pupil.learn(rows, None, 0.5)
        before.append(float(pupil.scale))
    assert max(before) <= 1e6 and min(before[5:]) < max(before), "2 ** 40 would not fit"
    assert float(pupil.root.sum() / pupil.scale) == pytest.approx(1, rel=1e-5)


def test_ascent_has_the_slopes_of_the_likelihood() -> None:
    """Against finite differences, for shares, means and variances."""
    circuit = made([2, 0, 3], [-1, 0, 1], states=2, classes=2, mean=[0, 1, 0], spread=[1, 2, 1])
    rows, label = torch.tensor([[1, 2.5, 0], [0, NAN, 2], [NAN, -1.0, 1]]).double(), torch.tensor([0, 1, 1])
    free = Ascent(circuit)
    loss = free.slopes(circuit, rows, label)

    def joint() -> Tensor:
        free.write(circuit)
        return -circuit(rows)[torch.arange(3), label].mean()

    assert float(joint()) == pytest.approx(float(loss), abs=1e-9)
    for weight in free.parameters():
        flat, slope = weight.detach().view(-1), weight.grad.view(-1)
        for i in range(0, len(flat), max(1, len(flat) // 5)):
            flat[i] += 1e-5
            high = float(joint())
            flat[i] -= 2e-5
            low = float(joint())
            flat[i] += 1e-5
            assert float(slope[i]) == pytest.approx((high - low) / 2e-5, abs=1e-6)


def test_ascent_makes_rows_likelier() -> None:
    rows = drawn_rows()
    rows[:, 2] = rows[:, 0]
    circuit = Circuit(PARENT, SIZES, 2).double()
    circuit.begin(rows, None, torch.Generator().manual_seed(0))
    free = Ascent(circuit)
    optimizer = torch.optim.Adam(free.parameters(), 0.1)
    losses = []
    for _ in range(60):
        losses.append(float(free.slopes(circuit, rows, None)))
        optimizer.step()
        free.write(circuit)
    assert losses[-1] < losses[0] - 0.1
