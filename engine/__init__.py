"""Python package management of a content server as a library: config, installations, match, plan, build, cache.

`Engine` is the way in; everything else exported here is a plain value that it takes or returns. Nothing in here
imports a user interface.
"""

from engine.actions.caches import CachePlan, RuntimeCache
from engine.actions.content import UNCHANGED, DeployPlan, RemovePlan, Resolution, SetPlan, Unchanged
from engine.actions.pin import Pin, PinPlan, read_pin
from engine.actions.reap import (
    KeepCode,
    KeepReason,
    ReapItem,
    ReapKind,
    ReapPlan,
    ReapResult,
    ReapVerdict,
    find_environment,
)
from engine.actions.rebuild import BulkPlan, PlannedRebuild, RebuildPlan
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
from engine.config.model import ConfigState, EffectiveValue, Executable, Settings
from engine.content.model import Content, ContentBundle, PickedInstallation, Reason
from engine.doctor.model import Diagnosis, Health, HealthCheck, RepairKind, RepairPlan, RepairResult, RepairStep
from engine.engine import Engine
from engine.environments.findings import Finding, FindingKind, Verification
from engine.environments.foreign import ForeignEnvironment
from engine.environments.model import Environment, EnvironmentState, LockedPackage
from engine.environments.usage import ProcessUse, Users
from engine.errors import EnvdeckError, InputError, Problem, Refused, Severity, Where
from engine.executors.accounts import BuildAccount
from engine.executors.base import Availability
from engine.executors.choice import ExecutorChoice
from engine.files import StorageError
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
from engine.packages.plan import Action, PackagePlan, PlannedLine
from engine.plans import BuildPlan, CancelPlan, ContentDefaults, Nearest, Outcome
from engine.rebuilds.model import ItemState, RebuildItem, RebuildList, RunProgress
from engine.rebuilds.run import RunResult as BulkResult
from engine.snapshot import BundleEntry, Snapshot
from engine.targets import LOCAL
from engine.text import clean, clean_log_line, mask_credentials, one_line
from engine.trial import RuleOutcome, Trial, parse_request

__all__ = [
    "LOCAL",
    "UNCHANGED",
    "Action",
    "Actor",
    "AuditAction",
    "AuditEvent",
    "AuditPage",
    "AuditQuery",
    "AuditReader",
    "AuditRecord",
    "AuditResult",
    "Availability",
    "Basis",
    "Build",
    "BuildAccount",
    "BuildPlan",
    "BuildState",
    "BulkPlan",
    "BulkResult",
    "Bundle",
    "BundleEntry",
    "CachePlan",
    "CancelPlan",
    "Candidate",
    "CaptureOptions",
    "Captured",
    "CapturedFile",
    "Check",
    "CheckStatus",
    "Choice",
    "ConfigState",
    "Content",
    "ContentBundle",
    "ContentDefaults",
    "Declarations",
    "DeclaredInstallation",
    "DeployPlan",
    "Diagnosis",
    "EffectiveValue",
    "Engine",
    "EnvdeckError",
    "Environment",
    "EnvironmentJudgement",
    "EnvironmentState",
    "EnvironmentsFile",
    "Executable",
    "ExecutionEnvironment",
    "ExecutorChoice",
    "Expectation",
    "Fault",
    "Finding",
    "FindingKind",
    "ForeignEnvironment",
    "FrozenLine",
    "Health",
    "HealthCheck",
    "InputError",
    "Installation",
    "InterpreterFacts",
    "ItemState",
    "Judgement",
    "KeepCode",
    "KeepReason",
    "LeftOut",
    "Level",
    "LevelDecision",
    "Life",
    "Lifespan",
    "LineKind",
    "LockedPackage",
    "LogLevel",
    "LogLine",
    "LogRing",
    "ManagementDecision",
    "Manifest",
    "Match",
    "Matching",
    "Nearest",
    "Outcome",
    "PackagePlan",
    "Phase",
    "PickedInstallation",
    "Pin",
    "PinPlan",
    "PipFile",
    "PipSetting",
    "PlannedLine",
    "PlannedRebuild",
    "Problem",
    "ProcessUse",
    "Provenance",
    "ProvenanceStep",
    "ReapItem",
    "ReapKind",
    "ReapPlan",
    "ReapResult",
    "ReapVerdict",
    "Reason",
    "RebuildItem",
    "RebuildList",
    "RebuildPlan",
    "Refused",
    "RemovePlan",
    "RepairKind",
    "RepairPlan",
    "RepairResult",
    "RepairStep",
    "Request",
    "RequirementLine",
    "Resolution",
    "Rule",
    "RuleOutcome",
    "RunPlan",
    "RunProgress",
    "RunResult",
    "RuntimeCache",
    "SetPlan",
    "Settings",
    "Severity",
    "Snapshot",
    "Standing",
    "StepStanding",
    "StorageError",
    "TargetMatch",
    "TargetRequest",
    "Trial",
    "Unchanged",
    "Usability",
    "Users",
    "Verdict",
    "Verification",
    "VerifyPlan",
    "VerifyProgress",
    "VerifyResult",
    "Where",
    "clean",
    "clean_log_line",
    "find_environment",
    "lifespan_of",
    "log_level",
    "mask_credentials",
    "one_line",
    "parse_request",
    "read_pin",
]
