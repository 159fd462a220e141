"""The studio: a server and one page of plain ES modules that draw any Config, log, Score and Media. It knows no
system by name; training, and all that needs PyTorch, runs in child processes."""
