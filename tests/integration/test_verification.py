"""Verification: whatever is done to an environment is found, and nothing that is as it was built is."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import Engine, EnvironmentState, Finding, FindingKind, InputError, Refused, Verification, read_verification
from engine.environments.locks import held_elsewhere
from engine.environments.seal import SEAL, interpreter_seal, write_seal
from engine.environments.store import EnvironmentStore
from engine.environments.verify import Verifier
from tests.integration.conftest import Server, make_wheel, wait_until
from tests.records import replace

KEY = "A" * 22
SITE = "lib/python3.11/site-packages"
Kind = FindingKind


def digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@dataclass
class Made:
    """An environment made by hand as a build leaves it, with one package, sealed and published."""

    store: EnvironmentStore
    key_dir: Path
    root: Path
    python: Path

    @property
    def site(self) -> Path:
        return self.root / SITE

    def install(self, name: str, version: str, files: dict[str, bytes], record: dict[str, str] | None = None) -> None:
        """Put a package there; `record` gives other digests than those of the files."""
        info = self.site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        files = files | {f"{info.name}/METADATA": f"Name: {name}\nVersion: {version}\n".encode()}
        rows = []
        for path, data in files.items():
            (self.site / path).parent.mkdir(parents=True, exist_ok=True)
            (self.site / path).write_bytes(data)
            rows.append(f"{path},{(record or {}).get(path, digest(data))},{len(data)}")
        rows += [f"{name}/__pycache__/__init__.cpython-311.pyc,,", f"{info.name}/RECORD,,"]
        (info / "RECORD").write_text("\n".join(rows) + "\n")

    def publish(self, *packages: tuple[str, str], seal: bool = True, **changes: object) -> None:
        record: dict[str, object] = {
            "key": KEY,
            "attempt": self.root.name,
            "python_version": "3.11.7",
            "python_path": str(self.python),
            "packages": [{"name": name, "version": version} for name, version in packages],
            "ingredients": {"format": 1},
            "built_at": 1.5,
        }
        if seal:
            record["seal"] = write_seal(self.root, lambda: interpreter_seal(self.python)).digest
        self.store.publish(self.key_dir, record | changes)

    def verify(self) -> Verification:
        environment = self.store.read(self.key_dir)
        assert environment is not None
        return Verifier().verify(environment)

    def kinds(self) -> list[tuple[FindingKind, str]]:
        return [(finding.kind, finding.file or finding.package) for finding in self.verify().findings]


@pytest.fixture
def bare(tmp_path: Path) -> Made:
    store = EnvironmentStore(tmp_path / "data")
    key_dir = store.key_dir("pip", "3.11.7", "Local", KEY)
    python = tmp_path / "python" / "bin" / "python3.11"
    python.parent.mkdir(parents=True)
    python.write_bytes(b"\x7fELF interpreter")
    root = key_dir / "20260101-000000-abcdef"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "python3").symlink_to(python)
    (root / "bin" / "python").symlink_to("python3")
    (root / "bin" / "activate").write_text("activate")
    (root / "pyvenv.cfg").write_text(f"home = {python.parent}\nversion = 3.11.7\n")
    return Made(store, key_dir, root, python)


@pytest.fixture
def made(bare: Made) -> Made:
    bare.install(
        "alpha", "1.0", {"alpha/__init__.py": b"x = 1\n", "alpha/data.txt": b"data", "../../../bin/alpha": b"#!"}
    )
    cache = bare.site / "alpha" / "__pycache__"
    cache.mkdir()
    (cache / "__init__.cpython-311.pyc").write_bytes(b"bytecode")
    bare.publish(("alpha", "1.0"))
    return bare


def test_an_environment_that_nobody_touched_is_what_was_built(made: Made) -> None:
    verification = made.verify()
    assert verification.findings == ()
    assert verification.notes == ()
    assert verification.files == sum(1 for p in made.root.rglob("*") if p.is_file() and not p.is_symlink()) - 1
    assert verification.bytes > 0


Change = Callable[[Made], object]
CHANGES: dict[str, tuple[Change, list[tuple[FindingKind, str]]]] = {
    "content": (
        lambda m: (m.site / "alpha/data.txt").write_bytes(b"dada"),
        [(Kind.CHANGED, f"{SITE}/alpha/data.txt")],
    ),
    "size": (
        lambda m: (m.site / "alpha/data.txt").write_bytes(b"more data"),
        [(Kind.CHANGED, f"{SITE}/alpha/data.txt")],
    ),
    "file gone": (lambda m: (m.site / "alpha/__init__.py").unlink(), [(Kind.MISSING, f"{SITE}/alpha/__init__.py")]),
    "script": (lambda m: (m.root / "bin/alpha").write_text("evil"), [(Kind.CHANGED, "bin/alpha")]),
    "activate": (lambda m: (m.root / "bin/activate").write_text("evil"), [(Kind.CHANGED, "bin/activate")]),
    "bytecode": (
        lambda m: (m.site / "alpha/__pycache__/__init__.cpython-311.pyc").write_bytes(b"bytecodf"),
        [(Kind.CHANGED, f"{SITE}/alpha/__pycache__/__init__.cpython-311.pyc")],
    ),
    "file and record": (
        lambda m: (
            (m.site / "alpha/data.txt").write_bytes(b"evil"),
            (m.site / "alpha-1.0.dist-info/RECORD").write_text(f"alpha/data.txt,{digest(b'evil')},4\n"),
        ),
        [(Kind.CHANGED, f"{SITE}/alpha-1.0.dist-info/RECORD")],
    ),
    "record gone": (
        lambda m: (m.site / "alpha-1.0.dist-info/RECORD").unlink(),
        [(Kind.MISSING, f"{SITE}/alpha-1.0.dist-info/RECORD")],
    ),
    "record not a table": (
        lambda m: (m.site / "alpha-1.0.dist-info/RECORD").write_text('"'),
        [(Kind.RECORD, f"{SITE}/alpha-1.0.dist-info/RECORD"), (Kind.CHANGED, f"{SITE}/alpha-1.0.dist-info/RECORD")],
    ),
    "module added": (lambda m: (m.site / "late.py").write_text(""), [(Kind.EXTRA, f"{SITE}/late.py")]),
    "start-up file added": (lambda m: (m.site / "late.pth").write_text(""), [(Kind.EXTRA, f"{SITE}/late.pth")]),
    "command added": (lambda m: (m.root / "bin/late").write_text(""), [(Kind.EXTRA, "bin/late")]),
    "directory linked in": (lambda m: (m.site / "late").symlink_to("/etc"), [(Kind.EXTRA, f"{SITE}/late")]),
    "package added": (
        lambda m: m.install("beta", "2.0", {}),
        [(Kind.PACKAGE_EXTRA, f"{SITE}/beta-2.0.dist-info")],
    ),
    "package in another version": (
        lambda m: (m.site / "alpha-1.0.dist-info/METADATA").write_text("Name: alpha\nVersion: 1.1\n"),
        [(Kind.CHANGED, f"{SITE}/alpha-1.0.dist-info/METADATA"), (Kind.PACKAGE_VERSION, "alpha")],
    ),
    "link elsewhere": (
        lambda m: ((m.root / "bin/python").unlink(), (m.root / "bin/python").symlink_to("/bin/sh")),
        [(Kind.CHANGED, "bin/python"), (Kind.INTERPRETER, "bin/python")],
    ),
    "seal gone": (lambda m: (m.root / SEAL).unlink(), [(Kind.MISSING, SEAL)]),
    "seal changed": (lambda m: (m.root / SEAL).write_text("{}"), [(Kind.RECORD, SEAL)]),
    "other version": (
        lambda m: (m.root / "pyvenv.cfg").write_text("home = /x\nversion = 3.11.8\n"),
        [(Kind.CHANGED, "pyvenv.cfg"), (Kind.CHANGED, "pyvenv.cfg")],
    ),
    "everything gone": (
        lambda m: m.root.rename(m.root.with_name("elsewhere")),
        [(Kind.MISSING, "…/20260101-000000-abcdef")],
    ),
    "a link to another place": (
        lambda m: m.root.rename(m.root.with_name("elsewhere")).exists() and m.root.symlink_to("elsewhere"),
        [(Kind.MISSING, "…/20260101-000000-abcdef")],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_is_found(made: Made, name: str) -> None:
    change, expected = CHANGES[name]
    change(made)
    assert [(k, f.replace(str(made.key_dir), "…")) for k, f in made.kinds()] == expected


@pytest.mark.parametrize(
    "name",
    ["alpha/cache.json", "alpha/__pycache__/other.cpython-311.opt-1.pyc", "alpha/__pycache__/numba.nbi", "notes.txt"],
)
def test_what_comes_later_and_cannot_run_is_passed_over(made: Made, name: str) -> None:
    (made.site / name).write_bytes(b"later")
    assert made.verify().ok


def test_bytecode_that_is_gone_is_noted_but_no_damage(made: Made) -> None:
    (made.site / "alpha/__pycache__/__init__.cpython-311.pyc").unlink()
    verification = made.verify()
    assert verification.ok
    assert "bytecode" in verification.notes[0]


@pytest.mark.parametrize("name", ["alpha.pyc", "alpha.pyo"])
def test_bytecode_beside_its_source_is_that_of_python_2(bare: Made, name: str) -> None:
    bare.install("alpha", "1.0", {"alpha.py": b""})
    bare.publish(("alpha", "1.0"))
    (bare.site / name).write_bytes(b"later")
    assert bare.verify().ok
    (bare.site / "alpha.py").unlink()
    assert (Kind.EXTRA, f"{SITE}/{name}") in bare.kinds()


def test_pipes_sockets_and_devices_are_never_opened(made: Made, tmp_path: Path) -> None:
    (made.site / "alpha/data.txt").unlink()
    os.mkfifo(made.site / "alpha/data.txt")
    os.mkfifo(made.site / "pipe.py")
    os.mkfifo(made.site / "alpha-1.0.dist-info/PKG-INFO")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(made.site)
        listening.bind("socket.py")
        os.chdir("/")
        found = made.verify().findings
    assert [(f.kind, f.file, f.found) for f in found] == [
        (Kind.CHANGED, f"{SITE}/alpha/data.txt", "pipe"),
        (Kind.EXTRA, f"{SITE}/pipe.py", ""),
        (Kind.EXTRA, f"{SITE}/socket.py", ""),
    ]


def test_a_record_that_leads_out_is_told_of_and_not_followed(bare: Made, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    bare.install("alpha", "1.0", {"alpha.py": b""})
    record = bare.site / "alpha-1.0.dist-info" / "RECORD"
    way = os.path.relpath(tmp_path / "secret", bare.site)
    record.write_text(record.read_text() + f"{way},{digest(b'secret')},6\n/etc/passwd,{digest(b'')},0\n")
    bare.publish(("alpha", "1.0"))
    found = bare.verify().findings
    assert [f.kind for f in found] == [Kind.OUTSIDE, Kind.OUTSIDE]
    assert {f.package for f in found} == {"alpha"}


def test_a_link_out_of_the_environment_is_compared_by_where_it_leads(bare: Made) -> None:
    bare.install("alpha", "1.0", {"alpha.py": b""})
    (bare.site / "data").symlink_to("/etc")
    bare.publish(("alpha", "1.0"))
    assert bare.verify().ok
    (bare.site / "data").unlink()
    (bare.site / "data").symlink_to("/usr")
    assert bare.kinds() == [(Kind.CHANGED, f"{SITE}/data")]


def test_two_packages_that_own_one_file_are_as_they_were_built(bare: Made) -> None:
    bare.install("alpha", "1.0", {"tests/__init__.py": b"alpha"})
    bare.install("beta", "1.0", {"tests/__init__.py": b"beta"})
    bare.publish(("alpha", "1.0"), ("beta", "1.0"))
    assert bare.verify().ok
    (bare.site / "tests/__init__.py").write_bytes(b"evil!")
    assert bare.kinds() == [(Kind.CHANGED, f"{SITE}/tests/__init__.py")]


def test_a_record_that_was_wrong_from_the_start_is_no_damage(bare: Made) -> None:
    """pip copies the rows of a wheel and checks none of them; a rebuild would only lead to the same."""
    bare.install("alpha", "1.0", {"alpha.py": b"", "gone.py": b""}, record={"alpha.py": digest(b"something else")})
    (bare.site / "gone.py").unlink()
    bare.publish(("alpha", "1.0"))
    assert bare.verify().ok
    (bare.site / "alpha.py").write_bytes(b"later")
    assert bare.kinds() == [(Kind.CHANGED, f"{SITE}/alpha.py")]
    (bare.site / "gone.py").write_bytes(b"")
    assert (Kind.EXTRA, f"{SITE}/gone.py") in bare.kinds()


def test_files_of_a_package_without_record_are_covered_by_the_seal(bare: Made) -> None:
    (bare.site / "old-1.0-py3.11.egg-info").mkdir(parents=True)
    (bare.site / "old-1.0-py3.11.egg-info/PKG-INFO").write_text("Name: old\nVersion: 1.0\n")
    (bare.site / "old.py").write_text("")
    bare.publish(("old", "1.0"))
    assert bare.verify().ok
    (bare.site / "old.py").write_text("evil")
    assert bare.kinds() == [(Kind.CHANGED, f"{SITE}/old.py")]


def test_names_that_are_not_utf8_are_sealed_and_compared(bare: Made) -> None:
    name = os.fsdecode(b"caf\xe9.py")
    bare.site.mkdir(parents=True)
    (bare.site / name).write_text("")
    bare.publish()
    assert bare.verify().ok
    (bare.site / name).write_text("evil")
    ((finding),) = bare.verify().findings
    assert finding.file == rf"{SITE}/caf\udce9.py"


def test_a_package_that_the_lock_names_and_is_not_there_is_missing(bare: Made) -> None:
    bare.install("alpha", "1.0", {})
    bare.publish(("Alpha", "1.0.0"), ("beta", "2.0"))
    assert bare.kinds() == [(Kind.PACKAGE_MISSING, "beta")]


def test_without_a_seal_only_what_records_say_is_proven_and_that_is_told(bare: Made) -> None:
    bare.install("alpha", "1.0", {"alpha.py": b""})
    bare.publish(("alpha", "1.0"), seal=False)
    assert bare.verify().ok
    assert any("never sealed" in note for note in bare.verify().notes)
    (bare.site / "alpha.py").write_text("evil")
    (bare.site / "late.py").write_text("evil")
    assert bare.kinds() == [(Kind.CHANGED, f"{SITE}/alpha.py")]


# The interpreter


def test_an_interpreter_that_was_replaced_is_found(made: Made) -> None:
    made.python.write_bytes(b"\x7fELF another one")
    assert made.kinds() == [(Kind.INTERPRETER, str(made.python))]


def test_a_shared_libpython_that_was_replaced_is_found(bare: Made) -> None:
    library = bare.python.parent.parent / "lib" / "libpython3.11.so.1.0"
    library.parent.mkdir()
    library.write_bytes(b"\x7fELF library")
    bare.publish()
    assert bare.verify().ok
    library.write_bytes(b"\x7fELF another")
    assert bare.kinds() == [(Kind.INTERPRETER, str(library))]


def test_an_interpreter_in_an_image_is_not_looked_at_and_that_is_told(bare: Made) -> None:
    bare.python.unlink()
    seal = write_seal(bare.root, lambda: None).digest
    bare.publish(seal=False, target="ghcr.io/org/image:1", python_path="/opt/python/bin/python3")
    environment = bare.store.read(bare.key_dir)
    assert environment is not None
    verification = Verifier().verify(replace(environment, seal=seal))
    assert verification.ok
    assert verification.notes == ("its interpreter is in the image ghcr.io/org/image:1 and was not looked at",)


def test_an_interpreter_that_many_share_is_read_once(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.environments import verify

    read = []
    whole = verify.digest
    monkeypatch.setattr(verify, "digest", lambda path: read.append(path) or whole(path))
    environment = made.store.read(made.key_dir)
    assert environment is not None
    verifier = Verifier()
    assert verifier.verify(environment).ok
    assert verifier.verify(environment).ok
    assert read == [made.python]


# External packages


@pytest.fixture
def with_external(bare: Made, tmp_path: Path) -> Made:
    installed = tmp_path / "python" / "lib" / "site-packages"
    (installed / "numpy-1.0.dist-info").mkdir(parents=True)
    (installed / "numpy-1.0.dist-info/METADATA").write_text("Name: numpy\nVersion: 1.0\n")
    (installed / "numpy").mkdir()
    overlay = tmp_path / "data" / "externals" / ("0" * 32)
    overlay.mkdir(parents=True)
    for name in ("numpy", "numpy-1.0.dist-info"):
        (overlay / name).symlink_to(installed / name)
    ingredients = {"externals": {"packages": [["numpy", "1.0", str(installed)]], "version_matching": False}}
    bare.publish(("numpy", "1.0"), overlay=str(overlay), ingredients=ingredients)
    return bare


def test_external_packages_that_are_still_there_are_part_of_the_lock(with_external: Made) -> None:
    assert with_external.verify().findings == ()


def test_an_external_package_that_was_upgraded_or_removed_is_found(with_external: Made, tmp_path: Path) -> None:
    installed = tmp_path / "python" / "lib" / "site-packages"
    (installed / "numpy-1.0.dist-info").rename(installed / "numpy-2.0.dist-info")
    overlay = tmp_path / "data" / "externals" / ("0" * 32)
    assert with_external.kinds() == [
        (Kind.EXTERNAL, str(overlay / "numpy-1.0.dist-info")),
        (Kind.EXTERNAL, "numpy"),
        (Kind.PACKAGE_MISSING, "numpy"),
    ]


def test_an_overlay_that_is_gone_is_found(with_external: Made, tmp_path: Path) -> None:
    (tmp_path / "data" / "externals").rename(tmp_path / "elsewhere")
    assert (Kind.EXTERNAL, str(tmp_path / "data" / "externals" / ("0" * 32))) in with_external.kinds()


# Marks


def finding_reason(made: Made) -> tuple[EnvironmentState, str]:
    environment = made.store.read(made.key_dir)
    assert environment is not None
    return environment.state, environment.reason


def test_a_mark_makes_an_environment_damaged_until_it_is_taken_off(made: Made) -> None:
    made.store.mark_damaged(made.key_dir, made.root.name, "it \x1b[2J is not what it was", {"count": 1})
    assert finding_reason(made) == (EnvironmentState.DAMAGED, r"it \x1b[2J is not what it was")
    assert made.store.find(made.key_dir) is None
    made.store.clear_mark(made.key_dir)
    made.store.clear_mark(made.key_dir)
    assert finding_reason(made) == (EnvironmentState.READY, "")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"attempt": "another", "reason": "x"}'])
def test_a_mark_for_another_attempt_or_none_is_passed_over(made: Made, text: str) -> None:
    (made.key_dir / "damaged.json").write_text(text)
    assert finding_reason(made)[0] is EnvironmentState.READY


# For real


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, str]:
    """A server that has built an environment, whose data directory is also in ``kept``, and the key."""
    root = tmp_path_factory.mktemp("stock")
    (root / "home").mkdir()
    server = Server(root, {"HOME": str(root / "home"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"})
    make_wheel(server.packages, "alpha")
    make_wheel(server.packages, "beta", requires=("alpha",))
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(server.bundle("beta"))))
    done = engine.wait(engine.execute(plan).build.id, 300)
    wait_until(lambda: not held_elsewhere(done.directory / "alive"), what="the end of the supervisor")
    engine.close()
    subprocess.run(["cp", "-a", server.data_dir, root / "kept"], check=True)
    return server, done.key


@pytest.fixture
def server(stock: tuple[Server, str]) -> Iterator[Server]:
    """The server as it was after its build."""
    server, _ = stock
    shutil.rmtree(server.data_dir)
    subprocess.run(["cp", "-a", server.root / "kept", server.data_dir], check=True)
    server.engines.clear()
    yield server
    for engine in server.engines:
        engine.close()


@pytest.fixture
def built(server: Server, stock: tuple[Server, str]) -> tuple[Engine, str]:
    return server.engine(), stock[1]


def alpha_of(engine) -> Path:
    (environment,) = engine.refresh().environments
    (path,) = environment.path.glob("lib/python*/site-packages/alpha.py")
    return path


def test_a_real_build_verifies(built) -> None:
    engine, key = built
    plan = engine.plan_verify()
    assert [(v.name, v.findings) for v in plan.verifications] == [(key, ())]
    assert (plan.damaged, plan.to_mark, plan.to_clear, plan.gone) == ((), (), (), ())

    (environment,) = engine.refresh().environments
    assert read_verification(environment) is None
    engine.execute(plan)
    noted = read_verification(environment)
    assert noted is not None
    assert (noted.ok, noted.at) == (True, plan.verifications[0].verified_at)
    assert "verified.json" not in str(engine.diagnose().checks), "the note is nothing that lies about"


def test_what_is_damaged_is_marked_no_hit_any_more_and_built_again_on_demand(server, built) -> None:
    engine, key = built
    alpha = alpha_of(engine)
    good = alpha.read_bytes()
    alpha.write_bytes(b"broken")
    bundle = engine.open_bundle(str(server.bundle("beta")))
    plan = engine.plan_verify([key[:4]])
    assert [(f.kind, Path(f.file).name, f.package) for f in plan.damaged[0].findings] == [
        (Kind.CHANGED, "alpha.py", "alpha")
    ]
    assert engine.plan_build(bundle).hit
    assert engine.execute(plan).marked == (key,)
    (environment,) = engine.refresh().environments
    assert environment.state is EnvironmentState.DAMAGED
    assert "alpha.py is changed" in environment.reason
    mark = json.loads((environment.key_dir / "damaged.json").read_text())
    assert (mark["attempt"], mark["count"]) == (environment.attempt, 1)
    assert not engine.plan_build(bundle).hit

    # Put right by hand, a verification says so.
    alpha.write_bytes(good)
    assert engine.execute(engine.plan_verify()).cleared == (key,)
    assert engine.plan_build(bundle).hit

    alpha.write_bytes(b"broken")
    engine.execute(engine.plan_verify())
    outcome = engine.execute(engine.plan_build(bundle))
    assert engine.wait(outcome.build.id, 300).state == "done"
    (again,) = engine.refresh().environments
    assert (again.key, again.state) == (key, EnvironmentState.READY)
    assert again.attempt != environment.attempt
    assert engine.plan_verify().damaged == ()


def test_an_environment_that_is_deleted_or_rebuilt_meanwhile_is_not_called_damaged(built) -> None:
    engine, key = built
    (environment,) = engine.refresh().environments

    def delete(_: object) -> None:
        environment.path.rename(environment.path.with_name("gone"))
        (environment.key_dir / "current.json").unlink()

    plan = engine.plan_verify(on_progress=delete)
    assert (plan.verifications, plan.gone) == ((), (key,))


def test_marking_leaves_an_attempt_alone_that_took_its_place(built) -> None:
    engine, _ = built
    alpha_of(engine).write_bytes(b"broken")
    plan = engine.plan_verify()
    (environment,) = engine.refresh().environments
    record = json.loads((environment.key_dir / "current.json").read_text())
    (environment.key_dir / "current.json").write_text(json.dumps(record | {"attempt": "another"}))
    result = engine.execute(plan)
    assert (result.marked, result.failed) == ((), ())
    assert not (environment.key_dir / "damaged.json").exists()


def test_read_only_only_tells(server, built) -> None:
    engine, key = built
    alpha_of(engine).write_bytes(b"broken")
    watching = server.engine(read_only=True)
    plan = watching.plan_verify()
    assert [v.name for v in plan.to_mark] == [key]
    with pytest.raises(Refused):
        watching.execute(plan)
    (environment,) = engine.refresh().environments
    assert environment.state is EnvironmentState.READY


def test_verification_can_be_stopped_between_two_environments(built) -> None:
    engine, _ = built
    assert engine.plan_verify(stop=lambda: True).verifications == ()


def test_a_key_that_is_not_there_is_said_to_be(built) -> None:
    engine, _ = built
    with pytest.raises(InputError, match="there is no environment nothing"):
        engine.plan_verify(["nothing"])


def test_an_environment_of_the_server_can_be_verified_and_is_never_marked(server, built) -> None:
    engine, _ = built
    (environment,) = engine.refresh().environments
    foreign = environment.key_dir.parent / "AbrY5VfQZ5r97HDk5puHtA"
    environment.path.rename(foreign)
    plan = engine.plan_verify_foreign()
    assert [(v.name, v.findings, v.environment) for v in plan.verifications] == [(foreign.name, (), None)]
    (path,) = foreign.glob("lib/python*/site-packages/alpha.py")
    path.write_bytes(b"broken")
    plan = engine.plan_verify_foreign(["Abr"])
    assert [Path(f.file).name for f in plan.damaged[0].findings] == ["alpha.py"]
    assert plan.to_mark == ()
    with pytest.raises(InputError):
        engine.plan_verify_foreign(["nothing"])


def test_findings_as_json_say_all_there_is() -> None:
    finding = Finding(Kind.CHANGED, "a.py", "a", "1 bytes", "2 bytes")
    assert finding.to_json() == {
        "kind": "changed",
        "file": "a.py",
        "package": "a",
        "expected": "1 bytes",
        "found": "2 bytes",
    }
