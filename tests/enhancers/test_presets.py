"""The presets of training: what they set, what overrides them, and the golden numbers that they reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from synthetic import golden, golden_network, network_info, training_cache
from torch.nn import functional

from seedpipe.enhancers import data, train, trainer
from seedpipe.enhancers.diffusion import Schedule, SeedMLP
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import ModelError, ParamsError
from seedpipe.params import TrainParams, load_params

CPU = torch.device("cpu")
DIMENSIONS = (192, 256, 512)


def load(path: Path, text: str) -> TrainParams:
    (path / "params.yaml").write_text(text, encoding="utf-8")
    return load_params(path / "params.yaml").train


def test_the_default_preset_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "train:\n  preset: seedpipe\n") == TrainParams()


def test_a_preset_sets_what_is_not_given(tmp_path: Path) -> None:
    params = load(tmp_path, "train:\n  preset: official\n  seed: 3\n")
    use = (params.inference_normalize, params.inference_step, params.inference_noise, params.ensemble)
    assert use == ("length", 50, "sampled", 1.0)
    assert (params.normalize, params.loss, params.seed, params.epochs) == ("none", "l1", 3, 60)
    assert (params.ema_decay, params.gradient_norm, params.learning_rate_schedule) == (0.0, 0.0, "constant")


@pytest.mark.parametrize("preset", ["paper", "official"])
@pytest.mark.parametrize("key", sorted(TrainParams.PRESETS["official"]))
def test_a_key_given_beside_a_preset_overrides_it(preset: str, key: str) -> None:
    default = TrainParams.model_fields[key].default
    assert getattr(TrainParams.model_validate({"preset": preset, key: default}), key) == default
    others = set(TrainParams.PRESETS[preset]) - {key}
    given = TrainParams.model_validate({"preset": preset, key: default})
    assert all(getattr(given, name) == TrainParams.PRESETS[preset][name] for name in others)


def test_a_preset_survives_json() -> None:
    params = TrainParams(preset="official", loss="mse", epochs=7)
    assert TrainParams.model_validate_json(params.model_dump_json()) == params


def test_steps_beside_a_preset_come_before_its_epochs() -> None:
    assert (TrainParams(preset="paper").length, TrainParams(preset="paper", steps=1_000).length) == (
        "60 epochs",
        "1,000 steps",
    )
    for params in (TrainParams(), TrainParams(epochs=30), TrainParams(preset="paper", steps=5)):
        assert TrainParams.model_validate(params.model_dump()) == params


def test_an_unknown_preset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"train\.preset.*'seedpipe', 'paper' or 'official'"):
        load(tmp_path, "train:\n  preset: authors\n")


def tensor(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values))


def distance_of(params: TrainParams, numbers: Any, dimension: int) -> float:
    """The training loss of the golden pair under a preset."""
    t, schedule = tensor(numbers["timesteps"]), Schedule.of(params)
    y_t = schedule.add_noise(tensor(numbers["noisy"]), tensor(numbers["noise"]), t)
    with torch.inference_mode():
        prediction = schedule.predict(golden_network(dimension), y_t, t)
    return trainer.distance(prediction, tensor(numbers["clean"]), params.loss).item()


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_official_and_paper_have_the_golden_losses(dimension: int) -> None:
    numbers = golden(f"rdm_{dimension}.npz")
    assert distance_of(TrainParams(preset="official"), numbers, dimension) == pytest.approx(
        float(numbers["l1_loss"]), abs=1e-5
    )
    t = tensor(numbers["timesteps"])
    y_t = Schedule().add_noise(tensor(numbers["noisy"]), tensor(numbers["noise"]), t)
    with torch.inference_mode():
        difference = golden_network(dimension)(y_t, t).numpy() - numbers["clean"]
    eq_9 = np.sqrt((difference.astype(np.float64) ** 2).sum(axis=1)).mean()
    assert distance_of(TrainParams(preset="paper"), numbers, dimension) == pytest.approx(eq_9, rel=1e-5)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_the_official_enhancer_gives_the_golden_embeddings(dimension: int, tmp_path: Path) -> None:
    numbers = golden(f"rdm_{dimension}.npz")
    torch.save(golden_network(dimension).state_dict(), tmp_path / "seed.model")
    model = Enhancer.from_checkpoint(tmp_path / "seed.model", network_info(dimension=dimension))
    noisy, noise = tensor(numbers["noisy"]), tensor(numbers["noise"])
    for use, expected in (({}, "single_step_t50"), ({"inference_step": 900, "inference_steps": 10}, "ddim_10_steps")):
        found = model.forward(noisy, [noise], model.config.train.model_copy(update=use))
        assert (found - functional.normalize(tensor(numbers[expected]), dim=1)).abs().max() < 1e-5


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_training_sees_raw_embeddings(preset: str, tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=4)
    params = TrainParams(preset=preset, validation_share=0.0)
    loader = data.embedding_loader(cache, params, CPU)
    (batch,) = loader.batches(len(cache), torch.Generator().manual_seed(0))
    order = torch.randperm(len(cache), generator=torch.Generator().manual_seed(0))
    assert torch.equal(loader.gather(batch), cache.to_torch()[order])


def test_sampling_sees_unit_length_times_root_d_with_official_only(tmp_path: Path) -> None:
    cache, seen = training_cache(tmp_path / "c", speakers=4), {}

    class Watched(SeedMLP):
        def forward(self, x_t: torch.Tensor, t: torch.Tensor, residual: float = 1.0) -> torch.Tensor:  # noqa: ARG002
            seen[preset] = x_t.norm(dim=1)
            return x_t + t

    for preset in ("paper", "official"):
        model, _ = train(cache, tmp_path / preset, TrainParams(preset=preset, epochs=1, inference_noise="zero"))
        model.module = Watched(model.dimension)
        rows = cache.to_torch()[:5, 1]
        model(rows)
        entered = rows.norm(dim=1) if preset == "paper" else torch.full((5,), 4.0)
        assert torch.allclose(seen[preset], Schedule().alphas_cumprod[50].sqrt() * entered, rtol=1e-4)


def test_the_official_noise_is_sampled(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=4)
    model, _ = train(cache, tmp_path / "m", TrainParams(preset="official", epochs=1))
    with pytest.raises(ModelError, match="generator"):
        model(cache.to_torch())
    one, other = (model(cache.to_torch(), torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert not torch.equal(one, other)


NAMES = golden_network(16).state_dict()


def prefixed(prefix: str, **others: torch.Tensor) -> dict[str, torch.Tensor]:
    return {prefix + name: weight for name, weight in NAMES.items()} | others


@pytest.mark.parametrize(
    "contents",
    [
        NAMES,
        prefixed("module."),
        {"model": prefixed("module.diffusion_network.", **{"module.backbone.conv1.weight": torch.zeros(3)})},
        {"epoch": 3, "model_state_dict": prefixed("diffusion_network."), "optimizer": {"state": {}}},
        {"state_dict": {name: weight.double() for name, weight in NAMES.items()}, "loss": {"__L__.W": torch.ones(2)}},
    ],
)
def test_the_network_of_a_checkpoint_is_found_by_its_names(tmp_path: Path, contents: dict[str, Any]) -> None:
    torch.save(contents, tmp_path / "seed.pth")
    model = Enhancer.from_checkpoint(tmp_path / "seed.pth", network_info())
    found = model.module.state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in NAMES.items())
    assert model.config.train == TrainParams(preset="official")


def test_a_checkpoint_becomes_a_model_folder(tmp_path: Path) -> None:
    save_file(prefixed("module."), tmp_path / "seed.safetensors")
    train_params = TrainParams(preset="paper", normalize="length", inference_noise="zero")
    model = Enhancer.from_checkpoint(tmp_path / "seed.safetensors", network_info(), train_params)
    model.save(tmp_path / "model", "# Card\n")
    rows = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Enhancer.load(tmp_path / "model")(rows), model(rows))


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('code was run')",)


@pytest.mark.parametrize(
    ("contents", "part"),
    [
        (prefixed("a.") | prefixed("b."), "2 entries end in input_proj.weight"),
        ({"weight": torch.zeros(2)}, "0 entries end in"),
        ([1, 2], "holds no mapping, not weights alone"),
        ({"input_proj.weight": torch.tensor(1.0)}, r"has shape \(\); expected \(2D, D\)"),
        (NAMES | {"out.0.bias": torch.full((32,), torch.nan)}, r"no arrays of finite numbers \(1 entry: out.0.bias"),
        (NAMES | {"out.0.bias": torch.ones(1).expand(10**9)}, r"no arrays of finite numbers \(1 entry: out.0.bias"),
        ({name: weight for name, weight in NAMES.items() if name != "out.0.bias"}, "no entry out.0.bias"),
        (NAMES | {"out.2.bias": torch.zeros(7)}, r"out.2.bias has shape \(7,\); expected \(16,\)"),
        (NAMES | {"extra": Malicious()}, "holds Python objects"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, contents: Any, part: str) -> None:
    torch.save(contents, tmp_path / "seed.pth")
    with pytest.raises(ModelError, match=part) as caught:
        Enhancer.from_checkpoint(tmp_path / "seed.pth", network_info())
    assert str(caught.value).startswith(str(tmp_path / "seed.pth"))


@pytest.mark.parametrize("name", ["absent.pth", "absent.safetensors", "empty.pth", "empty.safetensors"])
def test_a_file_that_is_missing_or_empty_is_refused(tmp_path: Path, name: str) -> None:
    if name.startswith("empty"):
        (tmp_path / name).write_bytes(b"")
    expected = "is no readable checkpoint" if name.startswith("empty") else "there is no such file"
    with pytest.raises(ModelError, match=expected) as caught:
        Enhancer.from_checkpoint(tmp_path / name, network_info())
    assert "\n" not in str(caught.value)


def test_a_checkpoint_for_another_dimension_or_with_centring_is_refused(tmp_path: Path) -> None:
    torch.save(NAMES, tmp_path / "seed.pth")
    with pytest.raises(ModelError, match="dimension 16; expected 24, that of toy"):
        Enhancer.from_checkpoint(tmp_path / "seed.pth", network_info(dimension=24))
    with pytest.raises(ModelError, match="expected 'none' or 'length'"):
        Enhancer.from_checkpoint(tmp_path / "seed.pth", network_info(), TrainParams(output="network"))
    with pytest.raises(ModelError, match="expected 'network'"):
        Enhancer.from_checkpoint(tmp_path / "seed.pth", network_info(), TrainParams(normalize="length"))
