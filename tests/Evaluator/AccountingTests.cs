using Qbb.Checkpoints;
using Qbb.Evaluator.Accounting;
using Qbb.Models;
using Qbb.Tests;

namespace Qbb.Evaluator.Tests;

public class AccountingTests
{
    [Fact]
    public void Dense_layers_multiply_and_add_once_per_weight() =>
        OperationCounts.Dense(3, 5).ShouldBe(new OperationCounts(15, 15));

    [Fact]
    public void Bases_multiply_once_per_group_and_plane() =>
        // 4 rows, 256 inputs, 2 groups, 3 planes and a bias: 4·2·(3+1) products; 4·256·3 signed sums, as many additions as products, Σx once.
        OperationCounts.Bases(3, 4, 256, 2, bias: true).ShouldBe(new OperationCounts(32, 3072 + 32 + 256));

    [Fact]
    public void Integers_multiply_once_per_weight_and_once_or_twice_per_group()
    {
        // 4 rows, 256 inputs, 2 groups: 4·256 products, 4·2 scales, and as many zero points, which take the sums of the inputs.
        OperationCounts.Integers(4, 256, 2, zeroPoints: false).ShouldBe(new OperationCounts(1024 + 8, 1024 + 8));
        OperationCounts.Integers(4, 256, 2, zeroPoints: true).ShouldBe(new OperationCounts(1024 + 16, 1024 + 16 + 256));
    }

    [Fact]
    public void Counts_add_up() => (new OperationCounts(1, 2) + new OperationCounts(3, 4)).ShouldBe(new OperationCounts(4, 6));

    [Fact]
    public void A_dense_checkpoint_has_the_bits_of_its_type()
    {
        using var source = ModelSource.Open(Reference.Path("architectures", "llama-mha"));
        var size = ArtifactSize.Of(source);
        size.EffectiveBitsPerWeight.ShouldBe(32);
        // Per block: four 64 × 64 and three 64 × 160 layers; two blocks.
        size.Operations.Multiplications.ShouldBe(2 * (4 * 64 * 64 + 3 * 64 * 160));
        size.Operations.ShouldBe(size.DenseOperations);
        size.Bytes.ShouldBe(Directory.GetFiles(source.Path).Where(f => Path.GetFileName(f) != "golden.json").Sum(f => new FileInfo(f).Length));
        size.Model.Parameters.ShouldBe(source.Tensors.Entries.Sum(entry => entry.Count));
        size.BitsPerParameter.ShouldBe(8.0 * size.Bytes / size.Model.Parameters);
    }

    [Fact]
    public void A_token_reads_all_weights_but_of_the_embedding_a_row()
    {
        using var source = ModelSource.Open(Reference.Path("architectures", "llama-mha"));
        var counts = TokenCounts.Of(source, context: 100);
        // Two blocks of four 64 × 64 and three 64 × 160 layers, and a head of 256 × 64, all fp32.
        const int linears = 2 * (4 * 64 * 64 + 3 * 64 * 160) + 256 * 64;
        counts.Operations.ShouldBe(new OperationCounts(linears, linears));
        // Five norms of 64, and one row of the embedding, which is no head here.
        counts.WeightBytes.ShouldBe(4 * (linears + 5 * 64 + 64));
        // Keys and values of 4 heads of 16 in 2 blocks, 16 bits each.
        counts.CacheBytes.ShouldBe(2 * 2 * 2 * 64);
        counts.Bytes.ShouldBe(counts.WeightBytes + 100 * 512);
        counts.MemoryBytes.ShouldBe(4 * (linears + 5 * 64 + 256 * 64) + 100 * 512);
    }

    [Fact]
    public void A_layer_can_be_counted_in_a_form_of_its_own()
    {
        using var source = ModelSource.Open(Reference.Path("architectures", "llama-mha"));
        var counts = TokenCounts.Of(source, context: 0, layer => new(3 * layer.WeightCount, new OperationCounts(1, 2)));
        // Fourteen layers, and the head as the file has it.
        counts.Operations.ShouldBe(new OperationCounts(14 + 256 * 64, 28 + 256 * 64));
        counts.WeightBytes.ShouldBe(3 * 2 * (4 * 64 * 64 + 3 * 64 * 160) / 8 + 4 * (256 * 64 + 5 * 64 + 64));
    }

    [Fact]
    public void A_ggml_file_has_the_bits_of_its_blocks()
    {
        using var source = ModelSource.Open(Reference.Path("gguf", "narrow-Q4_0.gguf"));
        // Q4_0: 32 weights in 18 bytes.
        ArtifactSize.Of(source).EffectiveBitsPerWeight.ShouldBe(4.5);
    }
}
