from __future__ import annotations

import sys
from pathlib import Path

from engine.installations.discovery import discover


def interpreter(path: Path, executable: bool = True) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755 if executable else 0o644)
    return str(path)


def test_installations_below_a_root_are_found_oldest_version_first(tmp_path: Path) -> None:
    root = tmp_path / "opt"
    expected = [
        interpreter(root / "3.8.18/bin/python"),
        interpreter(root / "3.9.5/bin/python3"),
        interpreter(root / "3.10.13/bin/python3"),
    ]
    interpreter(root / "3.9.5/bin/python")
    (root / "3.11.7/bin").mkdir(parents=True)
    interpreter(root / "install.sh")
    interpreter(root / ".partial/bin/python3")
    interpreter(root / "3.12.1/bin/python3", executable=False)
    assert discover({}, [root, tmp_path / "absent"]) == tuple(expected)


def test_versions_of_pyenv_and_uv_are_found_in_the_home_directory(tmp_path: Path) -> None:
    expected = (
        interpreter(tmp_path / ".pyenv/versions/3.9.1/bin/python3"),
        interpreter(tmp_path / ".local/share/uv/python/cpython-3.12.1-linux-x86_64-gnu/bin/python3"),
    )
    assert discover({"HOME": str(tmp_path)}, []) == expected


def test_the_variables_of_pyenv_and_uv_move_their_directories(tmp_path: Path) -> None:
    interpreter(tmp_path / "home/.pyenv/versions/3.9.1/bin/python3")
    pyenv = interpreter(tmp_path / "pyenv/versions/3.10.1/bin/python3")
    uv = interpreter(tmp_path / "uv/cpython-3.11.1/bin/python3")
    data = interpreter(tmp_path / "data/uv/python/cpython-3.12.1/bin/python3")
    environ = {
        "HOME": str(tmp_path / "home"),
        "PYENV_ROOT": str(tmp_path / "pyenv"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    assert discover(environ, []) == (pyenv, data)
    assert discover({**environ, "UV_PYTHON_INSTALL_DIR": str(tmp_path / "uv")}, []) == (pyenv, uv)


def test_interpreters_on_the_path_are_found_by_their_names(tmp_path: Path) -> None:
    python3 = interpreter(tmp_path / "a/bin/python3")
    minor = interpreter(tmp_path / "a/bin/python3.12")
    plain = interpreter(tmp_path / "b/bin/python")
    for name in ("python3-config", "python3.12-config", "pythonw", "ipython3", "python2"):
        interpreter(tmp_path / "a/bin" / name)
    path = f"{tmp_path}/a/bin:{tmp_path}/b/bin:{tmp_path}/absent"
    assert set(discover({"PATH": path}, [])) == {python3, minor, plain}


def test_an_interpreter_is_listed_once_whatever_links_lead_to_it(tmp_path: Path) -> None:
    real = tmp_path / "usr/bin/python3.11"
    interpreter(real)
    python3 = real.with_name("python3")
    python3.symlink_to("python3.11")
    (tmp_path / "bin").symlink_to("usr/bin")
    assert discover({"PATH": f"{tmp_path}/bin:{tmp_path}/usr/bin"}, []) == (str(tmp_path / "bin/python3"),)


def test_shims_relative_directories_and_virtual_environments_on_the_path_are_left_out(tmp_path: Path) -> None:
    base = interpreter(tmp_path / "opt/3.11.7/bin/python3")
    interpreter(tmp_path / ".pyenv/shims/python3")
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python3").symlink_to(base)
    (tmp_path / "venv/pyvenv.cfg").write_text("")
    path = f"{tmp_path}/.pyenv/shims:{tmp_path}/venv/bin::bin"
    assert discover({"PATH": path}, []) == ()
    assert discover({"PATH": path}, [tmp_path / "opt"]) == (base,), "a link in an environment does not hide its base"


def test_a_virtual_environment_among_the_versions_of_pyenv_is_left_out(tmp_path: Path) -> None:
    interpreter(tmp_path / "versions/project/bin/python3")
    (tmp_path / "versions/project/pyvenv.cfg").write_text("")
    assert discover({"PYENV_ROOT": str(tmp_path)}, []) == ()


def test_the_environment_that_runs_this_is_never_found() -> None:
    found = discover({"PATH": str(Path(sys.executable).parent)}, [])
    assert sys.prefix == sys.base_prefix or found == ()


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to("gone")
    path = f"{tmp_path}/file:{tmp_path}/loop:{tmp_path}/bin:{tmp_path}/with\0nul"
    assert discover({"PATH": path, "HOME": f"{tmp_path}/loop"}, [tmp_path / "file", tmp_path / "loop"]) == ()
