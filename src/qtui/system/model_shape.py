"""What a decoder's dimensions say about it: its parameters and its linear layers, by name.

Everything about memory starts here: how many numbers there are, which of them sit in linear
layers (and are held in 4 bits by QLoRA and can carry an adapter), and how wide the tensors
between the layers are. Counts are exact for the architectures that `model_config` knows.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class LinearLayer(msgspec.Struct, frozen=True):
    """A linear layer that every decoder block has once; `name` is relative to the block."""

    name: str
    in_features: int
    out_features: int
    bias: bool = False

    @property
    def weights(self) -> int:
        """Number of elements of the weight matrix."""
        return self.in_features * self.out_features


class ModelShape(msgspec.Struct, frozen=True, kw_only=True):
    """A decoder-only language model's dimensions, in elements.

    `source` says where they are from (a file or a link); `exact` is false when the architecture
    is not one that qtui knows and the numbers are a general decoder's.
    """

    name: str
    family: str
    hidden_size: int
    num_layers: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    tied_embeddings: bool
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    norms_per_layer: int = 2
    gated_mlp: bool = True
    fused_projections: bool = False
    """q, k, v in one matrix and gate, up in another (Phi-3)."""
    attention_softcap: bool = False
    """Attention scores are soft-capped (Gemma 2), which only eager and flash kernels can do."""
    num_experts: int = 0
    experts_per_token: int = 0
    moe_intermediate_size: int = 0
    moe_layers: int = 0
    """Blocks whose MLP is a mixture of experts; the others have a dense one."""
    other_parameters: int = 0
    """Parameters outside the decoder, such as a vision tower's."""
    max_position_embeddings: int | None = None
    exact: bool = True
    source: str = ""

    @property
    def query_size(self) -> int:
        """Width of all query heads together."""
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Width of all key (or value) heads together."""
        return self.num_kv_heads * self.head_dim

    def attention_layers(self) -> tuple[LinearLayer, ...]:
        """The linear layers of a block's attention."""
        h, q, kv = self.hidden_size, self.query_size, self.kv_size
        out = LinearLayer("self_attn.o_proj", q, h, self.output_bias)
        if self.fused_projections:
            return (LinearLayer("self_attn.qkv_proj", h, q + 2 * kv, self.qkv_bias), out)
        return (
            LinearLayer("self_attn.q_proj", h, q, self.qkv_bias),
            LinearLayer("self_attn.k_proj", h, kv, self.qkv_bias),
            LinearLayer("self_attn.v_proj", h, kv, self.qkv_bias),
            out,
        )

    def mlp_layers(self) -> tuple[LinearLayer, ...]:
        """The linear layers of a dense block's MLP."""
        h, i = self.hidden_size, self.intermediate_size
        down = LinearLayer("mlp.down_proj", i, h, self.mlp_bias)
        if self.fused_projections:
            return (LinearLayer("mlp.gate_up_proj", h, 2 * i, self.mlp_bias), down)
        up = LinearLayer("mlp.up_proj", h, i, self.mlp_bias)
        if not self.gated_mlp:
            return (up, down)
        return (LinearLayer("mlp.gate_proj", h, i, self.mlp_bias), up, down)

    def linear_layers(self) -> tuple[LinearLayer, ...]:
        """Linear layers of one dense block: (name, in, out). Experts are not among them.

        transformers 5 holds experts as stacked parameters, not as linear layers: bitsandbytes
        leaves them as they are, and `all-linear` puts no adapter on them.
        """
        return self.attention_layers() + self.mlp_layers()

    def layers(self) -> Iterator[tuple[str, LinearLayer]]:
        """Every linear layer of the model with the module path that PEFT matches against."""
        for index in range(self.num_layers):
            block = self.attention_layers() if index < self.moe_layers else self.linear_layers()
            for layer in block:
                yield f"model.layers.{index}.{layer.name}", layer

    def linear_parameters(self) -> int:
        """Elements of all weight matrices of linear layers in the blocks: what QLoRA quantises."""
        attention = sum(layer.weights for layer in self.attention_layers())
        dense = sum(layer.weights for layer in self.mlp_layers())
        return self.num_layers * attention + (self.num_layers - self.moe_layers) * dense

    def expert_parameters(self) -> int:
        """Elements of all experts and their routers."""
        per_expert = 3 * self.hidden_size * self.moe_intermediate_size
        router = self.hidden_size * self.num_experts
        return self.moe_layers * (self.num_experts * per_expert + router)

    def embedding_parameters(self) -> int:
        """Elements of the embedding and, where it is not tied to it, of the head."""
        return self.vocab_size * self.hidden_size * (1 if self.tied_embeddings else 2)

    def small_parameters(self) -> int:
        """Elements of norms and biases."""
        block = self.norms_per_layer * self.hidden_size
        block += 2 * self.head_dim if self.qk_norm else 0
        block += sum(layer.out_features for layer in self.attention_layers() if layer.bias)
        mlp = sum(layer.out_features for layer in self.mlp_layers() if layer.bias)
        dense = self.num_layers - self.moe_layers
        return self.num_layers * block + dense * mlp + self.hidden_size

    def parameters(self) -> int:
        """Number of parameters of the whole model."""
        return (
            self.linear_parameters()
            + self.expert_parameters()
            + self.embedding_parameters()
            + self.small_parameters()
            + self.other_parameters
        )
