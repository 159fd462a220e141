#!/bin/sh
# Finds a Python that is new enough and hands over to go.py, which does the rest.
self=$0
if [ -h "$self" ]; then self=$(readlink -f -- "$self"); fi
here=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd)

# Once installed, the project's own Python answers without a search.
if [ -f "$here/.venv/go.stamp" ] && [ -x "$here/.venv/bin/python" ]; then
    exec "$here/.venv/bin/python" -IS "$here/go.py" "$@"
fi
# PYTHON=/path/to/python ./go chooses another.
for python in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    # A name on the path may be a stub of a version manager that answers for no version, so each one is run.
    if "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$python" -I "$here/go.py" "$@"
    fi
done
echo "go: expected Python 3.11 or newer, found $("${PYTHON:-python3}" --version 2>/dev/null || echo none)." \
    "Install Python 3.11, 3.12 or 3.13 and run ./go again." >&2
exit 2
