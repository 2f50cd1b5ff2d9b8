using Qbb.Checkpoints;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public sealed class GgmlBlocksTests : IDisposable
{
    private delegate float Element(ReadOnlySpan<byte> block, int i);

    private static readonly Dictionary<string, (uint Number, int Length, int Bytes, Element Reference)> Types = new()
    {
        ["Q4_0"] = (2, 32, 18, ReferenceBlocks.Q4_0),
        ["Q4_1"] = (3, 32, 20, ReferenceBlocks.Q4_1),
        ["Q5_0"] = (6, 32, 22, ReferenceBlocks.Q5_0),
        ["Q5_1"] = (7, 32, 24, ReferenceBlocks.Q5_1),
        ["Q8_0"] = (8, 32, 34, ReferenceBlocks.Q8_0),
        ["Q4_K"] = (12, 256, 144, ReferenceBlocks.Q4_K),
        ["Q5_K"] = (13, 256, 176, ReferenceBlocks.Q5_K),
        ["Q6_K"] = (14, 256, 210, ReferenceBlocks.Q6_K),
        ["MXFP4"] = (39, 32, 17, ReferenceBlocks.MXFP4),
        ["NVFP4"] = (40, 64, 36, ReferenceBlocks.NVFP4),
        ["Q1_0"] = (41, 128, 18, ReferenceBlocks.Q1_0),
        ["Q2_0"] = (42, 64, 18, ReferenceBlocks.Q2_0),
    };

    private readonly TemporaryFolder folder = new();

    public static TheoryData<string> Names => [.. Types.Keys];

    public void Dispose() => folder.Dispose();

    [Theory]
    [MemberData(nameof(Names))]
    public void Random_blocks_are_those_of_the_reference(string name)
    {
        const int seed = 31, blocks = 300;
        var (number, length, bytes, reference) = Types[name];
        var data = new byte[blocks * bytes];
        new Random(seed).NextBytes(data);
        var path = folder.Write("x.gguf", new GgufBuilder().Tensor("w", [3, blocks / 3 * length], number, data).Build());
        using var file = GgufFile.Open(path);
        file.Entries.Single().Type.ShouldBe(name);
        var actual = file.ReadAll("w");
        for (var i = 0; i < actual.Length; i++)
        {
            var expected = reference(data.AsSpan(i / length * bytes, bytes), i % length);
            // Random scales may be NaN or infinite; any NaN is as good as another.
            if (!(actual[i] == expected || (float.IsNaN(actual[i]) && float.IsNaN(expected))))
                Assert.Fail($"seed {seed}: element {i} is {actual[i]:G9} instead of {expected:G9}");
        }
    }
}
