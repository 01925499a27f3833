"""What the engine decided and why, where people look for it: management, request, packages, targets, content, pip."""

from __future__ import annotations

from pathlib import Path

from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import bundle, content, entry, environment, management
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine import (
    Action,
    Basis,
    Declarations,
    DeclaredInstallation,
    EnvironmentJudgement,
    EnvironmentsFile,
    ExecutionEnvironment,
    InputError,
    Matching,
    PackagePlan,
    PipFile,
    PipSetting,
    PlannedLine,
    Problem,
    Severity,
    TargetMatch,
    TargetRequest,
    Verdict,
    Where,
)
from engine.installations.externals import ExternalPackage
from tests.records import replace

ONE = bundle("one", "3.11.2", ("numpy",))
FILE = Path("/etc/envdeck/environments.yaml")
IMAGES = tuple(
    ExecutionEnvironment(
        f"registry/content:{tag}",
        Where(str(FILE), line, 5),
        title,
        matching=matching,
        python=(DeclaredInstallation(Version("3.11.7"), "/opt/python/bin/python3", Where(str(FILE), line + 2, 9)),),
    )
    for tag, title, line, matching in (("full", "Everything", 2, Matching.ANY), ("gpu", "", 9, Matching.EXACT))
)


def showing(**changes: object) -> FakeEngine:
    return FakeEngine(snapshot(bundles=(entry(ONE, **changes),)))


def planned(text: str, action: Action, reason: str, *notes: str, mutable: bool = False) -> PlannedLine:
    return PlannedLine(
        canonicalize_name(text), text, action, reason, Where("requirements.txt", 1), text, notes, mutable
    )


async def test_an_unmanaged_bundle_runs_on_the_installation_and_builds_nothing(desk) -> None:
    async with desk(showing(management=management(managed=False), key=""), size=(120, 50)) as d:
        await d.press("3")
        await d.until(lambda: "not managed" in d.text, "the explanation")
        assert "- NO ENV" in d.lines[3]
        for words in (
            "- NO ENV  Python 3.11.7  runs on the installation itself",
            "decided by the bundle level",
            "▸ decides     bundle   environment.environment_management.pytho",
            "- unset       content",
            "◌ overridden  server",
        ):
            assert words in d.text, d.text
        await d.press("b")
        assert "build: it runs on the installation itself" in d.status
        assert "environment_management.python is false" in d.status
        assert [name for name, _ in d.engine.calls if name == "plan"] == []


async def test_the_source_of_the_request_is_read_once_per_bundle(desk) -> None:
    async with desk(size=(120, 50)) as d:
        await d.press("3")
        await d.until(lambda: "▸ decides      python.version" in d.text, "the chain")
        d.engine.publish(read_only="for a change")
        await d.until(lambda: "RO" in d.lines[0], "the newer snapshot")
        await d.press("j", "k")
        assert [name for name, what in d.engine.calls if (name, what) == ("explain", "flask-api")] == ["explain"]
        await d.press("ctrl+r")
        d.engine.publish(read_only="for another change")
        await d.until(lambda: d.engine.calls.count(("explain", "flask-api")) == 2, "a second look")


async def test_files_of_a_bundle_that_cannot_be_read_are_a_reason_of_their_own(desk) -> None:
    engine = FakeEngine()

    def gone(_bundle: object) -> None:
        raise InputError(Problem("bundle-unreadable", "a file cannot be read: Permission denied"))

    engine.explain_request = gone
    async with desk(engine, size=(120, 50)) as d:
        await d.press("3")
        await d.until(lambda: "✗ a file cannot be read: Permission denied" in d.text, "the problem")
        assert "Package plan" in d.text


async def test_every_action_on_a_line_has_its_mark_its_reason_and_its_notes(desk) -> None:
    lines = (
        planned("numpy", Action.EXTERNAL, "numpy 2.0.2 of the installation is used"),
        planned("shiny", Action.SUPPORT, "content of this kind needs it"),
        planned("torch", Action.REWRITTEN, "the file name is no requirement", "it has no version"),
        planned("pip", Action.REFUSED, "pip is certain to fail on it"),
        planned("mine", Action.INSTALL, "handed to pip as written", "a branch moves", mutable=True),
    )
    external = ExternalPackage(canonicalize_name("numpy"), Version("2.0.2"), "/opt/lib/site-packages", ())
    async with desk(showing(packages=PackagePlan(lines), externals=(external,)), size=(140, 60)) as d:
        await d.press("3", "d")
        for words in (
            "= external   numpy  numpy 2.0.2",
            "+ support    shiny",
            "* rewritten  torch",
            "✗ refused    pip",
            "! mutable  handed to pip as written",
            "! it has no version",
            "! a branch moves",
            "Externals  1 package",
            "2.0.2  in /opt/lib/site-packages",
        ):
            assert words in d.text, d.text
        rows = [line.strip() for line in d.lines]
        after = next(index for index, row in enumerate(rows) if row.startswith("* rewritten"))
        assert rows[after + 1] == "! it has no version"


async def test_off_host_every_execution_environment_has_its_verdict(desk) -> None:
    plan = entry(ONE).plan
    target = TargetMatch(
        plan.match.rule,
        plan.match.request,
        TargetRequest(),
        Basis.AUTOMATIC,
        (
            EnvironmentJudgement(IMAGES[1], Verdict.REJECTED, "only content that asks for it gets it", ()),
            EnvironmentJudgement(IMAGES[0], Verdict.CHOSEN, "the newest usable 3.11", ()),
        ),
        IMAGES[0],
        IMAGES[0].python[0],
        None,
    )
    async with desk(showing(target_match=target, installation=None), size=(120, 60)) as d:
        await d.press("3", "d")
        text = d.text
        order = ("selected by: automatic", "▸ chosen    Everything", "- rejected  registry/content:gpu", "Candidates")
        places = [text.index(words) for words in order]
        assert places == sorted(places)
        assert "only content that asks for it gets it" in text


async def test_content_is_listed_and_says_how_it_would_run_now(desk) -> None:
    ready = environment("9f3ac1d2Wq7rT5yUa7bXc9", "dash-sales")
    engine = FakeEngine(
        snapshot(
            contents=(
                content("sales", ready.key),
                content("gone", "missing0Wq7rT5yUa7bXc9"),
                content("plain"),
                content("torn", problem=Problem("content-broken", "its record does not parse")),
            )
        )
    )
    async with desk(engine, size=(100, 40)) as d:
        await d.press("colon", *"content", "enter")
        for words in ("✓ ready", "◌ missing", "- NO ENV", "✗ broken", "#2", "python-api", "5m"):
            assert words in d.text, d.text
        await d.press("enter")
        await d.until(lambda: "3.11.7 is still there" in d.text, "the resolution")
        for words in (
            "How it would run now",
            "9f3ac1d2Wq7rT5yUa7bXc9/20250615",
            "its environment is there",
            "▸ active  #2",
            "#1",
        ):
            assert words in d.text, d.text
        await d.press("escape", "colon", *"content", "enter")
        assert len(d.app.screen_stack) == 2
        await d.press("q")
        assert d.lines[-1].rstrip().endswith("q quit")
        assert d.app.is_running


async def test_without_content_the_page_says_how_to_get_some(desk) -> None:
    async with desk() as d:
        await d.press("ctrl+p", *"list what is", "enter")
        await d.until(lambda: "Nothing is deployed." in d.text, "the page")


async def test_escape_clears_the_filter_of_a_page_before_it_leaves_it(desk) -> None:
    async with desk(FakeEngine(snapshot(contents=(content("one"), content("two"))))) as d:
        await d.press("colon", *"content", "enter", "slash", *"two", "enter")
        assert "1/2" in d.lines[1]
        await d.press("escape")
        assert "one" in d.text
        await d.press("escape")
        assert d.lines[-1].rstrip().endswith("q quit")


async def test_an_installation_tells_what_uses_it_and_how_its_externals_stand(desk) -> None:
    ready = environment("9f3ac1d2Wq7rT5yUa7bXc9", "dash-sales")
    engine = FakeEngine(snapshot(contents=(content("sales", ready.key), content("plain"))))
    async with desk(engine, size=(100, 50)) as d:
        await d.press("1", "j", "j", "d")
        for words in ("Environments  3 built on it", "used by sales", "Content  2 deployed on it", "plain  runs on it"):
            assert words in d.text, d.text


async def test_the_notes_of_the_config_tell_what_else_decides_about_builds(desk) -> None:
    wrong = Problem("environments-key", "unknown key: pyhton", where=Where(str(FILE), 12, 7), severity=Severity.ERROR)
    declared = Declarations((EnvironmentsFile(FILE, IMAGES, (wrong,)),), IMAGES, (wrong,))
    engine = FakeEngine(snapshot(declarations=declared))
    unreadable = Problem("pip-config-unreadable", "pip.conf cannot be used: it is not UTF-8")
    engine.pip = (
        (PipFile(Path("/etc/pip.conf"), True), PipFile(Path("/root/.pip/pip.conf"), True, unreadable)),
        (PipSetting("index-url", "https://****@mirror.example.org/simple", "global", "/etc/pip.conf:2"),),
    )
    async with desk(engine, size=(110, 50)) as d:
        await d.press("5", "tab")
        seen = d.text
        for _ in range(30):
            await d.press("j")
            seen += d.text
        for words in (
            "✗ unknown key: pyhton",
            f"{FILE}:12:7",
            "Execution environments  2 environments in 1 file",
            "registry/content:gpu",
            "exact",
            "*  index-url",
            "https://****@mirror.example.org/simple",
            "/etc/pip.conf:2",
            "✗ pip.conf cannot be used",
        ):
            assert words in seen, (words, d.text)


async def test_without_any_of_that_the_notes_stay_short(desk) -> None:
    async with desk() as d:
        await d.press("5")
        assert "on this machine: no execution environments are declared" in d.text
        assert "has none of its 0 configuration files" in d.text
        assert d.app.page.notes.count <= 6


async def test_a_plan_that_changed_its_mind_about_management_says_so_when_asked(desk) -> None:
    async with desk(showing()) as d:
        await d.press("3")
        plan = replace(d.engine.current.bundles[0].plan, management=management(managed=False))
        d.engine.plan_build = lambda _bundle: plan
        await d.press("b")
        assert "one: it runs on the installation itself" in d.status
        assert not d.app.page.prompt.busy
