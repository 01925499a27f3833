"""Python package management of a content server as a library: config, installations, match, plan, build, cache.

`Engine` is the way in; everything else exported here is a plain value that it takes or returns. Nothing in here
imports a user interface. Each name is loaded when it is first used, so that a command pays for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.actions.activate import ActivatePlan
    from engine.actions.caches import CachePlan, RuntimeCache
    from engine.actions.content import RemovePlan, SetPlan
    from engine.actions.deploy import DeployPlan
    from engine.actions.pin import Pin, PinPlan, read_pin
    from engine.actions.rebuild import BulkPlan, PlannedRebuild, RebuildPlan
    from engine.actions.resolve import Resolution
    from engine.actions.run import RunPlan, RunResult
    from engine.actions.verify import VerifyPlan, VerifyProgress, VerifyResult
    from engine.audit.model import Actor, AuditAction, AuditEvent, AuditRecord, AuditResult
    from engine.audit.reading import AuditPage, AuditQuery, AuditReader
    from engine.builds.log import LogLine, LogRing
    from engine.builds.log_level import LogLevel, log_level
    from engine.builds.model import Build, BuildState, Expectation, Fault, Phase
    from engine.builds.pip_config import PipFile, PipSetting
    from engine.bundles.constraint import Provenance, ProvenanceStep, StepStanding
    from engine.bundles.model import Bundle, LineKind, Manifest, RequirementLine
    from engine.capture.model import Captured, CapturedFile, CaptureOptions, Choice, FrozenLine, LeftOut
    from engine.config.draft import ConfigDraft
    from engine.config.excerpt import Excerpt, excerpt
    from engine.config.model import ConfigState, EffectiveValue, Executable, KeyLine, Settings
    from engine.content.model import UNCHANGED, Content, ContentBundle, PickedInstallation, Reason, Unchanged
    from engine.doctor.model import Diagnosis, Health, HealthCheck, RepairKind, RepairPlan, RepairResult, RepairStep
    from engine.engine import Engine
    from engine.environments.difference import Change, Difference, compare_environments
    from engine.environments.findings import Finding, FindingKind, Verification
    from engine.environments.foreign import ForeignEnvironment
    from engine.environments.lookup import find_environment
    from engine.environments.model import Environment, EnvironmentState, LockedPackage
    from engine.environments.usage import ProcessUse, Users
    from engine.environments.verified import LastVerification, read_verification
    from engine.errors import EnvdeckError, InputError, Problem, Refused, Severity, Where
    from engine.executors.accounts import BuildAccount
    from engine.executors.base import Availability
    from engine.executors.choice import ExecutorChoice
    from engine.files import StorageError
    from engine.impact import Impact, ImpactItem, ImpactKind, Subject
    from engine.installations.lifespan import Life, Lifespan, lifespan_of
    from engine.installations.model import Check, CheckStatus, Installation, InterpreterFacts, Usability
    from engine.management import Level, LevelDecision, ManagementDecision, Standing
    from engine.matching import Candidate, Judgement, Match, Request, Rule, Verdict
    from engine.offhost.model import (
        Declarations,
        DeclaredInstallation,
        EnvironmentsFile,
        ExecutionEnvironment,
        Matching,
        TargetRequest,
    )
    from engine.offhost.selection import Basis, EnvironmentJudgement, TargetMatch
    from engine.packages.installer import InstallerChoice, UvTool
    from engine.packages.plan import Action, PackagePlan, PlannedLine
    from engine.plans import BuildPlan, CancelPlan, ContentDefaults, Nearest, Outcome
    from engine.reaping.model import ReapItem, ReapKind, ReapPlan, ReapResult
    from engine.reaping.rules import KeepCode, KeepReason, ReapVerdict
    from engine.rebuilds.forecast import ItemForecast, RebuildForecast, Way
    from engine.rebuilds.model import ItemState, RebuildItem, RebuildList, RunProgress
    from engine.rebuilds.run import BulkResult
    from engine.snapshot import BundleEntry, Snapshot
    from engine.targets import LOCAL
    from engine.text import clean, clean_log_line, mask_credentials, one_line
    from engine.trial import RuleOutcome, Trial, parse_request
    from engine.wheels.deciding import Forecast

_HOMES = {
    "engine.actions.activate": "ActivatePlan",
    "engine.actions.caches": "CachePlan RuntimeCache",
    "engine.actions.content": "RemovePlan SetPlan",
    "engine.actions.deploy": "DeployPlan",
    "engine.actions.pin": "Pin PinPlan read_pin",
    "engine.actions.rebuild": "BulkPlan PlannedRebuild RebuildPlan",
    "engine.actions.resolve": "Resolution",
    "engine.actions.run": "RunPlan RunResult",
    "engine.actions.verify": "VerifyPlan VerifyProgress VerifyResult",
    "engine.audit.model": "Actor AuditAction AuditEvent AuditRecord AuditResult",
    "engine.audit.reading": "AuditPage AuditQuery AuditReader",
    "engine.builds.log": "LogLine LogRing",
    "engine.builds.log_level": "LogLevel log_level",
    "engine.builds.model": "Build BuildState Expectation Fault Phase",
    "engine.builds.pip_config": "PipFile PipSetting",
    "engine.bundles.constraint": "Provenance ProvenanceStep StepStanding",
    "engine.bundles.model": "Bundle LineKind Manifest RequirementLine",
    "engine.capture.model": "Captured CapturedFile CaptureOptions Choice FrozenLine LeftOut",
    "engine.config.excerpt": "Excerpt excerpt",
    "engine.config.draft": "ConfigDraft",
    "engine.config.model": "ConfigState EffectiveValue Executable KeyLine Settings",
    "engine.content.model": "UNCHANGED Content ContentBundle PickedInstallation Reason Unchanged",
    "engine.doctor.model": "Diagnosis Health HealthCheck RepairKind RepairPlan RepairResult RepairStep",
    "engine.engine": "Engine",
    "engine.environments.difference": "Change Difference compare_environments",
    "engine.environments.findings": "Finding FindingKind Verification",
    "engine.environments.foreign": "ForeignEnvironment",
    "engine.environments.lookup": "find_environment",
    "engine.environments.model": "Environment EnvironmentState LockedPackage",
    "engine.environments.usage": "ProcessUse Users",
    "engine.environments.verified": "LastVerification read_verification",
    "engine.errors": "EnvdeckError InputError Problem Refused Severity Where",
    "engine.executors.accounts": "BuildAccount",
    "engine.executors.base": "Availability",
    "engine.executors.choice": "ExecutorChoice",
    "engine.files": "StorageError",
    "engine.impact": "Impact ImpactItem ImpactKind Subject",
    "engine.installations.lifespan": "Life Lifespan lifespan_of",
    "engine.installations.model": "Check CheckStatus Installation InterpreterFacts Usability",
    "engine.management": "Level LevelDecision ManagementDecision Standing",
    "engine.matching": "Candidate Judgement Match Request Rule Verdict",
    "engine.offhost.model": "Declarations DeclaredInstallation EnvironmentsFile ExecutionEnvironment Matching "
    "TargetRequest",
    "engine.offhost.selection": "Basis EnvironmentJudgement TargetMatch",
    "engine.packages.installer": "InstallerChoice UvTool",
    "engine.packages.plan": "Action PackagePlan PlannedLine",
    "engine.plans": "BuildPlan CancelPlan ContentDefaults Nearest Outcome",
    "engine.reaping.model": "ReapItem ReapKind ReapPlan ReapResult",
    "engine.reaping.rules": "KeepCode KeepReason ReapVerdict",
    "engine.rebuilds.forecast": "ItemForecast RebuildForecast Way",
    "engine.rebuilds.model": "ItemState RebuildItem RebuildList RunProgress",
    "engine.rebuilds.run": "BulkResult",
    "engine.snapshot": "BundleEntry Snapshot",
    "engine.targets": "LOCAL",
    "engine.text": "clean clean_log_line mask_credentials one_line",
    "engine.trial": "RuleOutcome Trial parse_request",
    "engine.wheels.deciding": "Forecast",
}
"""Every module with what is public of it: the same as the imports above, which only type checkers see."""

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
