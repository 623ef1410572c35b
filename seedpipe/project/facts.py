"""What a report says of the settings and of the data behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seedpipe.audio import layout
from seedpipe.errors import counted

if TYPE_CHECKING:
    from seedpipe.params import AugmentParams, Params
    from seedpipe.project.paths import ProjectPaths


def train_seed(params: Params, enhancer: str) -> int:
    """The seed that an enhancer is trained with."""
    return params.enhancers.drl.seed if enhancer == "drl" else params.train.seed


def provenance(params: Params, paths: ProjectPaths) -> dict[str, str]:
    """Which weights made the embeddings, and from how much speech each enhancer learned."""
    from seedpipe.cache import open_cache

    seeds = sorted({train_seed(params, enhancer) for enhancer in params.enhancers.names})
    facts = {}
    for network in params.extract.networks:
        info = open_cache(paths.cache(network, layout.TRAIN)).info
        speech = "synthetic speech" if info.synthetic else "speech"
        facts[f"network {info.network.name}"] = (
            f"fingerprint {info.network.fingerprint[:16]}, {info.network.dimension}-d"
        )
        size = f"{counted(info.utterances, 'unlabelled utterance')}, {info.seconds / 60:.0f} min of {speech}"
        facts[f"training of {info.network.name}"] = f"{size}, seed {', '.join(map(str, seeds))}"
    return facts


_SIDES = {
    "test": "clean enrolment, test side under the condition",
    "enrol": "enrolment under the condition, clean test side",
    "both": "both sides under the condition",
}


def _ranges(augment: AugmentParams) -> str:
    return "speech-to-noise ratio {:g} to {:g} dB, speech-to-music ratio {:g} to {:g} dB".format(
        *augment.noise_snr_db, *augment.music_snr_db
    )


def settings(params: Params) -> dict[str, str]:
    """How evaluation and training speech are made and figures are defined, by name."""
    evaluation, of_training = params.extract.evaluation, _ranges(params.extract.augment)
    of_evaluation, short = _ranges(params.extract.evaluation_augment), evaluation.test_crop_samples
    test = f", on the test side one of {short:,}" if short else ""
    own = "" if of_evaluation == of_training else f" in evaluation; in training {of_training}"
    leaks = {"leaks": "files that training and evaluation share are allowed"} if params.manifest.allow_leaks else {}
    return leaks | {
        "evaluation": f"{counted(evaluation.crops, 'crop')} of {evaluation.crop_samples:,} samples{test}; "
        + _SIDES[params.score.mismatch_side],
        "noise": f"{of_evaluation}, drawn uniformly{own}",
        "variants": f"{counted(params.extract.draws, 'draw')} of each training utterance, "
        f"in {', '.join(params.extract.variants)}",
        "EER": f"definition '{params.score.eer_definition}'",
        "minDCF": f"P_target {params.score.p_targets[0]:g}, both costs 1, normalised",
        "intervals": f"95 %, {params.score.bootstrap:,} bootstrap resamplings of the speakers",
    }
