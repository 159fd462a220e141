"""A run folder's files: written whole, read with suspicion, held by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import socket
import struct
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
LARGEST_JSON = 16 << 20  # bytes; a facts.json with a large vocabulary is below 2 MiB
LARGEST_HEADER = 16 << 20


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: written aside, synced, renamed. What was there stays if anything fails."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.unlink(missing_ok=True)
        with open(aside, "xb") as file:  # never through a link
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            aside.unlink()
        if isinstance(problem, OSError):
            raise unwritable(path, problem) from None
        raise


def unwritable(path: Path, problem: OSError) -> UserError:
    """What to tell about a file that cannot be written: a full disk, a read-only folder."""
    full = problem.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", None))
    do = "Free some space, then 'milestones resume'" if full else "Choose a folder that you can write to"
    kept = "What was saved before is kept"
    return UserError(f"to write {path.name} in {path.parent}", problem.strerror or str(problem), f"{do}. {kept}")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write one JSON object with its format number."""
    text = json.dumps({"format": FORMAT, **content}, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, text.encode(errors="backslashreplace"))  # JSON's own escape for a half character of a file's name


def write_status(folder: Path, content: Mapping[str, Any]) -> None:
    """Write status.json; the checksums of files that it vouched for stay, unless given anew."""
    kept: dict[str, Any] = {}
    with contextlib.suppress(UserError):
        kept = {name: value for name, value in read_json(folder, "status.json").items() if name.endswith("_sha256")}
    write_json(folder / "status.json", {**kept, **content})


def inside(folder: Path, name: str) -> Path:
    """The path of a file or folder of the folder. UserError if it leads out, by its name or a link, or is a device."""
    path = folder / name
    if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise UserError("files inside the run folder", f"{name} that leads out of {folder}", "Do not use this folder")
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe would be waited for without end
        raise UserError("files inside the run folder", f"{name} of another kind in {folder}", "Do not use this folder")
    return path


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """One JSON object of a run folder. UserError: as `read_object`, and one of another format."""
    content = read_object(inside(folder, name))
    if content.get("format") != FORMAT:
        got = f"format {str(content.get('format'))[:20]!r} where this version reads {FORMAT}"
        raise UserError(f"a readable {name} in {folder}", got, "Restore the file or train again")
    return content


def read_object(path: Path) -> dict[str, Any]:
    """The one JSON object in a file. UserError: missing, half-written, too large, too deep."""

    def refuse(got: str) -> UserError:
        return UserError(f"a readable {path.name} in {path.parent}", got, "Restore the file or train again")

    def finite(word: str) -> float:
        if math.isfinite(number := float(word)):
            return number
        raise ValueError(f"the number {word[:20]}")

    try:
        if path.stat().st_size > LARGEST_JSON:
            raise refuse(f"{path.stat().st_size:,} bytes, more than {LARGEST_JSON:,}")
        content = json.loads(path.read_bytes(), parse_constant=finite, parse_float=finite)
    except FileNotFoundError:
        raise refuse("no such file") from None
    except (ValueError, RecursionError, OSError) as problem:
        raise refuse(f"no valid JSON ({str(problem)[:80] or type(problem).__name__})") from None
    if not isinstance(content, dict):
        raise refuse(f"a {type(content).__name__} instead of an object")
    return content


def header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, checked before anything is allocated: sizes, offsets, names."""

    def refuse(got: str) -> UserError:
        return UserError(f"a whole safetensors file {path.name}", got, "Restore the file or train again")

    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
            if not 2 <= length <= min(LARGEST_HEADER, size - 8):
                raise refuse(f"{size:,} bytes with a header of {length:,}")
            content = json.loads(file.read(length))
        end, tensors = 0, {name: field for name, field in content.items() if name != "__metadata__"}
        for name, field in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
            (begin, stop), shape = field["data_offsets"], field["shape"]
            plain = all(type(n) is int and 0 <= n <= size for n in [*shape, begin, stop]) and len(shape) < 20
            if not plain or begin != end or not end <= stop <= size - 8 - length:
                raise refuse(f"tensor {name[:60]!r} outside the file or over another")
            if stop - begin != math.prod(shape) * WIDTH[field["dtype"]]:
                raise refuse(f"tensor {name[:60]!r} of {stop - begin:,} bytes for shape {shape}")
            end = stop
        if end != size - 8 - length:
            raise refuse(f"{size:,} bytes where the header describes {8 + length + end:,}")
    except FileNotFoundError:
        raise refuse("no such file") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as problem:
        raise refuse(f"a damaged header ({type(problem).__name__})") from None
    return content


WIDTH = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "C64": 8, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2,
         "I8": 1, "U8": 1, "BOOL": 1}  # fmt: skip


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors as safetensors, contiguous, on the CPU; the file's sha256 comes back."""
    from safetensors.torch import save

    content = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(tensors.items())})
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def read_weights(path: Path, like: Mapping[str, Tensor] | None = None, who: str = "milestones") -> dict[str, Tensor]:
    """The tensors of a safetensors file; names, shapes, types as in `like` if given, all finite. Else UserError."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    fields = {name: field for name, field in header(path).items() if name != "__metadata__"}
    do = "These weights belong to another page or other settings; train again"
    if like is not None:
        shapes = {name: list(tensor.shape) for name, tensor in like.items()}
        for name in sorted(shapes.keys() | fields.keys()):
            got = fields[name]["shape"] if name in fields else "none"
            if shapes.get(name, "none") != got:
                raise UserError(f"{name[:60]} of shape {shapes.get(name, 'none')} in {path}", str(got), do, who)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as problem:
        raise UserError(f"a whole safetensors file {path}", str(problem)[:120], "Restore the file", who) from None
    for name, tensor in tensors.items():
        if like is not None and tensor.dtype != like[name].dtype:
            raise UserError(f"{name} of type {like[name].dtype} in {path}", str(tensor.dtype), do, who)
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"finite weights in {path}", f"NaN or infinity in {name[:60]}", "Train again", who)
    return tensors


@contextlib.contextmanager
def held(folder: Path) -> Generator[None]:
    """Hold the folder's lock. UserError names the owner and the lock's age. A killed owner's lock is free."""
    path = inside(folder, "lock")
    try:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115  (held open on purpose)
    except OSError as problem:
        raise unwritable(path, problem) from None
    with file:
        if not grab(file):
            file.seek(0)
            owner = file.read(200).strip() or "another process"
            got = f"a lock held by {owner} for {max(0.0, time.time() - path.stat().st_mtime) / 60:.0f} min"
            raise UserError(f"the run folder {folder} for this process alone", got, "Wait for it or stop it") from None
        with contextlib.suppress(OSError):  # a full disk leaves the owner unnamed; the lock holds all the same
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield


def grab(file: IO[str]) -> bool:
    """Take the operating system's lock on an open file, which ends with the process."""
    try:
        try:
            import fcntl
        except ImportError:  # Windows
            import msvcrt

            file.seek(1000)  # a byte that nobody reads: locked bytes cannot be read there
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            return True
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def cache_folder() -> Path:
    """Where data sets and measured plans are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "milestones"


def next_folder(root: Path, name: str) -> Path:
    """Make and return `root/name-N` for the first free N; never an existing one."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        taken = [int(p.name[len(name) + 1 :]) for p in root.glob(f"{name}-*") if p.name[len(name) + 1 :].isdecimal()]
        number = max(taken, default=0) + 1
        while True:
            with contextlib.suppress(FileExistsError):
                (root / f"{name}-{number}").mkdir()
                return root / f"{name}-{number}"
            number += 1
    except OSError as problem:
        raise unwritable(root / name, problem) from None
