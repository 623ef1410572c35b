"""What the sections share: strict types without surprises, presets, and the types of several keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what a torch.Generator takes


class Section(BaseModel):
    """Keys that cannot be changed, none of them unknown; the docstring below a field is its sentence."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class PresetSection(Section):
    """A section in which a key that is not given has the value of the preset, or else its default."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]]

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, given: object) -> object:
        preset = given.get("preset") if isinstance(given, dict) else None
        return _filled(given, cls.PRESETS.get(str(preset), {}))


def _filled(given: object, preset: Mapping[str, object]) -> object:
    """A section with the values of a preset where none are given, in its parts too."""
    if isinstance(given, list):
        return tuple(given)  # as the strict types want it: what passes here is no JSON any more
    if not isinstance(given, dict):
        return given
    merged = {**preset, **given}
    parts = {name: value if isinstance(value, dict) else {} for name, value in preset.items()}
    return {name: _filled(value, parts.get(name, {})) for name, value in merged.items()}


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a name that stands twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} stands in it twice")
    return names
