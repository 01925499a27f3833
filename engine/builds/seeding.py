"""A build and the wheel store: what it is given before it starts, and what is kept of it when it has succeeded.

The store is filled by the service's own run of pip, after the verdict, from what the configured index serves under
name, version and digest. What a build says of itself only names what to ask for, so a lie of it puts nothing false
into the store (DESIGN.md §6, builds.md, section G).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.builds.pip_config import configuration
from engine.builds.spec import Job
from engine.environments.records import Distribution
from engine.environments.seal import Vouched, Whole
from engine.errors import EnvdeckError
from engine.files import read_json
from engine.text import one_line
from engine.wheels.deciding import Asked, Supply, decide
from engine.wheels.linking import Linked, link
from engine.wheels.locks import Lock, LockRecords
from engine.wheels.model import Pin, Wanted
from engine.wheels.store import WheelStore
from engine.wheels.vouching import vouched, whole

if TYPE_CHECKING:
    from engine.wheels.filling import Source

__all__ = ["SUPPLIED", "Seeding"]

SUPPLIED = "supplied.json"
"""Tells the builder what is in the attempt already; in the job directory, written by the supervisor in one step."""

_REPORT_LIMIT = 128 * 1024 * 1024
"""pip's report holds the whole description of every package."""
_NICENESS = 10
_CLOCK_DRIFT = 0.01
"""Seconds that two clocks may differ after a while without either having been set."""


class Seeding:
    """The part of the wheel store in one build, from before its start to after its verdict."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.store = WheelStore(job.data_dir)
        self.locks = LockRecords(job.data_dir)
        self.supply = Supply(unusable="nothing is asked for")
        self._decided: Future[Supply] | None = None
        self._use = ExitStack()
        self._settings: Mapping[str, str] = {}
        self._vouched: Callable[[], Vouched] = Vouched
        self._whole: Callable[[], Whole | None] = lambda: None
        self._linked_at = (0.0, 0.0)
        """By the clock that can be set, and by the one that cannot."""

    @property
    def late(self) -> bool:
        """Whether the builder may be started before, and waits for what it is given: another account must not be able
        to write into the attempt by then, and a file that is made elsewhere may be seen late there."""
        return bool(self.job.lines) and self.job.account is None and self.job.executor == "local"

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Find out what the store has for the build, beside what is done in the block until `begin`."""
        # In this order: whatever the block comes to, nothing is used any more when all is decided.
        with self._use, ThreadPoolExecutor(1, "deciding") as pool:
            if self.job.lines:
                self._decided = pool.submit(self._decide)
            yield

    def begin(self, say: Callable[[str], None], check: Callable[[], None] = lambda: None) -> None:
        """Link what the store has for the build into its attempt, which nobody else writes in yet, and `say` so.

        A store that cannot be read is no reason to fail: pip does without it. `check` is called now and then, and what
        it raises ends the linking. Raises that, `OSError`, `StorageError`.
        """
        job = self.job
        if not job.lines:
            return
        linked: Linked | None = None
        try:
            supply, linked = self._link(check)
        except (OSError, ValueError, EnvdeckError) as error:
            supply = Supply(unusable=f"it cannot be used: {one_line(str(error))}")
            shutil.rmtree(job.attempt_dir)
            job.attempt_dir.mkdir()
        self.supply = supply
        said = str(supply)
        say(said[0].upper() + said[1:])
        if supply.lock is not None:
            self.locks.mark_used(job.key)
        packages = [[wheel.entry.name, wheel.entry.version] for wheel in supply.wheels]
        record: dict[str, object] = {"replay": supply.lock is not None, "packages": [*packages, *_externals(job)]}
        if supply.lock is not None:
            record["conflicts"] = list(supply.lock.conflicts)
        # Not `write_json`: it need not outlive a crash of the machine, because its reader does not, and to wait for the
        # disk now is to wait for all that was linked.
        unfinished = job.job_dir / f".{SUPPLIED}"
        unfinished.write_text(json.dumps(record))
        unfinished.rename(job.job_dir / SUPPLIED)
        if linked:
            self._linked_at = time.time(), time.monotonic()
            # While the builder works, which leaves this process with nothing to do.
            pool = ThreadPoolExecutor(1, "vouching")
            self._whole = pool.submit(whole, linked).result
            # Nothing but a venv is added to what is replayed, so it is asked for only if something else was done.
            one_by_one = partial(vouched, linked, job.attempt_dir)
            self._vouched = one_by_one if supply.lock is not None else pool.submit(one_by_one).result
            pool.shutdown(wait=False)

    def _decide(self) -> Supply:
        """What the store has; nothing of it goes away until `_use` is closed. Raises `OSError`, `ValueError`."""
        self._use.enter_context(self.store.in_use())
        asked = _asked(self.job)
        # Read once, before the build: it runs as an account that may write pip's configuration, and what is fetched
        # afterwards counts as served by the one that was in force.
        self._settings = asked.settings
        return decide(asked, self.store, self.locks)

    def _link(self, check: Callable[[], None]) -> tuple[Supply, Linked | None]:
        job = self.job
        with self._use:
            supply = self._decided.result() if self._decided else self._decide()
            if not supply.wheels:
                return supply, None
            linked = link(
                self.store,
                supply.wheels,
                job.attempt_dir,
                pip_version=_version(job),
                requested=supply.requested,
                owner=job.account,
                check=check,
            )
        return supply, linked

    def vouched(self) -> Vouched:
        """The files that were linked: where in the attempt, and what is in them."""
        vouched = self._vouched()
        return replace(vouched, listings={}) if self._is_set_back() else vouched

    def whole(self) -> Whole | None:
        """All that was linked, if it can be known again at once."""
        return None if self._is_set_back() else self._whole()

    def _is_set_back(self) -> bool:
        """Whether the clock was: something new can look as old as what was linked then."""
        return (time.monotonic() - self._linked_at[1]) - (time.time() - self._linked_at[0]) >= _CLOCK_DRIFT

    def remember(
        self,
        outcome: Mapping[str, object],
        distributions: Iterable[Distribution],
        give_up: Callable[[], bool],
    ) -> str:
        """Keep what the published build has fetched, and record what it ended with; returns what was done, in a line.

        `outcome` is the builder's, `distributions` what the service itself found in the attempt. Raises `OSError`,
        `StorageError`.
        """
        if self.supply.unusable or outcome.get("replayed") is True:
            return ""
        # Only here, because a build that is replayed needs none of it.
        from engine.wheels.filling import fill

        os.nice(_NICENESS)
        served = {wheel.pin: wheel.sha256 for wheel in self.supply.wheels}
        reported = _reported(self.job.work_dir / "pip-report.json")
        ended_with = {Pin.of(d.name, d.version): d for d in distributions}
        fetched = [Wanted(pin, reported[pin]) for pin in ended_with if pin in reported and pin not in served]
        filled = fill(self.store, self._source(), fetched, give_up)
        served |= {wheel.pin: wheel.sha256 for wheel in filled.stored}
        refused = {wanted.pin: why for wanted, why in filled.refused.items()}
        missing = [pin for pin in ended_with if pin not in served]
        reason = ""
        if missing:
            why = refused.get(missing[0], "it was not installed from a wheel of the index")
            first = ended_with[missing[0]]
            reason = one_line(f"{first.name} {first.version} is not in the wheel store: {why}")
        wheels = () if reason else tuple(Wanted(pin, served[pin]) for pin in ended_with)
        conflicts = outcome.get("conflicts")
        self.locks.write(
            Lock(
                self.job.key,
                self.job.attempt,
                time.time(),
                self.supply.index,
                self.supply.tag,
                wheels,
                tuple(str(line) for line in conflicts) if isinstance(conflicts, list) else (),
                reason,
            )
        )
        kept = f"{filled.added} packages were put into the wheel store"
        return f"{kept}; no lock, because {reason}" if reason else f"{kept}, and a lock of {len(wheels)} was recorded"

    def _source(self) -> Source:
        from engine.wheels.filling import Source

        job = self.job
        return Source(
            Path(job.python_path),
            self.supply.tag,
            _version(job),
            self.supply.index,
            self._settings,
            job.env,
        )


def _asked(job: Job) -> Asked:
    interpreter = job.ingredients.get("interpreter")
    return Asked(
        key=job.key,
        installer=job.installer,
        target=job.target,
        executor=job.executor,
        pip_version=job.pip_version,
        interpreter=interpreter if isinstance(interpreter, Mapping) else {},
        requirements=job.requirements,
        constraints=job.constraints,
        settings=configuration(job.home, account=job.account),
        externals=[name for name, _ in _externals(job)],
        replay=job.replay,
        fresh=job.fresh,
    )


def _version(job: Job) -> str:
    return ".".join(map(str, job.pip_version))


def _externals(job: Job) -> list[list[str]]:
    """Name and version of the packages that the environment sees of the installation."""
    externals = job.ingredients.get("externals")
    packages = externals.get("packages") if isinstance(externals, Mapping) else None
    return [[str(package[0]), str(package[1])] for package in packages or ()]


def _reported(path: Path) -> dict[Pin, str]:
    """What pip says it has installed from wheels of an index: the digest of each. Written by the build: proves nothing.

    https://pip.pypa.io/en/stable/reference/installation-report/
    """
    report = read_json(path, _REPORT_LIMIT) if path.is_file() and not path.is_symlink() else None
    rows = report.get("install") if report else None
    found = {}
    for row in rows if isinstance(rows, list) else ():
        with suppress(KeyError, TypeError, AttributeError):
            info, metadata = row["download_info"], row["metadata"]
            if row["is_direct"] is False and str(info["url"]).partition("#")[0].endswith(".whl"):
                pin = Pin.of(str(metadata["name"]), str(metadata["version"]))
                if sha256 := _sha256(info["archive_info"]):
                    found[pin] = sha256
    return found


def _sha256(archive: Mapping[str, object]) -> str:
    """The digest in an ``archive_info``; releases of pip before 23.1 have one ``hash`` and no ``hashes``."""
    hashes = archive.get("hashes")
    if isinstance(hashes, Mapping):
        return str(hashes.get("sha256") or "")
    algorithm, _, digest = str(archive.get("hash") or "").partition("=")
    return digest if algorithm == "sha256" else ""
