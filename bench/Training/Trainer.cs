using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Evaluator.Scoring;
using Qbb.Models;
using Qbb.Models.Decoder;
using F = TorchSharp.torch.nn.functional;

namespace Qbb.Bench.Training;

/// <summary>Trains a small LLaMA from scratch: AdamW, cross-entropy, a trapezoid learning rate.</summary>
public static class Trainer
{
    private const int ValidationWindows = 100;

    /// <param name="options">Shape and schedule.</param>
    /// <param name="tokens">The training text.</param>
    /// <param name="validation">The validation text, scored in windows of the context.</param>
    /// <param name="device">Where to train.</param>
    /// <param name="start">A model to go on from, of the same shape and in memory of its own; null for random weights. Taken over.</param>
    /// <param name="observe">Told every point of the curve together with the model as it is then.</param>
    /// <param name="progress">Told the loss after every step.</param>
    /// <param name="cancel">Stops between steps.</param>
    public static Transformer Run(TrainingOptions options, int[] tokens, int[] validation, Device device, Transformer? start = null,
        Action<TrainingPoint, Transformer>? observe = null, IProgress<(int Step, double Loss)>? progress = null, CancellationToken cancel = default)
    {
        options.Validate();
        if (tokens.Length <= options.Context)
            throw new InvalidInputException($"the training text has {tokens.Length} tokens, no more than one context of {options.Context}: give more text");
        var model = (start ?? Transformer.Create(DecoderConfig.FromJson(Configuration(options)), options.Seed, device)).requires_grad_();
        // Vectors (norms) are not decayed.
        using var adam = new AdamW(model.Parameters().Select(p => (p.Value, p.Value.dim() > 1 ? options.WeightDecay : 0)), 0.9, 0.99);
        var batches = new TokenBatches(tokens, options.Context, options.Batch, options.Seed);
        var watch = Stopwatch.StartNew();
        var (sum, count) = (0.0, 0);
        for (var step = 0; step < options.Steps; step++)
        {
            cancel.ThrowIfCancellationRequested();
            var loss = Step(model, adam, batches, options, step, device);
            if (!double.IsFinite(loss))
                throw new InvalidInputException($"the loss is {loss} at step {step + 1}: start again with a smaller --lr than {options.LearningRate}");
            (sum, count) = (sum + loss, count + 1);
            progress?.Report((step + 1, loss));
            if ((step + 1) % options.EvaluateEvery != 0 && step + 1 != options.Steps)
                continue;
            var score = Scorer.Run(model, validation, new ScoreOptions(options.Context, ValidationWindows, options.Batch), cancel: cancel);
            observe?.Invoke(new TrainingPoint(step + 1, (step + 1L) * options.Batch * options.Context, sum / count, score.Perplexity, watch.Elapsed.TotalSeconds), model);
            (sum, count) = (0, 0);
        }
        return model;
    }

    /// <summary>config.json of the model.</summary>
    public static JsonObject Configuration(TrainingOptions o) => new()
    {
        ["architectures"] = new JsonArray("LlamaForCausalLM"),
        ["model_type"] = "llama",
        ["vocab_size"] = o.Vocabulary,
        ["hidden_size"] = o.Hidden,
        ["intermediate_size"] = o.Intermediate,
        ["num_hidden_layers"] = o.Blocks,
        ["num_attention_heads"] = o.Heads,
        ["num_key_value_heads"] = o.KeyValueHeads,
        ["head_dim"] = o.Hidden / o.Heads,
        ["hidden_act"] = "silu",
        ["max_position_embeddings"] = o.Context,
        ["rms_norm_eps"] = 1e-5,
        ["rope_theta"] = 10000.0,
        ["tie_word_embeddings"] = true,
        ["attention_bias"] = false,
        ["mlp_bias"] = false,
        ["bos_token_id"] = 0,
        ["eos_token_id"] = 1,
        ["torch_dtype"] = "bfloat16",
    };

    private static double Step(Transformer model, AdamW adam, TokenBatches batches, TrainingOptions options, int step, Device device)
    {
        using var scope = torch.NewDisposeScope();
        var (inputs, labels) = batches.At(step);
        var logits = model.forward(inputs.to(device));
        var loss = F.cross_entropy(logits.flatten(0, 1), labels.to(device).flatten());
        adam.zero_grad();
        Gradients.Backward(loss);
        adam.clip_grad_norm(options.ClipNorm);
        adam.step(options.LearningRateAt(step));
        return loss.ToDouble();
    }
}

/// <summary>One point of the training curve.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Tokens">Tokens seen.</param>
/// <param name="Loss">Mean training loss in nats per token since the last point.</param>
/// <param name="ValidationPerplexity">Over the first windows of the validation text.</param>
/// <param name="Seconds">Wall time so far.</param>
public sealed record TrainingPoint(int Step, long Tokens, double Loss, double ValidationPerplexity, double Seconds);
