"""Figures as SVG: for a page that holds many of them, and for a file of its own.

Matplotlib draws. What it writes is made small and takes its colours from CSS variables, so that one drawing serves
light mode, dark mode and paper: styles become classes, numbers have one decimal (the unit is a pixel of the page), and
what was drawn before on the same page is referred to.
"""

from __future__ import annotations

import html
import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from seedpipe.results import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_VARIABLES = {
    figures.PAGE: "var(--page)",
    figures.INK: "var(--ink)",
    figures.SOFT: "var(--soft)",
    figures.GRID: "var(--grid)",
    figures.BEFORE: "var(--before)",
    figures.AFTER: "var(--after)",
    figures.OTHER: "var(--other)",
}
_TAG = re.compile(r"<\w+")
_SHARED = re.compile(r"axes|matplotlib\.axis")  # groups that are often equal
_LONG = 120  # characters of an element that may be worth a reference
_LEFT_OUT = re.compile(r"font-family: [^;]*;? ?|stroke-dashoffset: 0;? ?")
_NUMBER, _STEP, _NAME = re.compile(r"-?\d+\.\d+"), re.compile(r"([MLQCz])([^MLQCz]*)"), re.compile(r"#(\w+)")
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def page_colour(colour: str) -> str:
    """Give the CSS variable for a colour of :mod:`seedpipe.results.figures`, or the colour itself where it is fixed."""
    return _VARIABLES.get(colour, colour)


class Drawings:
    """The figures of one page, and what they share."""

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}  # by their rules
        self._marks: dict[str, str] = {}  # by what they look like
        self._drawn: dict[str, str] = {}
        self._ids: dict[str, str] = {}  # by those of matplotlib

    def draw(
        self,
        label: str,
        size: tuple[float, float],
        paint: Callable[[Sequence[Axes]], object],
        margins: tuple[float, float, float, float] = (46.0, 8.0, 8.0, 38.0),
        heights: Sequence[float] = (1.0,),
        gap: float = 8.0,
    ) -> Markup:
        """Draw one figure: the same bytes for the same data.

        Parameters
        ----------
        label : str
            What a screen reader says of it.
        size : tuple of float
            Width and height in pixels of the page.
        paint : callable
            Is given the axes, one below the other.
        margins : tuple of float
            Left, right, top and bottom, pixels.
        heights : sequence of float
            Relative heights of the axes.
        gap : float
            Pixels between two of them.

        Returns
        -------
        Markup
            One SVG element that scales with its column.
        """
        (width, height), (left, right, top, bottom) = size, margins
        edges = {"left": left / width, "right": 1 - right / width, "top": 1 - top / height, "bottom": bottom / height}
        written, inner = io.StringIO(), (height - top - bottom + gap) / len(heights) - gap
        with rc_context(cast("Any", figures.STYLE)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # the fonts of the reader draw the words
            figure = Figure(figsize=(width / 72, height / 72))
            ratios = {**edges, "hspace": gap / inner, "height_ratios": heights}
            grid = figure.subplots(len(heights), squeeze=False, gridspec_kw=ratios)
            axes: list[Axes] = list(grid[:, 0])
            for patch in (figure.patch, *(one.patch for one in axes)):
                patch.set_visible(False)
            paint(axes)
            figure.savefig(written, format="svg", metadata=_NO_METADATA)
        root = ET.fromstring(written.getvalue())  # noqa: S314 - our own text
        self._define(root)
        inside = "".join(self._written(child)[1] for child in root)
        opening = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(width, height, label)
        return opening + Markup(inside + "</svg>")  # noqa: S704 - escaped below

    @property
    def style(self) -> Markup:
        """Rules of the classes; the style sheet has the variables page, ink, soft, grid, before, after and other."""
        return Markup("\n".join(f".{name} {{ {rules} }}" for rules, name in self._classes.items()))  # noqa: S704

    @property
    def marks(self) -> Markup:
        """Marks and frames that the drawings refer to; for the start of the page."""
        marks = (_named(mark, name) for mark, name in self._marks.items())
        return Markup("<defs>{}</defs>").format(Markup("").join(map(Markup, marks)))

    def _define(self, root: ET.Element) -> None:
        """Keep marks and frames, one of each; what uses a mark has its colours."""
        for definition in root.iterfind(".//{*}defs/*[@id]"):
            definition.attrib.pop("style", None)
            mark = self._written(definition)[0]
            self._ids[definition.attrib["id"]] = self._marks.setdefault(mark, f"m{len(self._marks)}")

    def _written(self, element: ET.Element) -> tuple[str, str]:
        """Write an element: in full, by which it is recognised, and with references to what was drawn before."""
        tag, group = element.tag.rpartition("}")[2], element.get("id", "")
        if tag in ("defs", "metadata"):
            return "", ""
        _hoist(element)
        if len(element) > 1 and all(child.tag.endswith("use") for child in element):
            return 2 * (self._dots(element),)
        parts = [part for part in map(self._written, element) if part[0]]
        attributes, words = self._attributes(element), html.escape((element.text or "").strip(), quote=False)
        full, short = (words + "".join(side) for side in zip(*parts, ("", ""), strict=True))
        if tag == "g" and not (attributes and parts):
            return self._once(full, f"<g>{short}</g>") if len(parts) > 1 and _SHARED.match(group) else (full, short)
        opening = f"<{tag}{attributes}"
        full, short = (f"{opening}>{inside}</{tag}>" if inside else f"{opening}/>" for inside in (full, short))
        return self._once(full, short) if len(full) > _LONG else (full, short)

    def _once(self, full: str, short: str) -> tuple[str, str]:
        if full in self._drawn:
            return full, f'<use href="#{self._drawn[full]}"/>'
        self._drawn[full] = f"d{len(self._drawn)}"
        return full, _named(short, self._drawn[full])

    def _dots(self, element: ET.Element) -> str:
        """Write equal marks as the corners of one path, to the nearest pixel."""
        look = self._class(element.attrib.pop("style"))
        use = f'<use href="{_NAME.sub(self._renamed, next(v for k, v in element[0].items() if k.endswith("href")))}"/>'
        mark = f'<marker overflow="visible" markerUnits="userSpaceOnUse" class="{look}">{use}</marker>'
        rule = f"fill: none; marker: url(#{self._marks.setdefault(mark, f'm{len(self._marks)}')})"
        corners = " ".join(f"{float(dot.attrib[axis]):.0f}" for dot in element for axis in "xy")
        return f'<path class="{self._class(rule)}"{self._attributes(element)} d="M{corners}"/>'

    def _attributes(self, element: ET.Element) -> str:
        """Write attributes: styles as classes, our names of marks, numbers with one decimal."""
        found = []
        for key, value in element.attrib.items():
            name = key.rpartition("}")[2]
            if name == "style":
                found.append(f' class="{self._class(value)}"')
            elif name == "clip-path" and figures.GRID in element.get("style", ""):
                pass  # lines of the grid end at the frame
            elif name in ("href", "clip-path"):
                found.append(f' {name}="{_NAME.sub(self._renamed, value)}"')
            elif name == "d":
                found.append(f' d="{_short_path(_NUMBER.sub(_rounded, value))}"')
            elif name != "id" and not value.startswith("rotate(-0 "):
                found.append(f' {name}="{_NUMBER.sub(_rounded, value)}"')
        return "".join(found)

    def _renamed(self, name: re.Match[str]) -> str:
        return f"#{self._ids[name[1]]}"

    def _class(self, style: str) -> str:
        rules = _LEFT_OUT.sub("", style).removesuffix("; ")
        for colour, variable in _VARIABLES.items():
            rules = rules.replace(colour, variable)
        return self._classes.setdefault(rules, f"f{len(self._classes)}")


def _hoist(element: ET.Element) -> None:
    """Say once what all parts of an element have in common."""
    for name in ("style", "clip-path"):
        values = {child.get(name) for child in element}
        if len(element) > 1 and len(values) == 1 and (value := values.pop()) is not None:
            element.set(name, value)
            for child in element:
                del child.attrib[name]


def _rounded(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), 1) + 0.0:g}"


def _named(element: str, name: str) -> str:
    return _TAG.sub(rf'\g<0> id="{name}"', element, count=1)


def _short_path(data: str) -> str:
    """Write lines along an axis as such, of which histograms and grids consist."""
    steps, at = [], ["", ""]
    for letter, words in _STEP.findall(data):
        *_, x, y = at if letter == "z" else words.split()
        if letter == "L" and at[0] == x:
            steps.append(f"V{y}" if at[1] != y else "")
        elif letter == "L" and at[1] == y:
            steps.append(f"h{float(x) - float(at[0]):.1f}".removesuffix(".0"))
        else:
            steps.append(letter + " ".join(words.split()))
        at = [x, y]
    return "".join(steps)
