import numpy as np


def filtered(image, kernel):
    (h, w), (rows, columns) = kernel.shape, image.shape
    return np.array([[(image[y : y + h, x : x + w] * kernel).sum() for x in range(columns - w + 1)]
                     for y in range(rows - h + 1)])  # fmt: skip
