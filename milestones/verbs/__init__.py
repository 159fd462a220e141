"""What one can do to any system or run, one file each: `add(parser, words)` and `run(args) -> exit code`."""

VERBS = {
    "list": "the timeline: all systems, by year",
    "show": "a page: its paper, idea, settings and presets",
    "train": "train a page, or the page that fits your data: train lenet, train photos/, train my.py",
    "resume": "go on with a run that was stopped, to the same bits",
    "score": "measure a run again, on its test data or on yours",
    "use": "give a run pictures or rows of your own",
    "play": "let a run act in its world: watch it, film it, or play the same world yourself; a board game against it",
    "match": "runs and fixed opponents in a board game against each other: Elo with intervals, every game kept",
    "say": "a text to sound, by espeak-ng: say out.wav three hundred and four",
    "look": "see what a run learned: its units and layers, what it looks at in an input, the loss around it",
    "attack": "look for small changes of the input that mislead a run; certify what no change can mislead",
    "lr": "find a page's learning rate by short trainings, and see what other rates do",
    "export": "a run as a folder to publish: weights, model card, ONNX, torch.export; --script: one plain file",
    "fork": "copy a page to a file of yours, to change",
    "runs": "what has been trained here",
    "compare": "runs side by side: what differs in settings and scores",
    "data": "what would be read from a path, how it is split, what is wrong with it; --download fetches a set",
    "doctor": "what is wrong with a run's training; without a run, check the installation and this machine",
    "studio": "all of it in the browser: train, watch, use, look inside, attack, play",
    "completion": "print the completion script of a shell: bash, zsh or fish",
}
