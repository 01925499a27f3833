"""Python package management of a content server as a library: config, installations, match, plan, build, cache.

`Engine` is the way in; everything else exported here is a plain value that it takes or returns. Nothing in here
imports a user interface.
"""

from engine.builds.log import LogLine, LogRing
from engine.builds.model import Build, BuildState, Fault, Phase
from engine.bundles.model import Bundle, LineKind, Manifest, RequirementLine
from engine.config.model import ConfigState, EffectiveValue, Executable, Settings
from engine.engine import Engine
from engine.environments.model import Environment, EnvironmentState, LockedPackage
from engine.errors import EnvdeckError, InputError, Problem, Refused, Severity, Where
from engine.files import StorageError
from engine.installations.model import Check, CheckStatus, Installation, InterpreterFacts, Usability
from engine.matching import Candidate, Judgement, Match, Request, Rule, Verdict
from engine.packages.plan import Action, PackagePlan, PlannedLine
from engine.plans import BuildPlan, CancelPlan, Nearest, Outcome
from engine.snapshot import BundleEntry, Snapshot
from engine.targets import LOCAL
from engine.text import clean, clean_log_line, mask_credentials, one_line

__all__ = [
    "LOCAL",
    "Action",
    "Build",
    "BuildPlan",
    "BuildState",
    "Bundle",
    "BundleEntry",
    "CancelPlan",
    "Candidate",
    "Check",
    "CheckStatus",
    "ConfigState",
    "EffectiveValue",
    "Engine",
    "EnvdeckError",
    "Environment",
    "EnvironmentState",
    "Executable",
    "Fault",
    "InputError",
    "Installation",
    "InterpreterFacts",
    "Judgement",
    "LineKind",
    "LockedPackage",
    "LogLine",
    "LogRing",
    "Manifest",
    "Match",
    "Nearest",
    "Outcome",
    "PackagePlan",
    "Phase",
    "PlannedLine",
    "Problem",
    "Refused",
    "Request",
    "RequirementLine",
    "Rule",
    "Settings",
    "Severity",
    "Snapshot",
    "StorageError",
    "Usability",
    "Verdict",
    "Where",
    "clean",
    "clean_log_line",
    "mask_credentials",
    "one_line",
]
