from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from engine.bundles.manifest import MANIFEST_LIMIT, parse_manifest
from engine.bundles.model import Manifest
from engine.errors import InputError, Problem


def manifest(**sections: Any) -> dict[str, Any]:
    """A manifest as publishing clients write it, with `sections` in place of its own."""
    return {
        "version": 1,
        "metadata": {"appmode": "python-api", "entrypoint": "app:app"},
        "python": {"version": "3.11.4", "package_manager": {"name": "pip", "package_file": "requirements.txt"}},
        "files": {"app.py": {"checksum": "0" * 32}},
    } | sections


def parse(value: object) -> Manifest:
    return parse_manifest(json.dumps(value, indent=2).encode(), "manifest.json")


def problem(data: bytes | object) -> Problem:
    text = data if isinstance(data, bytes) else json.dumps(data, indent=2).encode()
    with pytest.raises(InputError) as caught:
        parse_manifest(text, "manifest.json")
    return caught.value.problem


def python(**entries: Any) -> dict[str, Any]:
    return manifest(python={"version": "3.11.4"} | entries)


def manager(**entries: Any) -> dict[str, Any]:
    return python(package_manager={"name": "pip", "package_file": "requirements.txt"} | entries)


def requires(text: object) -> dict[str, Any]:
    return manifest(environment={"python": {"requires": text}})


def test_every_field_is_read():
    result = parse(
        manifest(
            python={
                "version": "3.9.6",
                "package_manager": {"name": "uv", "version": "0.4", "package_file": "a/lock.txt", "allow_uv": True},
            },
            environment={
                "image": "registry/image:1",
                "identifier": "guid",
                "environment_management": {"python": False, "r": True},
                "python": {"requires": "~=3.9"},
            },
            extension={"title": "A\x1b[31m title"},
        )
    )
    assert result.app_mode == "python-api"
    assert result.entrypoint == "app:app"
    assert result.python_version == Version("3.9.6")
    assert result.requires == SpecifierSet("~=3.9")
    assert (result.package_manager, result.package_file, result.allow_uv) == ("uv", "a/lock.txt", True)
    assert result.manage_environment is False
    assert (result.image, result.environment_guid) == ("registry/image:1", "guid")
    assert result.title == "A\\x1b[31m title"


@pytest.mark.parametrize(
    "value",
    [
        *(manifest(**{name: value}) for name in ("packages", "users", "files") for value in (None, {})),
        {key: value for key, value in manifest().items() if key != "files"},
        manifest(environment=None),
        manifest(environment={"image": "", "python": None, "environment_management": None}),
        manifest(environment={"python": {"requires": None}}),
        manifest(environment={"python": {"requires": ""}}),
        manifest(extension={"title": 3}, quarto={"engines": ["jupyter"]}, integration_requests=[{}], anything=[1]),
        manifest(extension=["no", "object"]),
        manifest(metadata=None),
        python(requires=None, package_manager={"package_file": "./requirements.txt"}),
        manager(contents=None),
    ],
)
def test_what_clients_write_is_accepted(value):
    result = parse(value)
    assert result.python_version == Version("3.11.4")
    assert result.requires is None
    assert (result.image, result.environment_guid, result.manage_environment) == ("", "", None)


def test_a_byte_order_mark_is_no_part_of_the_text():
    text = b"\xef\xbb\xbf" + json.dumps(manifest()).encode()
    assert parse_manifest(text, "manifest.json") == parse_manifest(text[3:], "manifest.json")


@pytest.mark.parametrize("value", [python(), python(package_manager=None), manager(name="none")])
def test_no_package_manager_means_no_requirements_file(value):
    result = parse(value)
    assert (result.package_manager, result.package_file) == ("none", "")


def test_a_package_manager_without_details_is_pip_with_the_usual_file():
    result = parse(python(package_manager={}))
    assert (result.package_manager, result.package_file) == ("pip", "requirements.txt")


def test_a_constraint_is_enough_without_a_version():
    result = parse(manifest(python={}, environment={"python": {"requires": ">=3.9"}}))
    assert result.python_version is None
    assert str(result.where) == "manifest.json:15:7"


def test_the_place_is_the_entry_that_decides_the_version():
    assert str(parse(manifest()).where) == "manifest.json:8:5"


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        pytest.param(b"{" + b" " * MANIFEST_LIMIT + b"}", "manifest-too-large", "manifest.json", id="too large"),
        (b'{\n "a": "\xff"}', "manifest-not-utf8", "manifest.json:2:8"),
        (b'{\n "a": 1\n "b"}', "manifest-not-json", "manifest.json:3:2"),
        (b"", "manifest-not-json", "manifest.json:1:1"),
        pytest.param(b"[" * 100_000, "manifest-not-json", "manifest.json", id="deep"),
        pytest.param(b'{"a": ' + b"1" * 10_000 + b"}", "manifest-not-json", "manifest.json", id="long number"),
        (b'{"python": {},\n "python": {}}', "manifest-not-json", "manifest.json:2:2"),
        (b'{"files": {"a": {}, "b": {},\n  "a": {}}}', "manifest-not-json", "manifest.json:2:3"),
        (b'{"a": [{"b": 1, "b": 2}]}', "manifest-not-json", "manifest.json"),
        (b"[]", "manifest-not-object", "manifest.json:1:1"),
        (manifest(python=None), "manifest-no-python", "manifest.json:1:1"),
        (manifest(python=[]), "manifest-wrong-type", "manifest.json:7:3"),
        (manifest(files=[]), "manifest-wrong-type", "manifest.json:14:3"),
        (manifest(packages="x"), "manifest-wrong-type", "manifest.json:19:3"),
        (manifest(metadata={"appmode": 7}), "manifest-wrong-type", "manifest.json:4:5"),
        (manifest(environment="x"), "manifest-wrong-type", "manifest.json:19:3"),
        (manifest(environment={"environment_management": {"python": "no"}}), "manifest-wrong-type", None),
        (python(version=3.11), "manifest-wrong-type", "manifest.json:8:5"),
        (python(package_manager="pip"), "manifest-wrong-type", "manifest.json:9:5"),
        (manager(allow_uv=1), "manifest-wrong-type", "manifest.json:12:7"),
        (manifest(python={}), "manifest-bad-version", "manifest.json:7:3"),
        *((python(version=v), "manifest-bad-version", "manifest.json:8:5") for v in ("3.11", "3.11.0rc1", "٣.1.1")),
        pytest.param(
            python(version="3.11." + "9" * 5000), "manifest-bad-version", "manifest.json:8:5", id="long version"
        ),
        *((requires(r), "manifest-bad-constraint", "manifest.json:21:7") for r in ("3.8", "python>=3", ",", "~=3")),
        pytest.param(
            requires(">=" + "9" * 5000), "manifest-bad-constraint", "manifest.json:21:7", id="long constraint"
        ),
        *(
            (manager(package_file=f), "manifest-bad-path", "manifest.json:11:7")
            for f in ("/etc/passwd", "../x.txt", "a/../../x", ".", "a\nb", "a\0b", "\ud800")
        ),
        (manager(name="conda"), "package-manager-unsupported", "manifest.json:10:7"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(data, code, place):
    found = problem(data)
    assert found.code == code
    assert found.where is not None
    if place:
        assert str(found.where) == place


def test_a_wrong_type_names_the_path_and_both_types():
    found = problem(python(version=3.11))
    assert "python.version" in found.message
    assert (found.expected, found.found) == ("a string", "a number")
    assert "quotes" in found.hint


def test_a_bare_version_as_constraint_says_what_to_write():
    assert problem(requires("3.8")).hint == "Write ~=3.8.0 for any 3.8, or >=3.8"


@pytest.mark.parametrize(("mode", "word"), [("static", "Python only"), ("python-dash", "needs Python")])
def test_a_manifest_without_python_names_the_app_mode(mode, word):
    found = problem({"metadata": {"appmode": mode}})
    assert found.code == "manifest-no-python"
    assert mode in found.hint
    assert word in found.hint


_KEYS = st.sampled_from(
    ["python", "version", "package_manager", "name", "package_file", "environment", "requires", "image", "files"]
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["3.11.4", "pip", "~=3.9", "3.8", "requirements.txt", "../x"]),
)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5))


def outcome(data: bytes) -> Manifest | Problem:
    try:
        return parse_manifest(data, "manifest.json")
    except InputError as error:
        return error.problem


@given(st.binary() | _VALUES.map(lambda value: json.dumps(value).encode()))
def test_only_input_errors_ever_escape(data):
    result = outcome(data)
    if isinstance(result, Problem):
        assert result.code.startswith(("manifest-", "package-manager-"))
        assert str(result.where).startswith("manifest.json")
    else:
        assert result.python_version or result.requires


@given(_VALUES)
def test_any_value_may_stand_where_the_manifest_says_python(value):
    result = outcome(json.dumps(manifest(python=value)).encode())
    assert str(result.where).startswith("manifest.json:1:")
