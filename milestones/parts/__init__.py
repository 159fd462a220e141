"""Mathematics used twice: pure functions and modules. No files, no Run, no global randomness; nothing of ours."""
