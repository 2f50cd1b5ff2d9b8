using System.Diagnostics;
using Qbb.Bases.Cpu;
using Qbb.Checkpoints;
using Qbb.Inference.Decoding;
using Qbb.Models.Generation;

namespace Qbb.Bench.Peers;

/// <summary>How fast a decoder of this process is; the same as speed.mjs measures of llama.cpp.</summary>
/// <param name="Load">Seconds.</param>
/// <param name="Prefill">Tokens/s of a long prompt.</param>
/// <param name="Decode">Tokens/s one after another.</param>
/// <param name="Memory">Peak, bytes.</param>
internal sealed record DecoderSpeed(double Load, double Prefill, double Decode, double Memory)
{
    public static DecoderSpeed Measure(string model, int threads, int prompt, int tokens, CpuInstructions? instructions)
    {
        var watch = Stopwatch.StartNew();
        using var source = ModelSource.Open(model);
        using var decoder = CpuDecoder.Load(source, new() { Threads = threads, Instructions = instructions });
        var load = watch.Elapsed.TotalSeconds;
        var logits = new float[decoder.Config.VocabularySize];
        DecodeSpeed(decoder, 8, logits);
        PrefillSpeed(decoder, prompt, logits);
        using var process = Process.GetCurrentProcess();
        return new(load, PrefillSpeed(decoder, prompt, logits), DecodeSpeed(decoder, tokens, logits), process.PeakWorkingSet64);
    }

    private static double DecodeSpeed(CpuDecoder decoder, int count, float[] logits)
    {
        using var sequence = decoder.Begin();
        var sampler = new Sampler(new() { Temperature = 0 }, seed: 0);
        decoder.Step([new(sequence, Ids(8))], logits);
        var watch = Stopwatch.StartNew();
        for (var k = 0; k < count; k++)
            decoder.Step([new(sequence, new[] { sampler.Next(logits) })], logits);
        return count / watch.Elapsed.TotalSeconds;
    }

    private static double PrefillSpeed(CpuDecoder decoder, int count, float[] logits)
    {
        using var sequence = decoder.Begin();
        var watch = Stopwatch.StartNew();
        decoder.Step([new(sequence, Ids(count))], logits);
        return count / watch.Elapsed.TotalSeconds;
    }

    private static int[] Ids(int count) => [.. Enumerable.Range(0, count).Select(k => k * 7 % 20000 + 10)];
}
