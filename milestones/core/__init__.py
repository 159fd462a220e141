"""What a run is: its settings, data, folder, randomness, plan, loop and scores. Imports nothing of ours."""
