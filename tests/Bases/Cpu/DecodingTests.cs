using Qbb.Bases.Cpu;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Tests;
using F = TorchSharp.torch.nn.functional;

namespace Qbb.Bases.Tests.Cpu;

/// <summary>A whole model on packed signs against the same model with dense weights.</summary>
public class DecodingTests
{
    private static readonly string Teacher = Path.Combine(Reference.Root, "samples", "teacher");

    /// <summary>Of the dense weights.</summary>
    private static readonly Lazy<long[][]> s_text = new(() => [.. Greedy(new CascadedLoader(dense: true)).Select(sequence => sequence.Select(id => (long)id).ToArray())]);

    private static readonly Lazy<double> s_perplexity = new(() => Perplexity(new CascadedLoader(dense: true)));

    public static TheoryData<CpuInstructions> Instructions => new(Enum.GetValues<CpuInstructions>());

    [Theory]
    [MemberData(nameof(Instructions))]
    public void Greedy_text_is_the_same_for_200_tokens(CpuInstructions instructions)
    {
        Assert.SkipUnless(CpuKernels.IsSupported(instructions), $"this processor has no {instructions}");
        s_text.Value[0].Length.ShouldBe(200);
        var actual = Greedy(new CascadedLoader(dense: false, new() { Instructions = instructions }));
        actual.Select(sequence => sequence.Select(id => (long)id)).ShouldBe(s_text.Value);
    }

    [Theory]
    [MemberData(nameof(Instructions))]
    public void Perplexity_is_the_same(CpuInstructions instructions)
    {
        const double tolerance = 1e-4;
        Assert.SkipUnless(CpuKernels.IsSupported(instructions), $"this processor has no {instructions}");
        var expected = s_perplexity.Value;
        foreach (var threads in new[] { 1, 2 })
        {
            var actual = Perplexity(new CascadedLoader(dense: false, new() { Instructions = instructions, Threads = threads }));
            TestContext.Current.TestOutputHelper!.WriteLine($"{actual} against {expected}, tolerance {tolerance}");
            (actual / expected).ShouldBe(1, tolerance);
        }
    }

    [Fact]
    public void Integer_sums_keep_the_perplexity_within_a_percent()
    {
        var expected = s_perplexity.Value;
        foreach (var scale in Enum.GetValues<ActivationScale>())
        {
            var actual = Perplexity(new CascadedLoader(dense: false, new() { Integer = scale }));
            TestContext.Current.TestOutputHelper!.WriteLine($"{scale}: {actual} against {expected}");
            (actual / expected).ShouldBe(1, 0.01);
            actual.ShouldNotBe(expected);
        }
    }

    private static List<IReadOnlyList<int>> Greedy(ILinearLoader loader)
    {
        using var off = torch.no_grad();
        using var source = ModelSource.Open(Teacher);
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, loader);
        var results = new TokenGenerator(model).Generate([[2, 30, 400], [5, 6, 7]], [0, 0], new GenerationOptions { MaxTokens = 200, Temperature = 0 });
        return [.. results.Select(sequence => sequence.Tokens)];
    }

    private static double Perplexity(ILinearLoader loader)
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var ids = torch.tensor([.. s_text.Value.SelectMany(row => row)], s_text.Value.Length, s_text.Value[0].Length);
        using var source = ModelSource.Open(Teacher);
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, loader);
        var log = F.log_softmax(model.forward(ids).narrow(1, 0, ids.size(1) - 1), -1);
        return Math.Exp(-log.gather(2, ids.narrow(1, 1, ids.size(1) - 1).unsqueeze(2)).mean().ToDouble());
    }
}
