"""Stage ``corpus``: build the demonstration corpus if it is the one asked for; describe data and map of speakers."""

from pathlib import Path

from seedpipe import pipeline
from seedpipe.console import ProgressBar, guarded, run
from seedpipe.errors import ParamsError
from seedpipe.params import Params, load_params


@guarded
def main() -> None:
    """Run the stage."""
    params = load_params()
    if params.manifest.root == params.corpus.folder:
        build(params)
    pipeline.describe_audio(params, Path("data/audio.json"))
    pipeline.describe_speakers(params, Path("data/speakers.json"))


def build(params: Params) -> None:
    """Build the demonstration corpus where it lacks or has other settings."""
    try:
        from examples.demo_corpus import build_demo_corpus, is_built
    except ModuleNotFoundError as error:
        raise ParamsError(
            "manifest.root is corpus.folder, and the demonstration corpus is made in a checkout of seedpipe alone",
            remedy="set manifest.root to your own data folder",
        ) from error
    settings = params.corpus.model_dump(exclude={"folder"})
    if is_built(params.corpus.folder, **settings):
        return
    build_demo_corpus(
        params.corpus.folder, **settings, jobs=params.machine.workers, progress=ProgressBar("corpus", "parts")
    )


if __name__ == "__main__":
    run(main)
