import numpy as np


def misled(x, slope, eps):
    return np.clip(x + eps * np.sign(slope), 0, 1)
