"""Makes the tiny checkpoints and logits of tests/Reference/architectures with transformers 5.17.

    python make_golden.py OUT [FAMILY ...]

Writes OUT/FAMILY/config.json, model.safetensors (fp32) and golden.json. Seeds are fixed, so the same transformers and PyTorch give the
same bytes. Sizes are the smallest at which every setting of a family changes the logits: windows are shorter than the sequences, soft
caps lie within the scores, multipliers differ from 1, and norms and biases are random.
"""

import json
import pathlib
import sys

import torch
import transformers

SEQUENCES, TOKENS, POSITIONS = 2, 48, [0, 8, 16, 24, 32, 40, 47]

COMMON = dict(
    vocab_size=160,
    hidden_size=32,
    intermediate_size=56,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)

FAMILIES = {
    "gemma2": transformers.Gemma2Config(
        **COMMON,
        num_hidden_layers=4,
        head_dim=16,
        query_pre_attn_scalar=24,
        attn_logit_softcapping=4.0,
        final_logit_softcapping=3.0,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    ),
    "gemma3": transformers.Gemma3TextConfig(
        **COMMON,
        num_hidden_layers=4,
        head_dim=16,
        query_pre_attn_scalar=24,
        sliding_window=16,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    "smollm3": transformers.SmolLM3Config(
        **COMMON,
        num_hidden_layers=4,
        no_rope_layers=[1, 1, 1, 0],
        use_sliding_window=False,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 5000000.0},
    ),
    "granite": transformers.GraniteConfig(
        **COMMON,
        num_hidden_layers=3,
        attention_bias=True,
        mlp_bias=False,
        embedding_multiplier=6.0,
        logits_scaling=4.0,
        residual_multiplier=0.4,
        attention_multiplier=0.2,
        tie_word_embeddings=True,
    ),
    "olmo2": transformers.Olmo2Config(**COMMON, num_hidden_layers=3, tie_word_embeddings=False),
    "starcoder2": transformers.Starcoder2Config(
        **COMMON,
        num_hidden_layers=3,
        use_bias=True,
        sliding_window=16,
        residual_dropout=0.0,
        embedding_dropout=0.0,
        tie_word_embeddings=True,
    ),
}


def randomize(model, seed):
    """Weights large enough that attention is not uniform; norms around the identity, biases around 0."""
    generator = torch.Generator().manual_seed(seed)
    adds_one = model.config.model_type.startswith("gemma")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(0.15 * noise)
            elif name.endswith(".bias") or adds_one:
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(1 + 0.2 * noise)


def make(family, config, folder, seed):
    config.architectures = None
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    randomize(model, seed)
    ids = torch.randint(3, config.vocab_size, (SEQUENCES, TOKENS), generator=torch.Generator().manual_seed(seed + 1))
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[:, POSITIONS]
    model.save_pretrained(folder)
    golden = {
        "input_ids": ids.tolist(),
        "logits": [[[round(x, 6) for x in row] for row in rows] for rows in logits.double().tolist()],
        "positions": POSITIONS,
        "note": f"logits at the listed positions, fp32 CPU, transformers {transformers.__version__}, made by make_golden.py with seed {seed}",
    }
    (folder / "golden.json").write_text(json.dumps(golden))
    (folder / "generation_config.json").unlink(missing_ok=True)
    print(f"{family}: {sum(p.numel() for p in model.parameters()):,} weights, logits of {float(logits.std()):.3f}")


def main():
    out, *chosen = sys.argv[1:]
    for place, (family, config) in enumerate(FAMILIES.items()):
        if not chosen or family in chosen:
            folder = pathlib.Path(out) / family
            folder.mkdir(parents=True, exist_ok=True)
            make(family, config, folder, seed=1000 + place)


if __name__ == "__main__":
    main()
