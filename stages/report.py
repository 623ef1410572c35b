"""Stage ``report``: gather the figures of all networks and lists into one page and one table, and print the table."""

from seedpipe import pipeline
from seedpipe.console import guarded, run, show
from seedpipe.files import whole_file, write_text
from seedpipe.params import load_params
from seedpipe.project.paths import ProjectPaths
from seedpipe.results.report import format_table


@guarded
def main() -> None:
    """Run the stage."""
    places = ProjectPaths()
    data = pipeline.report(load_params(), places, "dvc repro")
    text = f"{format_table(data)}\nReport: {places.report}"
    with whole_file(places.report.with_suffix(".txt")) as partial:
        write_text(partial, text + "\n")
    show(None, f"\n{text}", as_json=False)


if __name__ == "__main__":
    run(main)
