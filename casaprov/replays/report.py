"""The report of a replay: a value for every call, every product and every setting."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from casaprov.comparison.products import Comparison
from casaprov.records.model import Environment, Outcome

__all__ = [
    "REPORT_FORMAT",
    "Conclusion",
    "EnvironmentDifference",
    "ProductReport",
    "ReplayReport",
    "StepReport",
    "compare_environments",
]

REPORT_FORMAT = "casaprov/replay-report/1"

Conclusion = Literal["verified", "verified-as-far-as-possible", "differs", "stopped", "not-run"]
"""Result of a replay as a whole.

``verified``: all calls ran and their products are verified. ``verified-as-far-as-possible``: some calls could not be run,
and the products of the others are verified. ``differs``: a call ended otherwise, or a product of one that ran is not
verified. ``stopped``: a call reached a limit, or CASA ended in it. ``not-run``: no call could be run.
"""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """Fate of one recorded call.

    Attributes
    ----------
    action
        ``run``, ``take``, ``leave-out`` or ``blocked`` (:data:`casaprov.replays.plan.Action`);
        `reason` says why it was not run.
    same_return
        Whether the return value is the recorded one; None where it cannot be known.
    taken
        Paths of states that no task can make again, and that were taken as they were recorded before the call.
    stopped
        True if it was not finished, since it reached a limit or CASA ended.
    restored
        True if the results of an equal call in an earlier replay were restored, instead of it being run.
    """

    id: str
    task: str
    action: str
    reason: str = ""
    recorded_outcome: Outcome
    outcome: Outcome | None = None
    failure: str = ""
    seconds: float | None = None
    same_return: bool | None = None
    taken: tuple[str, ...] = ()
    stopped: bool = False
    restored: bool = False

    @property
    def ended_otherwise(self) -> bool:
        """Return True if it completed here and failed when it was recorded, or the other way round."""
        return self.outcome is not None and self.outcome != self.recorded_outcome


@dataclass(frozen=True, kw_only=True)
class ProductReport:
    """The verdict on one product.

    Attributes
    ----------
    final
        False for a state that a later call changed or replaced.
    declared
        False for a state that only the working directory showed: something
        other than the task may have written it, so its verdict does not count.
    taken
        True for a state that no task made: it came with the crate, and there is
        nothing to verify.
    """

    path: str
    kind: str
    made_by: str
    final: bool
    declared: bool = True
    taken: bool = False
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class EnvironmentDifference:
    """A setting that differs from the recorded one."""

    name: str
    recorded: str
    now: str


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """The results of a replay.

    Attributes
    ----------
    confined
        Whether the kernel confined CASA to the work folder.
    conclusion
        :data:`Conclusion`.
    sampled
        Paths of the inputs of which only samples were compared with the record.
    """

    crate: str
    work: str
    started_at: str
    ended_at: str
    steps: tuple[StepReport, ...]
    products: tuple[ProductReport, ...]
    environment: tuple[EnvironmentDifference, ...]
    confined: bool
    format: str
    sampled: tuple[str, ...] = ()
    conclusion: Conclusion = "not-run"

    @property
    def blocked(self) -> tuple[StepReport, ...]:
        """Steps that could not be run."""
        return tuple(step for step in self.steps if step.action == "blocked")

    @property
    def ended_otherwise(self) -> tuple[StepReport, ...]:
        """Steps that completed here and failed when they were recorded, or the other way round."""
        return tuple(step for step in self.steps if step.ended_otherwise)

    @property
    def not_compared(self) -> tuple[ProductReport, ...]:
        """States in between that calls left here, and whose content is not recorded: later states are compared."""
        run = {step.id for step in self.steps if step.action == "run"}
        return tuple(
            product
            for product in self.products
            if product.made_by in run and not product.final and product.comparison.verdict == "not-verifiable"
        )

    @property
    def differing(self) -> tuple[ProductReport, ...]:
        """Final products that are not verified."""
        good = ("identical", "same-content", "within-tolerance")
        judged = (p for p in self.products if p.final and p.declared and not p.taken)
        return tuple(product for product in judged if product.comparison.verdict not in good)

    def conclude(self) -> Conclusion:
        """Return the conclusion from steps and products."""
        if any(step.stopped for step in self.steps):
            return "stopped"
        not_run = {step.id for step in self.blocked}
        if self.ended_otherwise or any(product.made_by not in not_run for product in self.differing):
            return "differs"
        if not self.blocked:
            return "verified"
        return "verified-as-far-as-possible" if any(step.action == "run" for step in self.steps) else "not-run"


def compare_environments(recorded: Environment, present: Environment) -> tuple[EnvironmentDifference, ...]:
    """List every setting that differs, the most informative first; host, git state and the list of all distributions do not count."""
    found: list[EnvironmentDifference] = []
    for item in fields(Environment):
        if item.name in ("host", "git", "container", "distributions", "file_hashes"):
            continue
        before, after = getattr(recorded, item.name), getattr(present, item.name)
        if isinstance(before, dict):
            names = sorted(before.keys() | after.keys())
            pairs = [(f"{item.name}.{name}", before.get(name, ""), after.get(name, "")) for name in names]
        else:
            pairs = [(item.name, before, after)]
        found += [EnvironmentDifference(name=name, recorded=a, now=b) for name, a, b in pairs if a != b]
    return tuple(found)
