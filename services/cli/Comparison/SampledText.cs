using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Models.Tokenizers;
using Qbb.Synthdata.Sampling;

namespace Qbb.Cli.Comparison;

/// <summary>Text that a model makes up, to score quantized versions of it on: no data needed.</summary>
internal static class SampledText
{
    private const int OnCpu = 16;

    /// <summary>Sequences of exactly <paramref name="length"/> tokens, one after the other; each begins with the begin-of-text token, or a random one.</summary>
    public static int[] Make(Transformer model, Tokenizer tokenizer, int sequences, int length, ulong seed, Action<int, int> progress, CancellationToken cancel)
    {
        var options = new GenerationOptions { MaxTokens = length - 1, Temperature = 1 };
        var generator = new TokenGenerator(model);
        // A GPU takes as long for a step of one sequence as for one of hundreds.
        var atOnce = model.Device.type == DeviceType.CUDA ? BatchSize.Default(model.Config, length, model.Device, model.DType) : OnCpu;
        var random = new Random((int)(seed % int.MaxValue));
        var ids = new List<int>(sequences * length);
        for (var first = 0; first < sequences; first += atOnce)
        {
            var count = Math.Min(atOnce, sequences - first);
            IReadOnlyList<int>[] prompts = [.. Enumerable.Range(0, count).Select(_ => new[] { tokenizer.BeginOfSequence ?? random.Next(Math.Min(tokenizer.VocabularySize, model.Config.VocabularySize)) })];
            ulong[] seeds = [.. Enumerable.Range(first, count).Select(k => seed * 1_000_003 + (ulong)k)];
            var made = 0;
            var results = generator.Generate(prompts, seeds, options, (_, _) => progress(first * length + ++made, sequences * length), cancel);
            for (var k = 0; k < count; k++)
                ids.AddRange([.. prompts[k], .. results[k].Tokens]);
        }
        return [.. ids];
    }
}
