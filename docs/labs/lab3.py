"""Lab 3, attention. Each letter asks (query), is found (key) and tells (value); none may look at later ones.

Weights are the softmax over the keys of query . key / sqrt(D), of letters up to its own alone. The checker takes query,
key and value from a head of GPT, and compares with what that head read.
"""


def attention(query, key, value):
    """What each letter reads, "T D", from query, key and value "T D", NumPy arrays."""
    raise NotImplementedError  # your lines
