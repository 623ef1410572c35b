"""WavLM Base+: torchaudio's model under the names of the original checkpoint.

The original keeps query, key and value apart, where torchaudio keeps them in one matrix; the rest differs in name
alone.

Source: Chen et al., "WavLM", IEEE JSTSP 2022; names of microsoft/unilm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
import torchaudio
from torch import Tensor, nn

LAYERS, WIDTH = 12, 768
PARTS = ("q_proj", "k_proj", "v_proj")  # in the order in which torchaudio stacks them
# torchaudio's name, as a pattern, and the original one.
NAMES = (
    (r"feature_extractor\.conv_layers\.(\d+)\.conv\.weight", r"feature_extractor.conv_layers.\1.0.weight"),
    (r"feature_extractor\.conv_layers\.0\.layer_norm\.(\w+)", r"feature_extractor.conv_layers.0.2.\1"),
    (r"encoder\.feature_projection\.layer_norm\.(\w+)", r"layer_norm.\1"),
    (r"encoder\.feature_projection\.projection\.(\w+)", r"post_extract_proj.\1"),
    (r"encoder\.transformer\.pos_conv_embed\.conv\.bias", r"encoder.pos_conv.0.bias"),
    (r"encoder\.transformer\.pos_conv_embed\.conv\.parametrizations\.weight\.original0", "encoder.pos_conv.0.weight_g"),
    (r"encoder\.transformer\.pos_conv_embed\.conv\.parametrizations\.weight\.original1", "encoder.pos_conv.0.weight_v"),
    (r"encoder\.transformer\.layer_norm\.(\w+)", r"encoder.layer_norm.\1"),
    (r"attention\.gru_rel_pos_const", "self_attn.grep_a"),
    (r"attention\.gru_rel_pos_linear\.(\w+)", r"self_attn.grep_linear.\1"),
    (r"attention\.rel_attn_embed\.weight", "self_attn.relative_attention_bias.weight"),
    (r"attention\.attention\.out_proj\.(\w+)", r"self_attn.out_proj.\1"),
    (r"attention\.attention\.in_proj_(\w+)", r"self_attn.*.\1"),  # one for three: see PARTS
    (r"layer_norm\.(\w+)", r"self_attn_layer_norm.\1"),
    (r"feed_forward\.intermediate_dense\.(\w+)", r"fc1.\1"),
    (r"feed_forward\.output_dense\.(\w+)", r"fc2.\1"),
    (r"final_layer_norm\.(\w+)", r"final_layer_norm.\1"),
)


class WavLM(nn.Module):
    """Waveforms (B, T) at 16 kHz -> 13 hidden states (B, F, 768): the input of every layer and the last output.

    ``state_dict`` and ``load_state_dict`` speak the names of the original checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.model = torchaudio.models.wavlm_base()
        self.mask_emb = nn.Parameter(
            torch.zeros(WIDTH)
        )  # stands for masked frames in pre-training; in every checkpoint
        self.register_state_dict_post_hook(_to_original)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_from_original)  # type: ignore[no-untyped-call]

    def forward(self, waveforms: Tensor) -> Iterator[Tensor]:
        """Yield the hidden states one by one: nobody needs all of them at once."""
        extracted, _ = self.model.feature_extractor(waveforms, None)
        transformer = self.model.encoder.transformer
        projected = self.model.encoder.feature_projection(extracted)
        hidden = transformer.layer_norm(projected + transformer.pos_conv_embed(projected))
        position_bias = None
        yield hidden
        for layer in transformer.layers:
            hidden, position_bias = layer(hidden, None, position_bias=position_bias)
            yield hidden


def _original(name: str) -> str:
    layer = re.match(r"encoder\.transformer\.layers\.\d+\.", name)
    head = layer[0] if layer else ""
    for pattern, replacement in NAMES:
        found = re.fullmatch(pattern, name.removeprefix(head))
        if found:
            return head.replace("encoder.transformer.", "encoder.") + found.expand(replacement)
    return name


def _to_original(_: nn.Module, state: dict[str, Tensor], prefix: str, __: Any) -> None:
    inner = f"{prefix}model."
    for name in [name for name in state if name.startswith(inner)]:
        value = state.pop(name)
        original = prefix + _original(name.removeprefix(inner))
        if "*" not in original:
            state[original] = value
            continue
        for part, third in zip(PARTS, value.chunk(len(PARTS)), strict=True):
            state[original.replace("*", part)] = third


def _from_original(module: WavLM, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give every entry the name that torchaudio's model knows; what is missing stays missing, for torch to report."""
    for name, _value in module.model.state_dict(prefix=f"{prefix}model.").items():
        original = prefix + _original(name.removeprefix(f"{prefix}model."))
        names = [original.replace("*", part) for part in PARTS] if "*" in original else [original]
        if all(part in state for part in names):
            state[name] = torch.cat([state.pop(part) for part in names]) if len(names) > 1 else state.pop(names[0])
