"""What mount options and the session manager mean for builds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Health
from engine.doctor.mounts import judge_mount, mount_of, parse_mounts
from engine.doctor.session import kills_processes, session_of

MOUNTS = r"""
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 0:50 / /srv rw,relatime shared:7 master:2 - nfs4 server:/export rw,vers=4.2,lookupcache=pos,hard,local_lock=none
41 40 0:51 / /srv/with\040space rw,noexec - xfs /dev/vdb rw
42 27 0:52 / /srv2 rw - tmpfs none rw
43 27 0:53 / /srv rw,relatime - btrfs /dev/vdc rw
nonsense
44 27 0:54 / /cut rw,relatime
"""


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/", "ext4"),
        ("/home/x", "ext4"),
        ("/srv", "btrfs"),
        ("/srv/data", "btrfs"),
        ("/srv/with space/data", "xfs"),
        ("/srv2/data", "tmpfs"),
        ("/srv3", "ext4"),
    ],
)
def test_the_mount_of_a_path_is_the_nearest_one_and_of_two_at_one_place_the_last(path: str, type_: str) -> None:
    mount = mount_of(Path(path), parse_mounts(MOUNTS))
    assert mount is not None
    assert mount.type == type_


def test_options_of_the_mount_and_of_the_file_system_count_both() -> None:
    (mount,) = parse_mounts("1 2 0:1 / /x rw,nosuid - nfs server:/x rw,vers=3")
    assert mount.options == {"rw", "nosuid", "vers=3"}
    assert (mount.option("vers"), mount.option("proto")) == ("3", None)


@given(st.text(max_size=200))
def test_any_text_is_read_as_mounts(text: str) -> None:
    for mount in parse_mounts(text):
        judge_mount(mount)


GOOD_NFS = "vers=4.2,lookupcache=pos,hard,local_lock=none"


@pytest.mark.parametrize(
    ("type_", "options", "expected"),
    [
        ("ext4", "rw", []),
        ("xfs", "rw,noatime", []),
        ("ext4", "rw,noexec", [(Health.FAILED, "noexec")]),
        ("ext4", "ro", [(Health.FAILED, "read-only")]),
        ("tmpfs", "rw", [(Health.WARNING, "memory")]),
        ("overlay", "rw", [(Health.NOTE, "container")]),
        ("vfat", "rw", [(Health.WARNING, "few of the things")]),
        ("nfs4", f"rw,{GOOD_NFS}", []),
        ("nfs4", "rw,vers=4.1,lookupcache=none", []),
        ("nfs4", "rw,vers=4.2,hard", [(Health.WARNING, "lookupcache=pos")]),
        ("nfs4", "rw,vers=4.2,lookupcache=all", [(Health.WARNING, "lookupcache=pos")]),
        ("nfs", f"rw,nolock,{GOOD_NFS}", [(Health.FAILED, "nolock")]),
        ("nfs", "rw,vers=4,lookupcache=pos,local_lock=all", [(Health.FAILED, "local_lock=all")]),
        ("nfs", "rw,vers=4,lookupcache=pos,local_lock=flock", [(Health.FAILED, "local_lock=flock")]),
        ("nfs", "rw,vers=4,lookupcache=pos,local_lock=posix", []),
        ("nfs", "rw,vers=3,lookupcache=pos", [(Health.WARNING, "version 3")]),
        ("nfs4", "rw,vers=4.2,lookupcache=pos,soft", [(Health.WARNING, "soft")]),
        (
            "nfs",
            "ro,noexec,vers=3,nolock,soft",
            [
                (Health.FAILED, "noexec"),
                (Health.FAILED, "read-only"),
                (Health.FAILED, "nolock"),
                (Health.WARNING, "lookupcache"),
                (Health.WARNING, "soft"),
                (Health.WARNING, "version 3"),
            ],
        ),
    ],
)
def test_each_option_that_hurts_is_told_with_its_reason(
    type_: str, options: str, expected: list[tuple[Health, str]]
) -> None:
    (mount,) = parse_mounts(f"1 2 0:1 / /data {options} - {type_} source rw")
    checks = judge_mount(mount)
    if not expected:
        assert [check.health for check in checks] == [Health.OK]
        return
    assert [check.health for check in checks] == [health for health, _ in expected]
    for check, (_, word) in zip(checks, expected, strict=True):
        assert word in check.finding
        assert check.why
        assert check.remedy


@pytest.mark.parametrize(
    ("text", "session"),
    [
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"),
        ("1:name=systemd:/user.slice/user-0.slice/session-c2.scope/sub\n", "session-c2.scope"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u1.scope\n", ""),
        ("0::/system.slice/envdeck.service\n", ""),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_a_session_is_known_by_its_scope(text: str, session: str) -> None:
    assert session_of(text) == session


@pytest.mark.parametrize(
    ("texts", "kills"),
    [
        ([], False),
        (["[Login]\n#KillUserProcesses=no\n"], False),
        (["[Login]\n#KillUserProcesses=yes\n"], True),
        (["[Login]\nKillUserProcesses=yes\n"], True),
        (["[Login]\nKillUserProcesses = true \n"], True),
        (["[Login]\n#KillUserProcesses=yes\n", "[Login]\nKillUserProcesses=no\n"], False),
        (["[Login]\nKillUserProcesses=no\n", "[Login]\nKillUserProcesses=yes\n"], True),
        (["[Login]\nKillUserProcesses=yes\nKillUserProcesses=no\n"], False),
        (["[Login]\n#KillUserProcesses=yes\nKillUserProcesses=\n"], True),
    ],
)
def test_the_last_word_on_killing_processes_counts_and_a_comment_is_the_default(texts: list[str], kills: bool) -> None:
    assert kills_processes(texts) is kills
