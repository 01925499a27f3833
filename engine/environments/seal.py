"""The seal of an environment: what was in it when it was published, as far as no RECORD says that already.

A RECORD has the hashes of the files that a package installed, but nothing has those of the RECORDs, of bytecode, of
what old packages without RECORD installed, of what venv made, or of a file that two packages own or whose row was wrong
from the start. The seal has them, so that together they cover every file. ``current.json`` has the digest of the seal.
"""

from __future__ import annotations

import json
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field

from engine.environments.records import Claims, Distribution, Supplied, distributions_in, read_claims
from engine.environments.tree import (
    ALGORITHM,
    Entry,
    EntryKind,
    Listing,
    digest,
    digest_files,
    digest_of,
    held,
    measure_tree,
    read_regular,
    walk,
)
from engine.files import is_file, write_atomic

__all__ = [
    "SEAL",
    "InterpreterSeal",
    "Seal",
    "Sealed",
    "Vouched",
    "Whole",
    "algorithms_for",
    "interpreter_seal",
    "read_seal",
    "state_of",
    "write_seal",
]

SEAL = "envdeck-seal.json"
"""Lies in the environment itself, and goes with it."""

_FORMAT = 1
_LIMIT = 256 * 1024 * 1024
_PYTHON_NAME = re.compile(r"python(\d+\.\d+)\w*")
_LIBRARY_DIRECTORIES = ("lib", "lib64", "lib/*-linux-*")


class InterpreterSeal(Struct, frozen=True):
    """Which interpreter an environment was built on."""

    path: str
    """Its executable, links resolved."""
    files: Mapping[str, str]
    """Path to digest: the executable, and libpython where it has one."""


class Seal(Struct, frozen=True):
    """What a seal says."""

    files: Mapping[str, str | None]
    """Relative path to what was there, in the form of `state_of`; None for what a RECORD names but was not there."""
    interpreter: InterpreterSeal | None
    """None when it is in an image or on another machine."""


class Sealed(Struct, frozen=True):
    """A finished attempt, after one look at everything in it."""

    digest: str
    """Of its seal, for its record."""
    distributions: tuple[Distribution, ...]
    size: int
    """Bytes of its files, a file with several names counted once."""
    shared: int
    """How many of those bytes are in files that have names elsewhere too, and stay when it is deleted."""
    files: int


class Vouched(Struct, frozen=True):
    """What is known of an attempt without reading it: what envdeck itself has put there, where it is as it was."""

    files: Mapping[str, Entry] = field(default_factory=dict)
    """Files by path, each with its digest (`engine.environments.tree.walk`)."""
    distributions: tuple[Supplied, ...] = ()
    listings: Mapping[str, Listing] = field(default_factory=dict)
    """Directories by path, with what was in them."""


class Whole(Struct, frozen=True):
    """What envdeck itself has put into an attempt, known all at once: nothing is asked of a file by itself.

    That takes that all of it is as it was, and that there are no other distributions.
    """

    distributions: tuple[Supplied, ...]
    """Without their files."""
    listings: Mapping[str, Listing]
    """The directories that were made for files of theirs, by path, without those."""
    files_beside: Callable[[Container[str]], Mapping[str, Entry]]
    """Their files that are in other directories than these, by path, each with its digest. Raises `OSError`,
    `ValueError`."""
    sealed: tuple[str, ...]
    """What the seal says of their files, as members of a JSON object."""
    files: int
    """How many there are, a file of two of them counted once."""
    size: int
    """Their bytes."""


class _Look(Struct, frozen=True):
    """An attempt, before anything in it is read but RECORDs."""

    tree: Mapping[str, Entry]
    distributions: tuple[Distribution, ...]
    claims: Claims
    proven: Collection[str]
    """The paths of which nothing is left to say."""
    records: Mapping[str, str]
    """The paths of the RECORDs that were read, each with its digest."""
    whole: Whole | None = None
    """What is there and not in `tree`."""


def write_seal(
    attempt_dir: Path,
    interpreter: Callable[[], InterpreterSeal | None],
    vouched: Callable[[], Vouched] = Vouched,
    whole: Whole | None = None,
) -> Sealed:
    """Seal the finished attempt in `attempt_dir`.

    Call it when nobody else can write there any more. `interpreter` is asked last. Costs one reading of every file that
    is not `vouched` for, which is not asked where what is there is the `whole` and nothing was done to it. Raises
    `OSError` for what cannot be read, `StorageError`.
    """
    (attempt_dir / SEAL).unlink(missing_ok=True)  # a package may have brought one along
    look = (whole and _look_at_whole(attempt_dir, whole)) or _look(attempt_dir, vouched())
    return _write_seal(attempt_dir, look, interpreter)


def _look(attempt_dir: Path, vouched: Vouched) -> _Look:
    tree = walk(attempt_dir, vouched.files, held(attempt_dir, vouched.listings))
    supplied = _unchanged(attempt_dir, tree, vouched.distributions)
    distributions = distributions_in(attempt_dir, tree, supplied)
    proven: set[str] = set()
    for each in supplied.values():
        proven |= each.files.keys() - each.unhashed
    claims = read_claims(attempt_dir, distributions, tree, supplied)
    return _Look(tree, distributions, claims, proven, _records(supplied))


def _look_at_whole(attempt_dir: Path, whole: Whole) -> _Look | None:
    """A look without the files of `whole`; None when it takes more than that to know that they are as they were."""
    listings = held(attempt_dir, whole.listings)
    try:
        if not all(stat.S_ISDIR((attempt_dir / path).lstat().st_mode) for path in _ways_to(whole.listings, listings)):
            return None
        loose = whole.files_beside(listings)
    except (OSError, ValueError):
        return None
    tree = walk(attempt_dir, loose, listings)
    supplied = _unchanged(attempt_dir, tree, whole.distributions)
    distributions = distributions_in(attempt_dir, tree, supplied)
    if len(distributions) != len(whole.distributions) or not all(tree.get(path) is loose[path] for path in loose):
        return None
    if not all(each.directory in supplied for each in distributions):
        return None
    claims = read_claims(attempt_dir, distributions, tree, supplied)
    if not claims.hashed.keys() <= tree.keys():
        return None
    return _Look(tree, distributions, claims, loose.keys(), _records(supplied), whole)


def _records(supplied: Mapping[str, Supplied]) -> dict[str, str]:
    return {f"{directory}/RECORD": each.record for directory, each in supplied.items()}


def _ways_to(directories: Iterable[str], held: Container[str]) -> set[str]:
    """Those of `directories`, and of all that they are in, that are not known to be directories for being `held`."""
    found: set[str] = set()
    for path in directories:
        while path and path not in found:
            if path not in held:
                found.add(path)
            path = path.rpartition("/")[0]
    return found


def _write_seal(attempt_dir: Path, look: _Look, interpreter: Callable[[], InterpreterSeal | None]) -> Sealed:
    tree, claims, whole = look.tree, look.claims, look.whole
    rest = {path: tree[path] for path in tree.keys() - look.proven}
    known = {path: told for path, told in look.records.items() if path not in claims.hashed}
    unread = {path for path, e in rest.items() if e.kind is EntryKind.FILE and not e.digest and path not in known}
    digests = digest_files(attempt_dir, tree, {path: algorithms_for(path, claims) for path in unread})
    files: dict[str, str | None] = {path: None for path in claims.hashed if path not in tree}
    for path, entry in rest.items():
        told = entry.digest or known.get(path)
        found = {ALGORITHM: told} if told else digests.get(path, {})
        if isinstance(found, OSError):
            raise found
        if not claims.vouch(path, found, entry.size):
            files[path] = state_of(entry, found)
    text = _text_of(files, whole.sealed if whole else (), interpreter())
    write_atomic(attempt_dir / SEAL, text)
    # What is whole has some of its files in the tree: those that had to be looked at.
    entries = [tree[path] for path in tree.keys() - look.proven] if whole else tree.values()
    size, count = measure_tree(entries)
    shared = _shared(entries)
    if whole:
        size, count, shared = size + whole.size, count + whole.files, shared + whole.size
    return Sealed(digest_of(text), look.distributions, size + len(text), shared, count + 1)


def _text_of(files: Mapping[str, str | None], sealed: Iterable[str], interpreter: InterpreterSeal | None) -> bytes:
    """The seal, whose files are `files` and the members `sealed` of a JSON object."""
    members = ", ".join(filter(None, (*sealed, json.dumps(files, sort_keys=True)[1:-1])))
    on = interpreter and {"path": interpreter.path, "files": interpreter.files}
    rest = json.dumps({"format": _FORMAT, "interpreter": on}, sort_keys=True)
    return f'{{"files": {{{members}}}, {rest[1:]}'.encode("ascii")


def _shared(entries: Collection[Entry]) -> int:
    """Bytes of the files among `entries` that are not only here: the wheel store's, or in the cache of an installer."""
    names = Counter(entry.inode for entry in entries if entry.inode and not entry.digest)
    return sum(entry.size for entry in entries if entry.digest or names.get(entry.inode) == 1)


def _unchanged(
    attempt_dir: Path, tree: Mapping[str, Entry], distributions: Iterable[Supplied]
) -> Mapping[str, Supplied]:
    """Those of `distributions` that are as they were supplied, by the directory of their metadata."""

    def is_there(path: str, supplied: Entry) -> bool:
        # By the digest where another distribution has put the same file there.
        return (found := tree.get(path)) is supplied or (found is not None and found.digest == supplied.digest)

    whole = {
        f"{each.distribution.directory}/RECORD": each
        for each in distributions
        if all(is_there(path, entry) for path, entry in each.files.items())
    }
    digests = digest_files(attempt_dir, tree, {path: (ALGORITHM,) for path in whole if path in tree})
    return {
        each.distribution.directory: each
        for path, each in whole.items()
        if digests.get(path) == {ALGORITHM: each.record}
    }


def read_seal(attempt_dir: Path, expected: str) -> Seal:
    """The seal in `attempt_dir`. Raises `OSError`, `ValueError` when it is not the one with the digest `expected`."""
    if digest(attempt_dir / SEAL)[ALGORITHM] != expected:
        raise ValueError("it is not the seal that was written at publication")
    # From here on it is what write_seal wrote.
    record = json.loads(read_regular(attempt_dir / SEAL, _LIMIT))
    if record["format"] != _FORMAT:
        raise ValueError(f"its format is {record['format']}, and this envdeck reads {_FORMAT}")
    interpreter = record["interpreter"]
    return Seal(record["files"], interpreter and InterpreterSeal(interpreter["path"], interpreter["files"]))


def algorithms_for(path: str, claims: Claims) -> frozenset[str]:
    """By which algorithms the file at `path` has to be digested, to compare it with RECORDs and seal."""
    return frozenset({ALGORITHM, *(row.digest.partition("=")[0] for _, row in claims.hashed.get(path, ()))})


def state_of(entry: Entry, digests: Mapping[str, str]) -> str:
    """What is at a path, as text to compare: ``sha256=…``, ``-> target``, or a word for anything else."""
    if entry.kind is EntryKind.FILE:
        return digests[ALGORITHM]
    return f"-> {entry.target}" if entry.kind is EntryKind.LINK else entry.kind.value


def interpreter_seal(python: Path | None) -> InterpreterSeal | None:
    """The interpreter `python` as it is now; None for None, and for one that is in an image or on another machine only.

    Costs one reading of it. Raises `OSError`.
    """
    if python is None or not is_file(python):
        return None
    executable = python.resolve(strict=True)
    files = {str(path): digest(path)[ALGORITHM] for path in (executable, *_libraries(executable))}
    return InterpreterSeal(str(executable), files)


def _libraries(executable: Path) -> list[Path]:
    """The shared libpython of `executable`: with one, the executable itself is a few lines that hardly ever change."""
    found = _PYTHON_NAME.fullmatch(executable.name)
    if not found:
        return []
    prefix = executable.parent.parent
    paths = {
        path.resolve()
        for directory in _LIBRARY_DIRECTORIES
        for path in prefix.glob(f"{directory}/libpython{found[1]}*.so*")
    }
    return sorted(path for path in paths if path.is_file())
