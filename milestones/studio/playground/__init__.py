"""The playground's net in the plane: its settings, its training in slices, the user's own points, its script."""
