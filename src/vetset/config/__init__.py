"""The settings, all under one name: one frozen tree, read once.

In it: `tables`, `reading`, `policy`. Not in it: secrets, clocks, anything of a run.
"""

from vetset.config.policy import NAMED_POLICIES, RESEARCH, RESEARCH_SAFE, read_policy, resolved_rules
from vetset.config.reading import read_settings, settings_from, with_budgets
from vetset.config.tables import (
    AgreementSettings,
    AuditSettings,
    AuthoritySettings,
    BudgetSettings,
    ExchangeSettings,
    FetchSettings,
    FingerprintSettings,
    ListSettings,
    MatchSettings,
    PictureSettings,
    PlatformSettings,
    PolicySettings,
    ReportSettings,
    Rule,
    RunSettings,
    SandboxSettings,
    Settings,
    VerifySettings,
)

__all__ = [
    "NAMED_POLICIES",
    "RESEARCH",
    "RESEARCH_SAFE",
    "AgreementSettings",
    "AuditSettings",
    "AuthoritySettings",
    "BudgetSettings",
    "ExchangeSettings",
    "FetchSettings",
    "FingerprintSettings",
    "ListSettings",
    "MatchSettings",
    "PictureSettings",
    "PlatformSettings",
    "PolicySettings",
    "ReportSettings",
    "Rule",
    "RunSettings",
    "SandboxSettings",
    "Settings",
    "VerifySettings",
    "read_policy",
    "read_settings",
    "resolved_rules",
    "settings_from",
    "with_budgets",
]
