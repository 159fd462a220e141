#!/bin/sh
# Runs the unit tests on the other Pythons that pyproject.toml allows. Installs nothing: a Python without the
# project's packages is reported as untested. To test one: python3.12 -m venv .venv-3.12, and install as go.py does.
cd "$(dirname -- "$0")/.." || exit 1
status=0
for version in 3.12 3.13; do
    python=.venv-$version/bin/python
    [ -x "$python" ] || python=python$version
    if ! "$python" -c '' 2>/dev/null; then
        echo "Python $version: untested: not installed"
    elif ! problem=$("$python" -c 'import torch; torch.ones(2).sum().item()' 2>&1); then
        echo "Python $version: untested: no working torch ($(echo "$problem" | tail -n 1))"
    elif ! problem=$("$python" -c 'import pytest, hypothesis, pydantic, safetensors, rich, PIL' 2>&1); then
        echo "Python $version: untested: $(echo "$problem" | tail -n 1)"
    elif PYTHONPATH=. "$python" -m pytest -q -m 'not slow' tests/unit; then
        echo "Python $version: unit tests passed"
    else
        echo "Python $version: unit tests FAILED"
        status=1
    fi
done
exit $status
