"""Lab 2, filters. A filter lies on each place of a picture where it fits; the answer there is the sum of products.

The checker takes a filter that LeNet learned and a digit with a margin. As in all libraries of deep learning, the
filter is not turned round. Write the loops, or do without them.
"""


def filtered(image, kernel):
    """The answers "H-h+1 W-w+1" of `kernel` "h w" on `image` "H W", both NumPy arrays."""
    raise NotImplementedError  # your lines
