"""What files of embeddings say of themselves: raw against enhanced, and enhanced twice, are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import enhancer, evaluation_cache, training_cache, write_trials

from seedpipe.cache import Cache, open_cache
from seedpipe.cache.exchange import Provenance, export_cache, import_cache, read_vectors
from seedpipe.enhancers.files import Use, enhance_file
from seedpipe.errors import ExchangeError
from seedpipe.params import ScoreParams
from seedpipe.scoring import score_files

PARAMS = ScoreParams(bootstrap=100)
UNKNOWN = "what made these embeddings is not known"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return evaluation_cache(tmp_path / "cache")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    enhancer().save(tmp_path / "model", "card")
    return tmp_path / "model"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return write_trials(tmp_path / "trials.txt")


@pytest.fixture(params=[".npz", ".parquet"])
def raw(request: pytest.FixtureRequest, cache: Cache, tmp_path: Path) -> Path:
    return export_cache(cache, tmp_path / f"raw{request.param}", variant="clean")[0]


def foreign(raw: Path) -> Path:
    """The same embeddings as another tool would write them."""
    vectors = read_vectors(raw)
    path = raw.with_name("foreign.npz")
    np.savez(path, embeddings=vectors.values, utterance=np.array([name for name, _ in vectors.keys]))
    return path


def test_files_say_what_made_their_embeddings(cache: Cache, raw: Path, model: Path) -> None:
    network = cache.info.network
    assert read_vectors(raw).provenance == Provenance(network.name, network.fingerprint)
    out = raw.with_name(f"enhanced{raw.suffix}")
    assert enhance_file(model, raw, out).remarks == ()
    said = read_vectors(out).provenance
    assert said is not None
    assert (said.network, said.enhancer) == ("toy+seed", "seed")
    assert said.fingerprint != network.fingerprint
    enhance_file(model, cache.path, raw.with_name("whole"))
    export_cache(open_cache(raw.with_name("whole")), raw.with_name(f"again{raw.suffix}"), variant="clean")
    assert read_vectors(raw.with_name(f"again{raw.suffix}")).provenance == said
    assert read_vectors(foreign(raw)).provenance is None


def test_an_enhanced_side_against_a_raw_one_is_refused(raw: Path, model: Path, listed: Path) -> None:
    out = raw.with_name(f"enhanced{raw.suffix}")
    enhance_file(model, raw, out)
    for sides in ((out, raw), (raw, out)):
        with pytest.raises(ExchangeError, match=r"toy.*enhanced by seed.*all enhanced in one way or none"):
            score_files(*sides, listed, PARAMS)
    other = raw.with_name(f"other{raw.suffix}")
    enhance_file(model, raw, other, Use(t=7))
    with pytest.raises(ExchangeError, match="of one network"):
        score_files(out, other, listed, PARAMS)
    found, _ = score_files(out, out, listed, PARAMS)
    assert not any(UNKNOWN in text for text in found[0].warnings)


def test_the_cohort_has_to_be_of_the_network_of_the_files(raw: Path, model: Path, listed: Path, tmp_path: Path) -> None:
    training_cache(tmp_path / "train")
    params = PARAMS.model_copy(update={"norm": "s", "cohort_size": 20})
    score_files(raw, raw, listed, params, cohort=tmp_path / "train")
    out = raw.with_name(f"enhanced{raw.suffix}")
    enhance_file(model, raw, out)
    with pytest.raises(ExchangeError, match="of one network"):
        score_files(out, out, listed, params, cohort=tmp_path / "train")


def test_enhancing_twice_is_refused(raw: Path, model: Path) -> None:
    out = raw.with_name(f"enhanced{raw.suffix}")
    enhance_file(model, raw, out)
    for target in ("twice.npz", "twice.npy", "twice.ark"):
        with pytest.raises(ExchangeError, match=r"are of toy\+seed .*enhanced by seed"):
            enhance_file(model, out, raw.with_name(target))
        assert not raw.with_name(target).exists()


def test_files_of_others_are_taken_and_the_output_says_so(raw: Path, model: Path, listed: Path) -> None:
    theirs = foreign(raw)
    found, _ = score_files(raw, theirs, listed, PARAMS)
    assert sum(UNKNOWN in text for text in found[0].warnings) == 1
    assert str(theirs) in found[0].warnings[-1]
    assert not any(UNKNOWN in text for text in score_files(theirs, theirs, listed, PARAMS)[0][0].warnings)
    (remark,) = enhance_file(model, theirs, raw.with_name("enhanced.npz")).remarks
    assert f"{theirs}: {UNKNOWN}" in remark
    np.save(raw.with_name("rows.npy"), read_vectors(raw).values)
    (remark,) = enhance_file(model, raw.with_name("rows.npy"), raw.with_name("out.npy")).remarks
    assert UNKNOWN in remark


def test_what_is_imported_keeps_what_its_files_say(cache: Cache, raw: Path, model: Path, tmp_path: Path) -> None:
    def imported(name: str, **files: Path) -> Cache:
        return import_cache(tmp_path / name, files, kind="evaluation", network="toy")

    assert imported("a", clean=raw).info.network.fingerprint == cache.info.network.fingerprint
    out = raw.with_name(f"enhanced{raw.suffix}")
    enhance_file(model, raw, out)
    enhancer().expect(imported("a", clean=raw))
    assert imported("b", clean=out).info.network.fingerprint not in (
        cache.info.network.fingerprint,
        imported("c", clean=foreign(raw)).info.network.fingerprint,
    )
    with pytest.raises(ExchangeError, match="enhanced by seed"):
        imported("d", clean=raw, noise=out)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"network": "x"}', '{"network": 1, "fingerprint": "f"}', "1e999"])
def test_a_provenance_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"embeddings": np.ones((2, 3), np.float32), "utterance": np.array(["a", "b"])}
    np.savez(tmp_path / "x.npz", **arrays, seedpipe=np.array(text))
    with pytest.raises(ExchangeError, match="not understood"):
        read_vectors(tmp_path / "x.npz")
