"""The figures of docs/experiments.md: tables on standard output, experiments_draws.svg, experiments_timestep.svg.

    python docs/images/experiments.py

Everything comes from docs/experiments.csv, which benchmarks/experiments.py fills.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
TABLE = HERE.parent / "experiments.csv"
COLOURS = {"an4": "#0b5fa5", "speechocean": "#b8560b"}
PRESET = "diffusion (preset seedpipe)"
TITLES = {
    "objective": "Diffusion against regression, and the presets",
    "variants": "Noisy variants",
    "draws": "Draws of each utterance",
    "loss": "Loss, prediction, normalisation",
    "ensemble": "Ensemble and whitening",
    "timestep": "Timestep, steps and noise in use",
}


def tables(frame: pd.DataFrame) -> str:
    """All groups as Markdown; the preset is the first line of each."""
    parts = []
    for group, title in TITLES.items():
        chosen = comparable(frame[(frame["group"] == group) | (frame["setting"] == PRESET)])
        parts.append(f"## {title}\n\n{_table(chosen)}")
    return "\n\n".join(parts)


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the training seeds that every setting has."""
    return frame[frame.groupby("seed")["setting"].transform("nunique") == frame["setting"].nunique()]


def _table(frame: pd.DataFrame) -> str:
    lists = list(dict.fromkeys(frame["list"]))
    head = "".join(f" {name}: EER | minDCF | clean |" for name in lists)
    lines = [f"| setting | seeds |{head}", "|---|---|" + "---|---|---|" * len(lists)]
    for setting in dict.fromkeys(frame["setting"]):
        rows = frame[frame["setting"] == setting]
        cells = "".join(_cells(rows[rows["list"] == name]) for name in lists)
        lines.append(f"| {setting} | {rows['seed'].nunique()} |{cells}")
    return "\n".join(lines)


def _cells(rows: pd.DataFrame) -> str:
    """Means over the seeds; brackets are the interval of the first seed, over speakers."""
    first = rows.sort_values("seed").iloc[0]
    low, high = 100 * first["reduction_low"], 100 * first["reduction_high"]
    reduction = f"{100 * rows['reduction'].mean():.1f} [{low:.0f}, {high:.0f}]"
    clean = f"{rows['clean_difference'].mean():+.2f} [{first['clean_low']:+.1f}, {first['clean_high']:+.1f}]"
    return f" {reduction} | {100 * rows['min_dcf_reduction'].mean():.1f} | {clean} |"


def plot(frame: pd.DataFrame, number: str, label: str, preset: float, path: Path) -> None:
    """Draw the reduction of each list against the first number in the names of the settings."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.4), layout="constrained")
    names = frame["setting"].str.extract(number)[0].astype(float).where(frame["setting"] != PRESET, preset)
    frame = frame.assign(x=names).dropna(subset="x")
    for name, rows in frame.groupby("list"):
        by_x = rows.groupby("x")
        means, first = by_x["reduction"].mean(), by_x.first()
        axes.errorbar(
            means.index,
            100 * means,
            [100 * (first["reduction"] - first["reduction_low"]), 100 * (first["reduction_high"] - first["reduction"])],
            color=COLOURS.get(str(name)),
            marker="o" if name == "an4" else "s",
            capsize=3,
            label=str(name),
        )
    ticks = sorted(frame["x"].unique())
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel=label, ylabel="mean relative reduction\nof the EER, %", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    """Write the drawings, print the tables."""
    from matplotlib import rcParams

    rcParams.update({"svg.hashsalt": "seedpipe", "svg.fonttype": "none", "font.family": "sans-serif"})
    frame = pd.read_csv(TABLE)
    draws = comparable(frame[(frame["group"] == "draws") | (frame["setting"] == PRESET)])
    plot(draws, r"^K = (\d+)", "draws K of each utterance", 10, HERE / "experiments_draws.svg")
    timestep = comparable(frame[frame["setting"].str.fullmatch(r"t = \d+") | (frame["setting"] == PRESET)])
    plot(timestep, r"^t = (\d+)", "timestep t in use", 50, HERE / "experiments_timestep.svg")
    print(tables(frame))  # noqa: T201


if __name__ == "__main__":
    main()
