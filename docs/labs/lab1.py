"""Lab 1, learning rate. The loss is sum(curvature * x * x) / 2; gradient descent takes x to x - rate * curvature * x.

Below which rate does x go to 0 in every direction? (Hint: by what is x multiplied in a step?)
"""


def limit(curvatures):
    """The rate below which descent converges and above which it diverges. `curvatures`: positive numbers."""
    raise NotImplementedError  # your lines
