"""seedpipe.enhancers.diffusion: the golden numbers, the names of the authors' checkpoints, the forward process."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import golden, golden_network
from torch.nn import functional

from seedpipe.enhancers.diffusion import TIMESTEPS, Schedule, SeedMLP, sinusoidal_embedding
from seedpipe.params import TrainParams

DIMENSIONS = (192, 256, 512)
SCHEDULE = Schedule()


def tensor(values: object) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values))


def close(found: torch.Tensor, expected: object, tolerance: float = 1e-5) -> bool:
    return bool((found - tensor(expected)).abs().max() <= tolerance)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_the_network_gives_the_golden_output(dimension: int) -> None:
    numbers = golden(f"rdm_{dimension}.npz")
    with torch.inference_mode():
        output = golden_network(dimension)(tensor(numbers["clean"]), tensor(numbers["timesteps"]))
    assert close(output, numbers["network_output"])


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_cross_reconstruction_gives_the_golden_loss(dimension: int) -> None:
    numbers = golden(f"rdm_{dimension}.npz")
    t = tensor(numbers["timesteps"])
    with torch.inference_mode():
        y_t = SCHEDULE.add_noise(tensor(numbers["noisy"]), tensor(numbers["noise"]), t)
        loss = functional.l1_loss(golden_network(dimension)(y_t, t), tensor(numbers["clean"]))
    assert close(loss, numbers["l1_loss"])


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_sampling_gives_the_golden_embeddings(dimension: int) -> None:
    numbers = golden(f"rdm_{dimension}.npz")
    network, eps = golden_network(dimension), tensor(numbers["noise"])
    y_0 = functional.normalize(tensor(numbers["noisy"]), dim=1) * dimension**0.5
    with torch.inference_mode():
        single = SCHEDULE.sample(network, y_0, eps, t=50)
        several = SCHEDULE.sample(network, y_0, eps, t=900, steps=10, clip=3 * dimension**0.5)
    assert close(single, numbers["single_step_t50"])
    assert close(several, numbers["ddim_10_steps"])


def test_the_schedule_is_the_golden_one() -> None:
    numbers = golden("rdm_256.npz")
    assert SCHEDULE.alphas_cumprod.shape == (TIMESTEPS,)
    assert close(SCHEDULE.alphas_cumprod, numbers["alphas_cumprod"], 1e-6)


def test_the_schedule_follows_its_formula() -> None:
    beta = np.linspace(0.0001**0.5, 0.02**0.5, TIMESTEPS) ** 2
    assert close(SCHEDULE.alphas_cumprod.double(), np.cumprod(1 - beta), 1e-5)
    assert SCHEDULE.alphas_cumprod[50].item() == pytest.approx(0.9908, abs=5e-5)
    assert (SCHEDULE.alphas_cumprod.diff() < 0).all()


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_the_state_dict_has_the_names_and_shapes_of_the_checkpoints(dimension: int) -> None:
    keys = json.loads(golden("keys.json").read_text(encoding="utf-8"))[f"rdm_{dimension}"]["keys"]
    found = {name: list(weight.shape) for name, weight in SeedMLP(dimension).state_dict().items()}
    assert found == {name: entry["shape"] for name, entry in keys.items()}


@pytest.mark.parametrize(("dimension", "count"), [(192, 1_373_760), (256, 2_437_888), (512, 9_725_440)])
def test_the_network_has_as_many_parameters_as_the_paper_says(dimension: int, count: int) -> None:
    assert sum(weight.numel() for weight in SeedMLP(dimension).parameters()) == count


def test_the_untrained_network_gives_zeros_whatever_the_sampler() -> None:
    network = SeedMLP(8)
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert not network(x, torch.tensor([0, 50, 999])).any()
        assert not SCHEDULE.sample(network, x, x, t=50).any()
        assert not SCHEDULE.sample(network, x, x, t=800, steps=5, clip=3.0).any()


def test_an_untrained_network_can_be_trained() -> None:
    # Zero-started layers must not cut the rest of the network off from its gradient for ever.
    network = SeedMLP(8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    t = torch.full((16,), 50)
    for _ in range(3):
        optimizer.zero_grad()
        functional.mse_loss(network(x, t), x).backward()
        optimizer.step()
    idle = [name for name, weight in network.named_parameters() if not weight.grad.any()]
    assert not idle


@given(t=st.integers(0, TIMESTEPS - 1), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_noise_is_added_as_equation_3_says(t: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x_0, eps = rng.standard_normal((2, 4, 8)).astype(np.float32)
    abar = float(SCHEDULE.alphas_cumprod[t])
    x_t = SCHEDULE.add_noise(tensor(x_0), tensor(eps), torch.full((4,), t))
    assert close(x_t, np.sqrt(abar) * x_0 + np.sqrt(1 - abar) * eps)


def test_every_row_is_noised_to_its_own_timestep() -> None:
    x_0, eps = torch.ones(3, 4), torch.zeros(3, 4)
    x_t = SCHEDULE.add_noise(x_0, eps, torch.tensor([0, 500, 999]))
    assert close(x_t[:, 0].square(), SCHEDULE.alphas_cumprod[[0, 500, 999]].numpy())


def test_timestep_0_is_nearly_the_identity() -> None:
    generator = torch.Generator().manual_seed(0)
    x_0, eps = torch.randn(2, 100, 8, generator=generator)
    x_t = SCHEDULE.add_noise(x_0, eps, torch.zeros(100, dtype=torch.int64))
    assert (x_t - x_0).abs().max() < 0.05
    assert not torch.equal(x_t, x_0)


@pytest.mark.parametrize("t", [0, 50, 500, 999])
def test_noised_embeddings_have_the_mean_and_variance_of_the_process(t: int) -> None:
    eps = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(t))
    x_t = SCHEDULE.add_noise(torch.full((20_000, 4), 2.0), eps, torch.full((20_000,), t))
    abar = float(SCHEDULE.alphas_cumprod[t])
    assert x_t.mean().item() == pytest.approx(2 * abar**0.5, abs=0.02)
    assert x_t.var().item() == pytest.approx(1 - abar, rel=0.03)


def test_unit_power_stays_unit_power() -> None:
    x_0, eps = torch.randn(2, 20_000, 4, generator=torch.Generator().manual_seed(0))
    x_t = SCHEDULE.add_noise(
        x_0, eps, torch.randint(0, TIMESTEPS, (20_000,), generator=torch.Generator().manual_seed(1))
    )
    assert x_t.square().mean().item() == pytest.approx(1, rel=0.02)


def test_ddim_clips_its_predictions() -> None:
    class Far(torch.nn.Module):
        def forward(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            assert t.shape == (1,)
            return torch.full_like(x_t, 100.0)

    x = torch.zeros(2, 4)
    assert close(SCHEDULE.sample(Far(), x, x, t=50, clip=3.0), 3.0)
    assert close(SCHEDULE.sample(Far(), x, x, t=750, steps=4, clip=3.0), 3.0)


def test_ddim_steps_end_where_a_perfect_network_points() -> None:
    target = torch.tensor([[1.0, -2.0, 0.5, 0.0]]).expand(2, 4)

    class Perfect(torch.nn.Module):
        def forward(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            assert (x_t.shape, t.shape) == ((2, 4), (1,))
            return target

    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    several = SCHEDULE.sample(Perfect(), x, x, t=999, steps=7)
    assert close(several, target.numpy())


@pytest.mark.parametrize("steps", [4, 10, 25])
def test_several_steps_are_the_ddim_of_diffusers(steps: int) -> None:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    network = golden_network(16)
    x, eps = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    reference = DDIMScheduler(
        beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear", clip_sample_range=0.9, prediction_type="sample"
    )
    reference.set_timesteps(steps)
    first = reference.timesteps[0]
    with torch.inference_mode():
        sample = reference.add_noise(x, eps, first[None])
        for t in reference.timesteps:
            sample = reference.step(network(sample, t.expand(5)), t, sample).prev_sample
        found = SCHEDULE.sample(network, x, eps, t=int(first), steps=steps, clip=0.9)
    assert close(found, sample.numpy())


@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("prediction", ["sample", "epsilon", "v"])
def test_whatever_the_network_predicts_stands_for_x_0(betas: str, prediction: str) -> None:
    # A network that knows x_0 and eps, and answers in the units that it is asked in.
    schedule = Schedule(betas, prediction=prediction)
    x_0, eps = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.tensor([0, 1, 50, 400, 700, 900])
    abar = schedule.alphas_cumprod[t][:, None].double()
    answers = {"sample": x_0, "epsilon": eps, "v": abar.sqrt() * eps - (1 - abar).sqrt() * x_0}

    class Knowing(torch.nn.Module):
        def forward(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            assert len(x_t) == len(t)
            return answers[prediction]

    x_t = schedule.add_noise(x_0, eps, t)
    assert (schedule.predict(Knowing(), x_t, t) - x_0).abs().max() < 1e-4


def test_a_schedule_follows_its_parameters() -> None:
    params = TrainParams(beta_schedule="linear", beta_start=0.001, beta_end=0.01, prediction="v", skip="none")
    schedule = Schedule.of(params)
    assert schedule.prediction == "v"
    assert close(schedule.alphas_cumprod.double(), np.cumprod(1 - np.linspace(0.001, 0.01, TIMESTEPS)), 1e-5)


def test_timesteps_are_embedded_as_cosines_then_sines() -> None:
    embedded = sinusoidal_embedding(torch.tensor([0, 3, 999]), 8)
    angles = np.array([0, 3, 999])[:, None] * 10_000.0 ** (-np.arange(4) / 4)
    assert close(embedded.double(), np.concatenate((np.cos(angles), np.sin(angles)), axis=1), 1e-4)


def test_rows_do_not_see_each_other() -> None:
    network = golden_network(16)
    x = torch.randn(9, 16, generator=torch.Generator().manual_seed(0))
    t = torch.arange(9) * 100
    with torch.inference_mode():
        together = network(x, t)
        alone = torch.cat([network(x[i : i + 1], t[i : i + 1]) for i in range(9)])
    assert torch.allclose(together, alone, atol=1e-6)
