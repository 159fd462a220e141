import math


def worth(tree, first, look, low=-math.inf, high=math.inf):
    if isinstance(tree, int):
        return look(tree)
    for part in tree:
        found = worth(part, not first, look, low, high)
        low, high = (max(low, found), high) if first else (low, min(high, found))
        if low >= high:
            break
    return low if first else high
