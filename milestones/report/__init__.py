"""report.html of a run folder: one self-contained page, written from the folder's files alone (`page.write`)."""
