"""Lab 5, Q-learning. A table Q[state, action] is mended by each moment that is lived through on the lake of `mdp`.

What was seen: in `state`, `action` paid `reward` and led to `then`; where `ended`, nothing follows.
"""


def learn(q, state, action, reward, then, ended, rate, discount):
    """Change one number of `q`, "S A", in place."""
    raise NotImplementedError  # your lines
