"""What the sections share: strict types without surprises, presets, and the types of several keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from seedpipe.params.explain import explain


def _one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    if pattern and groups != 1:
        raise ValueError(f"{pattern!r} has {groups} groups in parentheses; one is the speaker or the recording")
    return pattern


Pattern = Annotated[str, AfterValidator(_one_group)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what a torch.Generator takes
MOST = 10**9
"""Of any number but a seed: more would only fill the memory, or the patience, of a machine."""


class Section(BaseModel):
    """Keys that cannot be changed, none of them unknown; the docstring below a field is its sentence."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*")
    @classmethod
    def _bounded(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, int | float) and abs(value) > MOST and info.field_name != "seed":
            raise ValueError(f"a number from {-MOST:,} to {MOST:,}")
        return value

    def replace(self, **changes: object) -> Self:
        """Give a copy with other values for some keys, checked; the others stay as they are.

        Raises
        ------
        ParamsError
            A key is unknown, or its value of a wrong type or impossible.

        Examples
        --------
        >>> from seedpipe.params import TrainParams
        >>> TrainParams().replace(epochs=5).epochs
        5
        """
        try:
            return type(self).model_validate({name: getattr(self, name) for name in type(self).model_fields} | changes)
        except ValidationError as error:
            raise explain(error, type(self), {}) from None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Do as pydantic does, which checks no value, but refuse a key that there is not; :meth:`replace` checks all.

        Raises
        ------
        ParamsError
            A key is unknown.
        """
        unknown = {name: value for name, value in (update or {}).items() if name not in type(self).model_fields}
        return self.replace(**unknown) if unknown else super().model_copy(update=update, deep=deep)


class PresetSection(Section):
    """A section in which a key that is not given has the value of the preset, or else its default."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]]

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, given: object) -> object:
        preset = given.get("preset") if isinstance(given, dict) else None
        return filled(given, cls.PRESETS.get(str(preset), {}))


def filled(given: object, preset: Mapping[str, object]) -> object:
    """A section with the values of a preset where none are given, in its parts too."""
    if isinstance(given, list):
        # As the strict types want it: what passes here is no JSON any more.
        return tuple(filled(value, {}) for value in given)
    if not isinstance(given, dict):
        return given
    merged = {**preset, **given}
    parts = {name: value if isinstance(value, dict) else {} for name, value in preset.items()}
    return {name: filled(value, parts.get(name, {})) for name, value in merged.items()}


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a name that stands twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} stands in it twice")
    return names
