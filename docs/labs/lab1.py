"""Lab 1, learning rate. LeNet's last layer is learned anew by squared error on digits of yours.

Along each direction of its weights the loss is curvature * x * x / 2, and descent takes x to x - rate * curvature * x.
Below which rate does the loss fall, above which does it grow? (Hint: by what is x multiplied in a step?)
"""


def limit(curvatures):
    """The rate below which descent converges and above which it diverges. `curvatures`: numbers from 0, an array."""
    raise NotImplementedError  # your lines
