"""By which searched choice the points and lines of a figure are coloured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.pages import theme
from sweep.report.figures.heatmaps import OPTIMIZER
from sweep.report.trials import Trial, setting
from sweep.spec.space import Parameter

MOST_GROUPS = 8
"""Colours that can be told apart."""


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """A searched choice and its values, each with a colour."""

    name: str = ""
    """The setting; empty where no choice is searched, and all trials are one group."""
    values: tuple[str, ...] = ("",)
    """As `setting` writes them."""

    def of(self, params: Mapping[str, Any]) -> str:
        """Return the group of a trial's settings."""
        return setting(params[self.name]) if self.name in params else self.values[0]

    def colour(self, group: str) -> str:
        """Return a group's colour."""
        return theme.colour(self.values.index(group)) if self.name else theme.ACCENT

    def label(self, group: str) -> str:
        """Return what a legend calls a group."""
        if not self.name:
            return "trial"
        return theme.short(group if self.name == OPTIMIZER else f"{self.name} {group}")

    @property
    def key(self) -> list[tuple[str, str, str]]:
        """Name, colour and border style of each group, for a legend."""
        return [(self.label(value), self.colour(value), "solid") for value in self.values]


def grouping(trials: Sequence[Trial], space: Mapping[str, Parameter]) -> Grouping:
    """Choose the optimizer where several are searched, else the first setting with few choices."""
    names = sorted(space, key=lambda name: name != OPTIMIZER)
    for name in names:
        choices = space[name].choices or ()
        everywhere = all(name in trial.params for trial in trials if trial.params)
        if everywhere and 2 <= len(choices) <= MOST_GROUPS:
            return Grouping(name=name, values=tuple(setting(choice) for choice in choices))
    return Grouping()
