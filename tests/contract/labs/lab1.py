def limit(curvatures):
    return 2 / max(curvatures)
