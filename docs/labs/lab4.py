"""Lab 4, adversarial. A classifier says the class with the largest of weights @ x + bias.

Each pixel may move by at most eps and must stay between 0 and 1. Move x so that `wrong` gains most on `right`.
"""


def misled(x, weights, bias, right, wrong, eps):
    """The changed picture, as x: "P". weights: "K P", bias: "K"."""
    raise NotImplementedError  # your lines
