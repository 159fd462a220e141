"""What one can do to any system or run, one file each: `add(parser, words)` and `run(args) -> exit code`."""
