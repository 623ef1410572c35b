"""Draw the way of the data, from audio to the report: ``python docs/images/pipeline.py`` writes pipeline.svg."""

from __future__ import annotations

from pathlib import Path

WIDTH, HEIGHT = 640, 212
BOX_WIDTH, BOX_HEIGHT, GAP, MARGIN = 136, 56, 110, 6
ROWS = (8, 152)  # upper edges
BOXES = {
    # name: column, row, what it is
    "audio": (0, 0, "folders"),
    "manifest": (1, 0, "what there is"),
    "cache": (2, 0, "of embeddings"),
    "model": (2, 1, "SEED"),
    "scores": (1, 1, "of every trial"),
    "report": (0, 1, "with intervals"),
}
ARROWS = {
    # stage: from, to, notes below the arrow
    "manifest": ("audio", "manifest", ()),
    "extract": ("manifest", "cache", ("once: the frozen", "network, noise,", "music, rooms")),
    "score": ("model", "scores", ("seconds: alone", "and enhanced")),
    "report": ("scores", "report", ()),
}
LIGHT = {"fill": "#f3f6fa", "line": "#4a6785", "text": "#16283a", "small": "#55697d", "stage": "#1f6fb2"}
DARK = {"fill": "#1d2733", "line": "#8fb0d0", "text": "#e8eef5", "small": "#a9bccf", "stage": "#7fbcf0"}
FONT = "system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif"


def style(colours: dict[str, str]) -> str:
    """Colours of the classes: box, line, arrow head, name, small words, stage."""
    return (
        f".box{{fill:{colours['fill']};stroke:{colours['line']}}}.line{{stroke:{colours['line']}}}"
        f".head{{fill:{colours['line']}}}.name{{fill:{colours['text']}}}.small{{fill:{colours['small']}}}"
        f".stage{{fill:{colours['stage']}}}"
    )


def left(name: str) -> int:
    """Left edge of a box."""
    return MARGIN + BOXES[name][0] * (BOX_WIDTH + GAP)


def top(name: str) -> int:
    """Upper edge of a box."""
    return ROWS[BOXES[name][1]]


def words(kind: str, x: float, y: float, text: str, anchor: str = "middle") -> str:
    """A line of text."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'


def box(name: str) -> list[str]:
    """A box with its name and what it is."""
    x, y = left(name), top(name)
    middle = x + BOX_WIDTH / 2
    frame = f'<rect class="box" x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="7"/>'
    return [frame, words("name", middle, y + 25, name), words("small", middle, y + 43, BOXES[name][2])]


def across(stage: str) -> list[str]:
    """An arrow between two boxes of a row, with the stage above and notes below it."""
    source, target, notes = ARROWS[stage]
    right = left(target) > left(source)
    start = left(source) + (BOX_WIDTH + 4 if right else -4)
    end = left(target) + (-4 if right else BOX_WIDTH + 4)
    y, middle, back = top(source) + BOX_HEIGHT / 2, (start + end) / 2, -8 if right else 8
    below = [words("small", middle, y + 18 + 14 * line, note) for line, note in enumerate(notes)]
    return [
        f'<path class="line" d="M{start} {y:g}H{end + back}"/><path class="head" d="M{end} {y:g}l{back} -4.5v9z"/>',
        words("stage", middle, y - 9, stage),
        *below,
    ]


def down(x: float, target_x: float, *, dashed: bool) -> str:
    """An arrow from the cache to a box of the second row."""
    start, end, bend = ROWS[0] + BOX_HEIGHT + 4, ROWS[1] - 4, (ROWS[0] + BOX_HEIGHT + ROWS[1]) / 2 + 14
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    way = f"V{end - 8}" if x == target_x else f"V{bend:g}H{target_x:g}V{end - 8}"
    head = f'<path class="head" d="M{target_x:g} {end}l-4.5 -8h9z"/>'
    return f'<path class="line" d="M{x:g} {start}{way}"{dash}/>{head}'


def drawing() -> str:
    """The whole drawing as SVG."""
    train, evaluation = left("cache") + 0.55 * BOX_WIDTH, left("cache") + 0.2 * BOX_WIDTH
    scores = left("scores") + BOX_WIDTH / 2
    middle = (ROWS[0] + BOX_HEIGHT + ROWS[1]) / 2
    parts = [element for name in BOXES for element in box(name)]
    parts += [element for stage in ARROWS for element in across(stage)]
    parts += [
        down(train, train, dashed=False),
        words("stage", train + 8, middle - 2, "train", "start"),
        words("small", train + 8, middle + 14, "minutes", "start"),
        down(evaluation, scores, dashed=True),
        words("small", (evaluation + scores) / 2, middle + 30, "evaluation embeddings"),
    ]
    sizes = ".box,.line{stroke-width:1.3}.line{fill:none}.small{font-size:12px}.stage{font-weight:600;font-size:13px}"
    dark = f"@media(prefers-color-scheme:dark){{{style(DARK)}}}"
    label = "Audio folders become a manifest, embeddings in a cache, a model, scores and a report"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{FONT}" font-size="15" '
        f'role="img" aria-label="{label}">'
    )
    return "\n".join([head, f"<style>{sizes}{style(LIGHT)}{dark}</style>", *parts, "</svg>\n"])


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(drawing(), encoding="utf-8")
