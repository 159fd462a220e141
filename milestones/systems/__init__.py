"""One file per milestone, named by what it is."""
