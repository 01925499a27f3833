"""A scripted engine: shows the snapshots that it is given, and records what was asked of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fake_server import EXECUTORS, STEPS, snapshot
from fake_values import NOW, build, bundle, entry
from packaging.version import Version

from engine import (
    ActivatePlan,
    Build,
    BuildPlan,
    BulkPlan,
    BulkResult,
    Bundle,
    CancelPlan,
    Candidate,
    ConfigState,
    Content,
    Engine,
    ExecutorChoice,
    Finding,
    Forecast,
    ForeignEnvironment,
    Impact,
    InputError,
    ItemForecast,
    ItemState,
    Judgement,
    LogLine,
    LogRing,
    Match,
    Outcome,
    Pin,
    PinPlan,
    PipFile,
    PipSetting,
    PlannedRebuild,
    Problem,
    ProvenanceStep,
    ReapItem,
    ReapKind,
    ReapPlan,
    ReapResult,
    ReapVerdict,
    Reason,
    RebuildForecast,
    RebuildItem,
    RebuildPlan,
    Refused,
    Request,
    Resolution,
    Rule,
    RuleOutcome,
    RunProgress,
    Snapshot,
    Trial,
    UvTool,
    Verdict,
    Verification,
    VerifyPlan,
    VerifyResult,
    Where,
)
from engine.actions.audit import event_of
from engine.reaping.rules import KeepReason
from tests.records import replace


class FakeEngine(Engine):
    """Shows what it is told to show and records what it is asked to do."""

    def __init__(self, first: Snapshot | None = None) -> None:
        self.current = first or snapshot()
        self.calls: list[tuple[str, Any]] = []
        self.executed: list[Any] = []
        self.kept: dict[str, tuple[KeepReason, ...]] = {}
        self.old_attempts: dict[str, str] = {}
        self.differences: tuple[Finding, ...] = ()
        """What a verification finds."""
        self.cannot_rebuild: dict[str, tuple[Problem, ...]] = {}
        self.lists: list[tuple[str, list[str], int]] = []
        """Name, keys and parallelism of each that is worked off, which ends with `list_ended`."""
        self.list_ended = threading.Event()
        self.cannot_activate: Problem | None = None
        self.free = 10**10
        self.runs = False
        """Whether content runs."""
        self.activating = threading.Event()
        """Set when a build that comes before activating has ended."""
        self.foreigners: tuple[ForeignEnvironment, ...] = ()
        self.uv_tool = UvTool("/usr/bin/uv", "0.13.9", "$PATH")
        self.pip: tuple[tuple[PipFile, ...], tuple[PipSetting, ...]] = ((), ())
        self.steps = STEPS
        self.impact: Impact | None = None
        self.executor_choice: ExecutorChoice | Problem = EXECUTORS
        self.rings: dict[str, LogRing] = {}
        self.refuse: Problem | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._changing = threading.Lock()

    def command_line(self, plan: Any) -> str:
        return event_of(plan).command

    def publish(self, **changes: Any) -> None:
        """Make a newer snapshot, as an engine thread would."""
        with self._changing:
            self.current = replace(self.current, generation=self.current.generation + 1, **changes)
        for callback in list(self._callbacks):
            callback()

    def ring(self, build_id: str) -> LogRing:
        return self.rings.setdefault(build_id, LogRing())

    def write(self, build_id: str, *lines: str) -> None:
        self.ring(build_id).extend([LogLine(NOW, line) for line in lines])

    def start(self) -> None:
        self.calls.append(("start", None))

    def close(self) -> None:
        self.calls.append(("close", None))

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def snapshot(self) -> Snapshot:
        return self.current

    def request_refresh(self, *, force_probe: bool = False) -> None:
        self.calls.append(("refresh", force_probe))

    def open_bundle(self, reference: str) -> Bundle:
        self.calls.append(("open", reference))
        if not reference.startswith("/srv/"):
            raise InputError(Problem("bundle-missing", "there is nothing at this path", where=Where(reference)))
        one = bundle(Path(reference).name, "3.11.2", ("rich",))
        self.publish(bundles=(*self.current.bundles, entry(one)))
        return one

    def plan_build(self, bundle: Bundle) -> BuildPlan:
        self.calls.append(("plan", bundle.name))
        return next(one.plan for one in self.current.bundles if one.plan is not None and one.plan.bundle == bundle)

    def try_request(self, request: Request | None, bundle: Bundle | None = None) -> Trial:
        """3.11.x gets 3.11.7 under the major-minor rule, and only 3.11.7 does under the exact one."""
        self.calls.append(("try", (str(request), bundle and bundle.name)))
        known = next(
            (e.plan for e in self.current.bundles if e.plan and bundle and e.plan.bundle.path == bundle.path), None
        )
        request = request or (known.match.request if known else Request())
        wanted = request.version or Version("3.11.7")
        outcomes = []
        for rule in (Rule.MAJOR_MINOR, Rule.EXACT):
            fits = wanted == Version("3.11.7") if rule is Rule.EXACT else wanted.release[:2] == (3, 11)
            verdict = Verdict.CHOSEN if fits else Verdict.REJECTED
            judged = Judgement(
                Candidate(Version("3.11.7"), "/opt/python/3.11.7/bin/python3"),
                verdict,
                "exact match" if fits else f"3.11.7 is not {wanted}",
            )
            problem = None if fits else Problem("no-match", f"nothing serves Python {request}", hint="install it")
            chosen = judged.candidate if fits else None
            one = Match(Rule.REQUIRES if request.requires else rule, request, (judged,), chosen, problem)
            outcomes.append(RuleOutcome(rule, rule is Rule.MAJOR_MINOR, one, known and replace(known, match=one)))
        return Trial(request, tuple(outcomes), bundle)

    def impact_of_load(self) -> Impact | None:
        self.calls.append(("impact", None))
        return self.impact

    def impact_of(self, config: ConfigState) -> Impact:
        self.calls.append(("impact of", None))
        return self.impact or Impact(self.current.config, config, (), 1)

    def plan_cancel(self, build_id: str) -> CancelPlan:
        return CancelPlan(self.build(build_id))

    def explain_request(self, bundle: Bundle) -> tuple[ProvenanceStep, ...]:
        self.calls.append(("explain", bundle.name))
        return self.steps

    def foreign(self) -> tuple[ForeignEnvironment, ...]:
        return self.foreigners

    def uv(self) -> UvTool:
        return self.uv_tool

    def pip_files(self) -> tuple[PipFile, ...]:
        return self.pip[0]

    def pip_settings(self) -> tuple[PipSetting, ...]:
        return self.pip[1]

    def executors(self) -> ExecutorChoice:
        self.calls.append(("executors", None))
        if isinstance(self.executor_choice, Problem):
            raise Refused(self.executor_choice)
        return self.executor_choice

    def plan_activate(self, reference: str, number: int | None = None) -> ActivatePlan:
        self.calls.append(("plan-activate", (reference, number)))
        item = next(one for one in self.current.contents if one.guid == reference)
        bundle = next(one for one in item.bundles if one.number == number)
        reasons = (Reason("takes-over", f"bundle {number} takes the place of bundle {item.active}"),)
        return ActivatePlan(item, bundle, self.current.bundles[0].plan, reasons, self.runs, self.cannot_activate)

    def activate(self, plan: ActivatePlan, on_build_started: Callable[[Build], None] | None = None) -> Content:
        if plan.builds and on_build_started is not None:
            started = build("20250615-120002-ffff", plan.bundle.name, started_at=NOW - 1)
            self.publish(builds=(started, *self.current.builds))
            on_build_started(started)
            self.activating.wait(30)
        if self.refuse is not None:
            raise Refused(self.refuse)
        self.executed.append(plan)
        after = replace(plan.content, active=plan.bundle.number)
        self.publish(contents=tuple(after if one.guid == after.guid else one for one in self.current.contents))
        return after

    def resolve(self, item: Content) -> Resolution:
        self.calls.append(("resolve", item.name))
        env = next((one for one in self.current.environments if one.key == item.key), None)
        reasons = (Reason("there", "3.11.7 is still there"), Reason("environment", "its environment is there"))
        return Resolution(item, item.installation, env, None, reasons)

    def plan_reap(self, keys: Sequence[str] | None = None, *, grace: float | None = None) -> ReapPlan:
        self.calls.append(("plan-reap", keys))
        items = []
        for env in self.current.environments:
            if keys is None or env.key in keys:
                verdict = ReapVerdict(self.kept.get(env.key, ()))
                items.append(ReapItem(ReapKind.ENVIRONMENT, env.key, env.key_dir, env.size, verdict, env))
                if attempt := self.old_attempts.get(env.key):
                    path = env.key_dir / attempt
                    items.append(ReapItem(ReapKind.ATTEMPT, env.key, path, 1000, ReapVerdict(), env))
        return ReapPlan(tuple(items), keys is None, grace or 0.0, 2, NOW)

    def plan_verify(self, keys: Sequence[str] | None = None, **_options: object) -> VerifyPlan:
        self.calls.append(("plan-verify", keys))
        chosen = [env for env in self.current.environments if keys is None or env.key in keys]
        return VerifyPlan(
            tuple(Verification(e.key, e.path, self.differences, (), 9, 4096, 0.1, NOW, e) for e in chosen)
        )

    def plan_pin(self, key: str, *, note: str = "") -> PinPlan:
        env = next(one for one in self.current.environments if one.key == key)
        return PinPlan(env, Pin("alice", NOW, note), None)

    def plan_unpin(self, key: str) -> PinPlan:
        env = next(one for one in self.current.environments if one.key == key)
        return PinPlan(env, None, Pin("alice", NOW, ""))

    def plan_rebuild(self, keys: Sequence[str]) -> RebuildPlan:
        self.calls.append(("plan-rebuild", keys))
        chosen = [env for env in self.current.environments if env.key in keys]
        return RebuildPlan(
            tuple(PlannedRebuild(env, None, None, self.cannot_rebuild.get(env.key, ())) for env in chosen)
        )

    def forecast_rebuild(self, plan: RebuildPlan) -> RebuildForecast:
        self.calls.append(("forecast", plan.fresh))
        supply = Forecast(0, 12, reason="everything is fetched anew") if plan.fresh else Forecast(12, 12, replayed=True)
        return RebuildForecast(
            tuple(
                ItemForecast(
                    item.environment.key, supply, 40.0 if plan.fresh else 2.0, "one build of similar size",
                    item.environment.size if plan.fresh else item.environment.own, item.environment.own,
                )
                for item in plan.items
                if not item.problems
            ),
            at_once=2,
            free=self.free,
        )  # fmt: skip

    def plan_bulk(self, name: str, keys: Sequence[str], *, fresh: bool = False) -> BulkPlan:  # type: ignore[override]
        return BulkPlan(name, tuple(keys), tuple(keys), replace(self.plan_rebuild(keys), fresh=fresh, listed=True), ())

    def run_bulk(self, plan: BulkPlan, *, parallelism: int, on_progress: Any, stop: Any) -> BulkResult:  # type: ignore[override]
        self.lists.append((plan.name, list(plan.keys), parallelism))
        total = len(plan.keys)
        on_progress(RunProgress(0, total, 0, 0))
        while not self.list_ended.wait(0.01) and not stop():
            pass
        failed = RebuildItem(plan.keys[0], ItemState.ERROR, "", NOW, "pip failed")
        end = RunProgress(0, 0, total - 1, 1, item=failed)
        on_progress(end)
        return BulkResult((failed,), end, 3.0)

    def execute(self, plan: Any) -> Any:  # type: ignore[override]  # one answer for every kind of plan
        if self.refuse is not None:
            raise Refused(self.refuse)
        self.executed.append(plan)
        environments = self.current.environments
        match plan:
            case CancelPlan():
                return Outcome(build=plan.build)
            case ReapPlan():
                gone = {item.path for item in plan.reapable}
                self.publish(environments=tuple(env for env in environments if env.key_dir not in gone))
                return ReapResult(plan.reapable, (), ())
            case PinPlan():
                changed = replace(plan.environment, pinned=plan.pin is not None)
                self.publish(environments=tuple(changed if e.key == changed.key else e for e in environments))
                return changed
            case VerifyPlan():
                return VerifyResult(tuple(v.name for v in plan.damaged), (), ())
            case RebuildPlan():
                jobs = tuple(
                    build(f"20250615-12000{i}-ffff", item.environment.bundle) for i, item in enumerate(plan.items)
                )
                self.publish(builds=(*jobs, *self.current.builds))
                return jobs
        started = build("20250615-120001-ffff", plan.bundle.name, started_at=NOW - 1, packages_done=0, packages_total=0)
        self.publish(builds=(started, *self.current.builds))
        self.write(started.id, "Collecting flask==3.0.0", "Downloading flask-3.0.0-py3-none-any.whl")
        return Outcome(build=started)

    def build(self, build_id: str) -> Build:
        return next(one for one in self.current.builds if one.id == build_id)

    def read_log(self, build_id: str) -> Iterator[LogLine]:
        return iter(self.ring(build_id).since(0)[0])

    def plan_retry(self, build_id: str) -> BuildPlan | RebuildPlan:
        self.calls.append(("plan-retry", build_id))
        one = self.build(build_id)
        if one.replaces:
            return self.plan_rebuild([one.key])
        found = [entry.plan for entry in self.current.bundles if entry.name == one.bundle and entry.plan is not None]
        if not found:
            raise Refused(Problem("retry-no-bundle", f"nothing says where the bundle {one.bundle} of this build is"))
        return found[0]

    def follow(self, build_id: str) -> LogRing:
        return self.ring(build_id)
