"""A page for each rule: what it means, its limit, what it blocks, what to do."""

from __future__ import annotations

from iblnm.config import Settings
from iblnm.pipeline.groups import DATA_LAYERS, PHOTOMETRY, run_group, running_rules
from iblnm.pipeline.rules.registry import Rule
from iblnm.reference.markdown import number

_SEVERITIES = {
    "BLOCK": "a session that breaks it is red, and what rests on it is not made",
    "ERROR": "a session that breaks it is red and is left out of the cohort analyses",
    "WARN": "a session that breaks it is amber and is used",
}


def rule_address(settings: Settings, name: str) -> str:
    """Address of the page of a rule in the documentation."""
    return f"{settings.documentation_url.rstrip('/')}/reference/rules/{name}.html"


def rule_text(rule: Rule) -> str:
    """Meaning and remedy in one line, for pages that show a check."""
    return f"{rule.description} If not: {rule.remedy}" if rule.remedy else rule.description


def rule_pages(settings: Settings) -> dict[str, str]:
    """Page of each rule of both groups of stages, as markdown, by its name.

    Parameters
    ----------
    settings : Settings
        The limits are those under these settings.

    Returns
    -------
    dict of str to str
    """
    pages = {}
    for group in (PHOTOMETRY, DATA_LAYERS):
        with run_group(group):
            pages |= {rule.name: _page(rule, settings) for rule in running_rules()}
    return pages


def all_rules() -> list[Rule]:
    """Rules of both groups of stages."""
    found = []
    for group in (PHOTOMETRY, DATA_LAYERS):
        with run_group(group):
            found += running_rules()
    return found


def _page(rule: Rule, settings: Settings) -> str:
    limit = rule.limit(settings)
    facts = [
        f"- **Judges** the asset `{rule.asset}` of a session"
        if rule.level != "cohort"
        else f"- **Judges** the asset `{rule.asset}` of all sessions",
        f"- **Severity** {rule.severity}: {_SEVERITIES[rule.severity]}",
        f"- **Limit** {number(limit, rule.unit)}"
        if limit is not None
        else "- **Limit** none of its own; the message of an evaluation names what it compares",
    ]
    if rule.blocks:
        facts.append(f"- **Blocks** {', '.join(f'`{name}`' for name in rule.blocks)}")
    facts.append(f"- **In Python** `iblnm.validation.{rule.exception.__name__}`")
    parts = [f"# `{rule.name}`", rule.description, "\n".join(facts)]
    if rule.remedy:
        parts += ["## What to do", rule.remedy]
    parts += [
        "## Which sessions",
        f"`iblnm summary` counts them; the dashboard's column `{rule.name}` shows each with "
        f"value, limit and message. `iblnm batch --check {rule.name}` evaluates this rule alone, "
        "from what is stored.",
    ]
    return "\n\n".join(parts) + "\n"
