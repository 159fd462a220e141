"""What the desk can be asked, one file each: `act(desk, ask, payload)` gives an Answer, or yields several.

`ask` is the question's header. An act that streams is a generator: between two answers the desk hears other questions,
and closes the generator when its question is cancelled. UserError is told to the user; what else is raised ends the
question alone, and its traceback goes to the terminal.
"""

ACTS = {  # a question's "do" -> the module here that answers
    "use": "use",
    "form": "use",
    "maps": "maps",
    "pixel": "maps",
    "example": "example",
    "attack": "attack",
    "explain": "explain",
    "landscape": "landscape",
    "playground": "playground",
    "steer": "playground",
    "script": "playground",
    "terrain": "playground",
    "scene": "giants",
    "move": "play",
    "watch": "play",
    "world": "play",
    "sgf": "play",
    "film": "play",
}
