"""Muon: orthogonal steps against the singular value decomposition, AdamW's against PyTorch's."""

from __future__ import annotations

import copy

import torch
from torch import nn

from milestones.parts.muon import Muon, orthogonal


def test_orthogonal_keeps_the_directions() -> None:
    """Of square, wide and tall matrices, two of them of one smaller side."""
    torch.manual_seed(0)
    matrices = [torch.randn(shape) for shape in ((16, 16), (8, 40), (40, 8), (12, 5), (8, 200))]
    for matrix, found in zip(matrices, orthogonal(matrices), strict=True):
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        values = torch.linalg.svdvals(found)
        assert values.min() > 0.6 and values.max() < 1.3
        assert torch.nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.97


def test_rounds_on_the_small_side_are_those_on_the_whole() -> None:
    """Also where singular values reach from 1 to a ten-thousandth."""
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(24, 100), full_matrices=False)
    x = matrix = u @ torch.diag(torch.logspace(0, -4, 24)) @ v
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    assert torch.allclose(orthogonal([matrix])[0], x, atol=2e-3)


def test_all_else_is_adamw() -> None:
    torch.manual_seed(0)
    start = torch.randn(6, 5)
    mine, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    ours = Muon([mine], 0.01, decay=0.1)
    peer = torch.optim.AdamW([theirs], 0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for step in range(20):
        for p, optimizer in ((mine, ours), (theirs, peer)):
            optimizer.zero_grad()
            ((p - step) ** 2).sum().backward()
            optimizer.step()
    assert torch.allclose(mine, theirs, atol=1e-5)


def test_a_filters_step_has_its_length_and_lowers_the_loss() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 8, 3)
    before = layer.weight.detach().clone()
    optimizer = Muon(layer.parameters(), 0.02)
    image, target = torch.randn(16, 4, 8, 8), torch.randn(16, 8, 6, 6)
    losses = []
    for _ in range(30):
        loss = (layer(image) - target).square().mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if len(losses) == 1:
            step = (layer.weight.detach() - before).flatten(1)
            assert torch.allclose(torch.linalg.svdvals(step) / (0.02 * 0.2 * 36**0.5), torch.ones(8), atol=0.4)
    assert losses[-1] < 0.97 * losses[0]


def test_what_is_frozen_is_left_out() -> None:
    layer = nn.Conv2d(1, 2, 3)
    layer.weight.requires_grad_(False)
    before = layer.weight.clone()
    optimizer = Muon(layer.parameters(), 0.1, decay=0.5)
    layer(torch.ones(1, 1, 3, 3)).sum().backward()
    optimizer.step()
    assert torch.equal(layer.weight, before)


def test_matrices_that_are_chosen_are_turned_and_the_rest_is_not() -> None:
    torch.manual_seed(0)
    chosen, other = nn.Linear(12, 30, bias=False), nn.Linear(12, 30, bias=False)
    other.load_state_dict(chosen.state_dict())
    before = chosen.weight.detach().clone()
    optimizer = Muon(other.parameters(), 0.02, matrices=chosen.parameters())
    x = torch.randn(50, 12)
    (chosen(x).square().mean() + other(x).square().mean()).backward()
    optimizer.step()
    step = chosen.weight.detach() - before
    assert torch.allclose(torch.linalg.svdvals(step) / (0.02 * 0.2 * 30**0.5), torch.ones(12), atol=0.4)
    assert torch.allclose((other.weight - before).abs(), torch.full((30, 12), 0.02), atol=1e-3), "Adam's first step"


def test_a_state_is_taken_up_again() -> None:
    torch.manual_seed(0)
    one, two = nn.Linear(6, 8), nn.Linear(6, 8)
    x = torch.randn(20, 6)

    def made(layer: nn.Linear) -> Muon:
        return Muon([layer.bias], 0.01, matrices=[layer.weight], decay=0.1)

    def step(layer: nn.Linear, optimizer: Muon) -> None:
        optimizer.zero_grad()
        (layer(x) - 1).square().mean().backward()
        optimizer.step()

    first = made(one)
    step(one, first)
    two.load_state_dict(one.state_dict())
    second = made(two)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    step(one, first)
    step(two, second)
    assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)
