"""What follows from the declared stages: order, ancestors, guards, inputs of rules.

Everything is read from the stages of the group that is run when it is asked for.
"""

from __future__ import annotations

from iblnm.pipeline.groups import running_rules, stages_of_group
from iblnm.pipeline.rules import rules_for
from iblnm.pipeline.stage import Stage

# what the analyses of responses start from
RESPONSES = "responses"


def all_stages() -> tuple[Stage, ...]:
    """The declared stages; each comes after those that it needs."""
    return stages_of_group()


def stage_names() -> tuple[str, ...]:
    """Names of the stages, in their order."""
    return tuple(stage.name for stage in all_stages())


def is_stage(name: str) -> bool:
    """Whether there is a stage of this name."""
    return name in stage_names()


def find_stage(name: str) -> Stage:
    """The stage of a name.

    Raises
    ------
    KeyError
        If there is none.
    """
    for stage in all_stages():
        if stage.name == name:
            return stage
    raise KeyError(f"no such stage: {name}; there are {', '.join(stage_names())}")


def upstream(name: str) -> tuple[str, ...]:
    """Stages that one rests on, directly or not, the nearest first.

    Raises
    ------
    KeyError
        If there is no such stage.
    """
    wanted = set(find_stage(name).inputs)
    found = []
    for stage in reversed(all_stages()):
        if stage.name in wanted:
            found.append(stage.name)
            wanted.update(stage.inputs)
    return tuple(found)


def downstream(name: str) -> tuple[str, ...]:
    """Stages that rest on one, directly or not; none for what is no stage."""
    return tuple(other for other in stage_names() if name in upstream(other))


def guards(name: str) -> tuple[str, ...]:
    """Stages further up that have a blocking rule: it must hold for the stage to be made."""
    blocking = {rule.asset for rule in running_rules() if rule.severity == "BLOCK"}
    above = upstream(name)
    return tuple(other for other in stage_names() if other in above and other in blocking)


def checked_stages() -> tuple[str, ...]:
    """Stages that rules judge."""
    judged = {rule.asset for rule in running_rules()}
    return tuple(name for name in stage_names() if name in judged)


def essential_stages() -> tuple[str, ...]:
    """Stages without which a session is of no use to an analysis of responses."""
    if not is_stage(RESPONSES):
        return stage_names()[:1]
    needed = {RESPONSES, *upstream(RESPONSES)}
    return tuple(name for name in stage_names() if name in needed)


def inputs_of_rules(name: str) -> dict[str, str]:
    """What the rules of a stage look at: name of the input to name of the stage.

    Inputs that are no stage's value are left to the rules' defaults.
    """
    sources = {stage.rule_input or stage.name: stage.name for stage in all_stages()}
    wanted = dict.fromkeys(entry for rule in rules_for(name) for entry in rule.inputs)
    return {entry: sources[entry] for entry in wanted if entry in sources}
