"""Build evaluation lists that no setting was chosen on: recorded speech, noise and music of Debian packages.

    python benchmarks/held_out.py --out build/held-out [--archives DIR] [--training DIR]

The packages are fetched by name with this machine's own `apt-get download`, unless --archives already holds them, and
their digests are checked. What is in them, their licences and their limits: docs/held-out.md. The result is the
evaluation part of a data folder (docs/data.md): eval/, eval_noise/, eval_music/ and eval_rir/; with --training,
the folder of training data whose train/, noise/, music/ and rir/ are linked in beside it, benchmarks/quality.py takes
it as it is. The same archives give the same files. Needs dpkg-deb and the extra `demo`, for the rooms.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import torch
from torchaudio import functional

from examples.demo_corpus import rooms
from seedpipe.audio import Waveform
from seedpipe.console import ProgressBar, guarded, say
from seedpipe.errors import ManifestError

Item = TypeVar("Item")
RATE = 16_000
SHORTEST_S, LONGEST_S = 2.0, 8.0
JOINED_S = 2.5  # shortest utterance made of several recordings
PIECE_S = 4.0  # of one long recording
FRAME = RATE // 50
FLOOR_DB, MARGIN_S = -40.0, 0.1  # what counts as silence at the edges of a recording, and how much of it stays
RECORDINGS = 120  # looked at per voice
UTTERANCES = 10
TARGETS = 45
NON_TARGETS, NON_TARGETS_OF_ONE_LANGUAGE = 5, 20
NOISE_S, MUSIC_S, ROOMS = 10.0, 20.0, 24
QUIETEST = 0.01  # peak of a noise file
SEED = 20261122

PACKAGES = """
asterisk-core-sounds-en-wav 1.6.1-1 2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d
asterisk-core-sounds-es-wav 1.6.1-1 9283a09a6d56fccdcc2bcfe86c48f0f844289cfbd46a3184d8785a6f7f569903
asterisk-core-sounds-fr-wav 1.6.1-1 8d4e1bc32ed5ba7fbda40841ca1825ed20cc6232724a473c90f8bb0e53e6073e
asterisk-core-sounds-it-wav 1.6.1-1 5a26638089e134b8ac39363fe249c5c93c50cd8bfdc9b2499ae61ec4a35e2fcb
asterisk-core-sounds-ru-wav 1.6.1-1 ccbfaebfa450b7a9ddf644ae0f3d1e9017d5df7c0aebe816e946345589d38201
asterisk-prompt-es-co 0.20070403-2.1 6702696e045514699e87dc8fb70f370717e5df91f821f7bec8dd0df1be008e83
asterisk-prompt-fr-armelle 20070613-2.2 162570b1a9b3512a98f06b89f60c7c17cf1b9b52297315adca9a4e5be728bea3
asterisk-prompt-it-menardi-wav 1:1.4.22+mm20110907-3.1 3094530d98f8758ac275572d59624c41f60969fef883f34f4886d144f3dfeb21
codec2-examples 1.0.5-1 7af8cd128f269a1d8116993c9d2bd7d4d452fc17da46a09899aaca2b9bd993d4
drascula 1.0+ds4-2 ed4af8e2d41ad446e2f3b73533daa1804e2f13f62f596c0b02b8dc39544f22b4
drascula-spanish 1.0+ds4-2 87b5f12df3fcd7ca16097c802dff1ab55e40c9ebc21209fa3f031e1661b4b8e5
fillets-ng-data-cs 1.0.1-1.1 3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14
fillets-ng-data-nl 1.0.1-1.1 afb4443fda9ab507dee578b75be857d121718a1cd6017a474f30e0eb13dc9d10
flight-of-the-amazon-queen 1.0.0-9 40c08fd258d6fe95c46c1eaf5e9137f84ba330657995a281bd887c94a560a0f1
hedgewars-data 1.0.2-6 722225903a72604403e6e0026e40e9a6953f47a74d94efc5f55504bc05bb4761
klettres-data 4:22.12.3-1 1186d257a19e84230856baea0b0b1ded8be9195080fcdb2588970b5cd937f5a8
ktuberling-data 4:22.12.3-1 fba44c875bfa31ea488dadd9263e87a4dcaea0bd47d28817f6c0dc6d2af970ed
lincity-ng-data 2.9~git20150314-5 8f5e85bd42879abdc7099b035d7a3d7468eceb6b93b52a12270c28f3f3c792f9
megaglest-data 3.13.0-3 ed4783d9fc78e201a548b266f7c30325eb16cfd58a20bf4597dd6e622f84a07e
tuxpaint-stamps-default 2022.06.04-1 6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34
unknown-horizons 2019.1-6 ff49ea196d0f57c80d4cd4509c030240cbe632881f8c5b2a1265dd3e3795f100
wesnoth-1.16-data 1:1.16.9-1 1012b964bd412a6770685e3324ae3b61e176caff7846192d1ee63d55cd621e26
"""

# list, speaker, language, package, pattern of the recordings' paths[, artist in the recordings' tags]
VOICES = r"""
sentences asterisk-allison en asterisk-core-sounds-en-wav .*_Allison/(?!beep|silence|.*(tone|monkey))[^/]*\.wav
sentences asterisk-allison es asterisk-core-sounds-es-wav .*_Allison/(?!beep|silence|.*(tone|monkey))[^/]*\.wav
sentences asterisk-june fr asterisk-core-sounds-fr-wav .*_June/(?!beep|silence|.*(tone|monkey))[^/]*\.wav
sentences asterisk-carlo it asterisk-core-sounds-it-wav .*_Carlo/(?!beep|silence|.*(tone|monkey))[^/]*\.wav
sentences asterisk-ivrvoice ru asterisk-core-sounds-ru-wav .*_IvrvoiceRU/(?!beep|silence|.*(tone|monkey))[^/]*\.wav
sentences asterisk-jimenez es asterisk-prompt-es-co .*/es/(?!beep|silence|.*(tone|monkey))[^/]*\.gsm
sentences asterisk-armelle fr asterisk-prompt-fr-armelle .*/fr/(?!beep|silence|.*(tone|monkey))[^/]*\.gsm
sentences asterisk-menardi it asterisk-prompt-it-menardi-wav .*_Menardi/(?!beep|silence|.*(tone|monkey))[^/]*\.wav
sentences codec2-vk2tpm en codec2-examples .*/wav/vk2tpm_004\.wav
sentences codec2-vk5qi en codec2-examples .*/wav/vk5qi\.wav
sentences codec2-ve9qrp en codec2-examples .*/wav/ve9qrp\.wav
sentences drascula-hacker-en en drascula .*/en/\d+\.ALS
sentences drascula-bj-en en drascula .*/en/BJ\d*\.ALS
sentences drascula-hacker-es es drascula-spanish .*/es/\d+\.ALS
sentences drascula-bj-es es drascula-spanish .*/es/BJ\d*\.ALS
sentences fillets-small-cs cs fillets-ng-data-cs .*/cs/([a-z0-9]+-)?m-[^/]*\.ogg
sentences fillets-big-cs cs fillets-ng-data-cs .*/cs/([a-z0-9]+-)?v-[^/]*\.ogg
sentences fillets-small-nl nl fillets-ng-data-nl .*/nl/([a-z0-9]+-)?m-[^/]*\.ogg
sentences fillets-big-nl nl fillets-ng-data-nl .*/nl/([a-z0-9]+-)?v-[^/]*\.ogg
sentences horizons-de de unknown-horizons .*/voice/de/0/.*\.ogg
sentences horizons-en en unknown-horizons .*/voice/en/0/.*\.ogg
sentences horizons-fr fr unknown-horizons .*/voice/fr/0/.*\.ogg
sentences queen-joe en flight-of-the-amazon-queen .*/\d\d.{4}J\d\.SB
sentences queen-faye en flight-of-the-amazon-queen .*/(18|20|21|22|84).{4}P\d\.SB
phrases hedgewars-pl pl hedgewars-data .*/voices/Default_pl/[^/]*\.ogg
phrases hedgewars-uk uk hedgewars-data .*/voices/Default_uk/[^/]*\.ogg
phrases klettres-ar ar klettres-data .*/klettres/ar/.*\.ogg
phrases klettres-cs cs klettres-data .*/klettres/cs/.*\.ogg
phrases klettres-en en klettres-data .*/klettres/en/.*\.ogg
phrases klettres-en-gb en klettres-data .*/klettres/en_GB/.*\.ogg
phrases klettres-es es klettres-data .*/klettres/es/.*\.ogg
phrases klettres-fr fr klettres-data .*/klettres/fr/.*\.ogg
phrases klettres-he he klettres-data .*/klettres/he/.*\.ogg
phrases klettres-hu hu klettres-data .*/klettres/hu/.*\.ogg
phrases klettres-it it klettres-data .*/klettres/it/.*\.ogg
phrases klettres-lt lt klettres-data .*/klettres/lt/.*\.ogg Liudas_Ališauskas
phrases klettres-ml ml klettres-data .*/klettres/ml/.*\.ogg
phrases klettres-nb nb klettres-data .*/klettres/nb/.*\.ogg
phrases klettres-nds nds klettres-data .*/klettres/nds/.*\.ogg
phrases klettres-nl nl klettres-data .*/klettres/nl/.*\.ogg
phrases klettres-pt-br pt klettres-data .*/klettres/pt_BR/.*\.ogg
phrases klettres-ru ru klettres-data .*/klettres/ru/.*\.ogg Dashk0
phrases klettres-uk uk klettres-data .*/klettres/uk/.*\.ogg
phrases ktuberling-ca-bernat ca ktuberling-data .*/sounds/ca/.* Bernat(_Mas)?
phrases ktuberling-ca-eudald ca ktuberling-data .*/sounds/ca/.* Eudald_Lladó
phrases ktuberling-ca-jaume ca ktuberling-data .*/sounds/ca/.* Jaume_Lladó
phrases ktuberling-ca-marti ca ktuberling-data .*/sounds/ca/.* Martí_Mas
phrases ktuberling-ca-orestes ca ktuberling-data .*/sounds/ca/.* Orestes
phrases ktuberling-ca-otger ca ktuberling-data .*/sounds/ca/.* Otger_Mas
phrases ktuberling-da da ktuberling-data .*/sounds/da/.* Martha_Schou
phrases ktuberling-de de ktuberling-data .*/sounds/de/.*
phrases ktuberling-el el ktuberling-data .*/sounds/el/.* clavisound.gr_and_patty
phrases ktuberling-fi fi ktuberling-data .*/sounds/fi/.*
phrases ktuberling-ga ga ktuberling-data .*/sounds/ga/.*
phrases ktuberling-gl gl ktuberling-data .*/sounds/gl/.*
phrases ktuberling-lt lt ktuberling-data .*/sounds/lt/.* Donatas_Glodenis
phrases ktuberling-nn nn ktuberling-data .*/sounds/nn/.*
phrases ktuberling-pt pt ktuberling-data .*/sounds/pt/.*
phrases ktuberling-sl sl ktuberling-data .*/sounds/sl/.*
phrases ktuberling-sr sr ktuberling-data .*/sounds/sr/.*
phrases ktuberling-sv sv ktuberling-data .*/sounds/sv/.*
phrases ktuberling-wa wa ktuberling-data .*/sounds/wa/.* Djan_Cayron
phrases tuxpaint-be be tuxpaint-stamps-default .*(?<!filled)(?<!outline)_desc_be\.ogg
phrases tuxpaint-bg bg tuxpaint-stamps-default .*(?<!filled)(?<!outline)_desc_bg\.ogg
phrases tuxpaint-ca ca tuxpaint-stamps-default .*(?<!filled)(?<!outline)_desc_ca\.ogg
phrases tuxpaint-da da tuxpaint-stamps-default .*(?<!filled)(?<!outline)_desc_da\.ogg
phrases tuxpaint-el el tuxpaint-stamps-default .*(?<!filled)(?<!outline)_desc_el\.ogg
phrases tuxpaint-es es tuxpaint-stamps-default .*(?<!filled)(?<!outline)_desc_es\.ogg
phrases tuxpaint-lt lt tuxpaint-stamps-default .*_desc_lt\.ogg Andrius_Jurkus
phrases tuxpaint-nl nl tuxpaint-stamps-default .*(?<!filled)(?<!outline)_desc_nl\.ogg
phrases tuxpaint-ro ro tuxpaint-stamps-default .*(?<!filled)(?<!outline)_desc_ro\.ogg
phrases tuxpaint-ru ru tuxpaint-stamps-default .*(?<!filled)(?<!outline)_desc_ru\.ogg
"""

# Not known to be two people: the same project and hardly any distance between them. They are never compared.
DOUBTFUL = ({"horizons-de", "horizons-en"}, {"klettres-ar", "klettres-nl"})
NOISE = (
    ("lincity-ng-data", r".*/sounds/(?!Click|Build|Raze|Window)[^/]*\.wav"),
    ("megaglest-data", r".*/tilesets/[^/]*/sounds/(day|night|rain|wind|desertday|nightime)\.(ogg|wav)"),
    ("wesnoth-1.16-data", r".*/sounds/ambient/(birds\d|campfire|morning|night|ship)\.ogg"),
)
MUSIC = (("hedgewars-data", r".*/Data/Music/[^/]*\.ogg"),)


@dataclass(frozen=True)
class Voice:
    """Recordings of one speaker in one language."""

    list: str
    speaker: str
    language: str
    package: str
    pattern: str
    artist: str = ".*"


@dataclass(frozen=True)
class Utterance:
    """One file of the evaluation speech, and what it was made of."""

    speaker: str
    language: str
    path: str
    sources: tuple[str, ...]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to build; its evaluation part is replaced")
    parser.add_argument("--archives", type=Path, help="folder of the .deb files; OUT/archives if not given")
    parser.add_argument("--training", type=Path, help="data folder whose training part is linked in")
    return parser.parse_args()


def fetch(name: str, version: str, digest: str, folder: Path) -> Path:
    """Return the archive of a package, fetching it if the folder lacks it."""
    path = folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        run(["apt-get", "-q", "download", f"{name}={version}"], folder)
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
    if found != digest:
        raise ManifestError(f"has the digest {found}", expected=digest, remedy="fetch it again", file=path)
    return path


def run(command: list[str], folder: Path) -> None:
    """Run a command of the package system; its last line says why it failed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ManifestError(
            f"{' '.join(command)} failed ({reason})",
            expected="the package at that version",
            remedy="run apt-get update, or give --archives with the .deb files",
        )


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive, and make files out of what a game keeps in one."""
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        run(["dpkg-deb", "--extract", str(archive), str(partial)], archive.parent)
        for container in partial.rglob("queen.1c"):
            split_queen(container)
        partial.rename(folder)
    return folder


def split_queen(path: Path) -> None:
    """Write the members of a compressed ScummVM `queen.1c`: a table of 21-byte entries, then MP3 streams and others."""
    content = path.read_bytes()
    count = int.from_bytes(content[13:15], "big")
    for entry in (content[15 + 21 * index : 36 + 21 * index] for index in range(count)):
        name = entry[:12].rstrip(b"\0").decode("ascii")
        start, size = int.from_bytes(entry[13:17], "big"), int.from_bytes(entry[17:21], "big")
        path.with_name(name).write_bytes(content[start : start + size])


def recordings(root: Path, pattern: str, artist: str = ".*") -> list[Path]:
    """Files of an unpacked package by path and artist, in sorted order."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    found = [path for path in paths if re.fullmatch(pattern, path.relative_to(root).as_posix())]
    return [path for path in found if artist == ".*" or re.fullmatch(artist, tagged_artist(path))]


def tagged_artist(path: Path) -> str:
    """The artist of a tagged file, with underscores for blanks."""
    with soundfile.SoundFile(path) as file:
        return str(file.copy_metadata().get("artist", "")).replace(" ", "_")


def decode(path: Path) -> Waveform:
    """Read a recording as one channel at 16 kHz.

    Some of the packages' files lack the end that :func:`seedpipe.audio.decode.read_audio` insists on, and a few hold no
    samples at all; the digests of the archives say that nothing is amiss.
    """
    headerless = {".gsm": telephone, ".ALS": adventure}.get(path.suffix)
    samples, rate = headerless(path) if headerless else soundfile.read(path, dtype="float32", always_2d=True)
    if not samples.size:
        return np.zeros(0, np.float32)
    mono = torch.from_numpy(samples.reshape(len(samples), -1).mean(axis=1, dtype=np.float32))
    resampled: Waveform = functional.resample(mono, rate, RATE).numpy()
    return resampled


def telephone(path: Path) -> tuple[Waveform, int]:
    """GSM 06.10."""
    samples, rate = soundfile.read(path, samplerate=8_000, channels=1, format="RAW", subtype="GSM610")
    return samples.astype(np.float32), rate


def adventure(path: Path) -> tuple[Waveform, int]:
    """Speech of Drascula: unsigned bytes after 32 bytes of something else."""
    content = np.frombuffer(path.read_bytes(), np.uint8)[32:].astype(np.float32)
    return (content - np.float32(128)) / np.float32(128), 11_025


def trimmed(samples: Waveform) -> Waveform:
    """Take off the silence at both ends, save for a margin."""
    frames = samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(frames).mean(axis=1)
    loud = np.flatnonzero(power > power.max(initial=0.0) * 10 ** (FLOOR_DB / 10))
    if not loud.size:
        return samples[:0]
    margin = int(MARGIN_S * RATE)
    return samples[max(0, loud[0] * FRAME - margin) : (loud[-1] + 1) * FRAME + margin]


def utterances(paths: list[Path], *, joined: bool) -> Iterator[tuple[Waveform, list[Path]]]:
    """Make utterances of recordings: pieces of a single one, several joined, or those that are long enough alone."""
    if len(paths) == 1:
        whole, step = decode(paths[0]), int(PIECE_S * RATE)
        yield from ((whole[start : start + step], paths) for start in range(0, whole.size - step + 1, step))
        return
    parts: list[Waveform] = []
    sources: list[Path] = []
    for path in evenly(paths, RECORDINGS):
        parts.append(trimmed(decode(path)))
        sources.append(path)
        seconds = sum(part.size for part in parts) / RATE
        if seconds >= (JOINED_S if joined else SHORTEST_S):
            yield np.concatenate(parts)[: int(LONGEST_S * RATE)], sources
        elif joined:
            continue
        parts, sources = [], []


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of them, evenly over all."""
    indices = np.unique(np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int))
    return [items[index] for index in indices]


def write(path: Path, samples: Waveform) -> None:
    """Write 16-bit FLAC at 16 kHz; a peak above full scale, which resampling may cause, is brought down to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scaled = samples / max(1.0, float(np.abs(samples).max()))
    soundfile.write(path, np.rint(scaled * 32_767).astype(np.int16), RATE, format="FLAC", subtype="PCM_16")


def speech(voice: Voice, root: Path, out: Path) -> list[Utterance]:
    """Write the utterances of one voice."""
    found = recordings(root, voice.pattern, voice.artist)
    written = []
    spoken = list(utterances(found, joined=voice.list == "phrases"))
    for number, (samples, sources) in enumerate(evenly(spoken, UTTERANCES)):
        path = f"{voice.list}/{voice.speaker}/{voice.language}-{number:02d}.flac"
        write(out / "eval" / path, samples)
        names = tuple(dict.fromkeys(source.name for source in sources))
        written.append(Utterance(voice.speaker, voice.language, path, names))
    if len(written) < 2:
        raise ManifestError(f"{voice.speaker} has {len(written)} utterances", expected="at least 2", file=root)
    return written


def target_trials(spoken: list[Utterance], rng: np.random.Generator) -> list[tuple[str, str]]:
    """At most `TARGETS` pairs of one speaker; a chain through all utterances first, so that they are one speaker."""
    chain = list(itertools.pairwise(spoken))
    others = [pair for pair in itertools.combinations(spoken, 2) if pair not in chain]
    drawn = rng.permutation(len(others))[: max(0, TARGETS - len(chain))]
    return [turned(pair, rng) for pair in [*chain, *(others[index] for index in sorted(drawn))]]


def non_target_trials(
    first: list[Utterance], second: list[Utterance], rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Pairs of two speakers: more of them, and of the same language, if they share one."""
    if {first[0].speaker, second[0].speaker} in DOUBTFUL:
        return []
    shared = {each.language for each in first} & {each.language for each in second}
    pairs = [pair for pair in itertools.product(first, second) if not shared or {p.language for p in pair} <= shared]
    drawn = rng.permutation(len(pairs))[: NON_TARGETS_OF_ONE_LANGUAGE if shared else NON_TARGETS]
    return [turned(pairs[index], rng) for index in sorted(drawn)]


def turned(pair: tuple[Utterance, Utterance], rng: np.random.Generator) -> tuple[str, str]:
    """Enrolment and test, either way round."""
    one, other = pair if rng.integers(2) else pair[::-1]
    return one.path, other.path


def trial_lines(spoken: Iterable[Utterance], rng: np.random.Generator) -> list[str]:
    """The trial list over some utterances."""
    speakers: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in spoken:
        speakers[utterance.speaker].append(utterance)
    same = [pair for own in speakers.values() for pair in target_trials(own, rng)]
    different = [pair for two in itertools.combinations(speakers.values(), 2) for pair in non_target_trials(*two, rng)]
    return [f"{label} {one} {other}" for label, pairs in ((1, same), (0, different)) for one, other in pairs]


def background(selection: tuple[tuple[str, str], ...], roots: dict[str, Path], seconds: float) -> dict[str, Waveform]:
    """Noise or music by file name: the middle of each different recording."""
    found: dict[str, Waveform] = {}
    digests = set()
    for package, pattern in selection:
        for path in recordings(roots[package], pattern):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            samples = decode(path)
            if digest not in digests and samples.size >= SHORTEST_S * RATE and np.abs(samples).max() >= QUIETEST:
                kept = min(samples.size, int(seconds * RATE))
                start = (samples.size - kept) // 2
                found[f"{package}/{path.stem}-{digest[:8]}.flac"] = samples[start : start + kept]
                digests.add(digest)
    return found


def build(out: Path, roots: dict[str, Path]) -> dict[str, object]:
    """Write speech, trial lists, noise, music and rooms; return what there is of each."""
    voices = [Voice(*line.split()) for line in VOICES.strip().splitlines()]
    draw = ProgressBar("speech", "voices")
    spoken: dict[str, list[Utterance]] = defaultdict(list)
    for number, voice in enumerate(voices):
        spoken[voice.list] += speech(voice, roots[voice.package], out)
        draw(number + 1, len(voices))
    counts: dict[str, object] = {}
    for place, (name, own) in enumerate(spoken.items()):
        lines = trial_lines(own, np.random.default_rng([SEED, place]))
        (out / "eval" / f"trials_{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        counts[name] = {
            "speakers": len({each.speaker for each in own}),
            "languages": len({each.language for each in own}),
            "utterances": len(own),
            "target": sum(line.startswith("1") for line in lines),
            "nontarget": sum(line.startswith("0") for line in lines),
        }
    sources = [f"{each.path}\t{', '.join(each.sources)}" for own in spoken.values() for each in own]
    (out / "eval" / "sources.tsv").write_text("\n".join(sources) + "\n", encoding="utf-8")
    parts = {"eval_noise": background(NOISE, roots, NOISE_S), "eval_music": background(MUSIC, roots, MUSIC_S)}
    parts["eval_rir"] = {f"room-{index:02d}.flac": room(index) for index in range(ROOMS)}
    for part, files in parts.items():
        for file_name, samples in files.items():
            write(out / part / file_name, samples)
        counts[part] = len(files)
    return counts


def room(index: int) -> Waveform:
    """Simulated response of one room."""
    return rooms.room("eval", index, seed=SEED).astype(np.float32)


def link_training(out: Path, training: Path) -> None:
    """Link the training part of another data folder, so that this one is whole."""
    for part in ("train", "noise", "music", "rir"):
        (out / part).unlink(missing_ok=True)
        (out / part).symlink_to((training / part).resolve(), target_is_directory=True)


@guarded
def main() -> None:
    """Fetch, unpack and build."""
    given = arguments()
    out = given.out.resolve()
    archives = (given.archives or out / "archives").resolve()
    roots = {}
    draw = ProgressBar("packages", "packages")
    packages = [line.split() for line in PACKAGES.strip().splitlines()]
    for number, (name, version, digest) in enumerate(packages):
        roots[name] = unpack(fetch(name, version, digest, archives), out / "unpacked" / name)
        draw(number + 1, len(packages))
    for part in ("eval", "eval_noise", "eval_music", "eval_rir"):
        shutil.rmtree(out / part, ignore_errors=True)
    counts = build(out, roots)
    if given.training:
        link_training(out, given.training)
    print(json.dumps(counts, indent=1))
    say(f"held-out data: {out}")


if __name__ == "__main__":
    sys.exit(main())
