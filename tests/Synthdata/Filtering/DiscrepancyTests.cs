using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Filtering;

namespace Qbb.Synthdata.Tests.Filtering;

public sealed class DiscrepancyTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData(Measure.Mse)]
    [InlineData(Measure.Kl)]
    public void Scores_follow_their_definition_whatever_stands_beside_a_sequence(Measure measure)
    {
        using Transformer teacher = Tiny.Model(1, dtype: ScalarType.Float32), student = Tiny.Model(2, dtype: ScalarType.Float32);
        var sequences = Tiny.RandomSequences(5, 12);
        sequences[1] = sequences[1][..4];
        Tiny.WriteData(_folder["data"], sequences, 12, 3, endsEarly: true);
        using var data = SampledData.Open(_folder["data"]);
        double[] expected = [.. sequences.Select(sequence => ReferenceDiscrepancy.Of(Logits(teacher, sequence), Logits(student, sequence), measure))];
        var discrepancy = new Discrepancy(teacher, student, measure);
        foreach (var size in new[] { 1, 2, 5 })
        {
            var scores = data.Batches(size).SelectMany(discrepancy.Score).ToArray();
            for (var row = 0; row < scores.Length; row++)
            {
                output.WriteLine($"batches of {size}, sequence {row}: {scores[row]:G9}, expected {expected[row]:G9}, tolerance 1e-5");
                scores[row].ShouldBe(expected[row], 1e-5 * Math.Max(1, expected[row]));
            }
        }
        expected.ShouldAllBe(score => score > 1e-4);
    }

    [Fact]
    public void Logits_of_a_large_vocabulary_are_made_in_chunks()
    {
        // 2^23 elements are 83 positions of this vocabulary; the batch has 120.
        const int vocabulary = 100_000;
        using Transformer teacher = Tiny.Model(1, vocabulary, ScalarType.Float32, hidden: 8), student = Tiny.Model(2, vocabulary, ScalarType.Float32, hidden: 8);
        Tiny.WriteData(_folder["data"], Tiny.RandomSequences(2, 60), 60, 2, vocabulary: vocabulary);
        using var data = SampledData.Open(_folder["data"]);
        var scores = new Discrepancy(teacher, student, Measure.Mse).Score(data.Batch([0, 1]));
        for (var row = 0; row < 2; row++)
            scores[row].ShouldBe(ReferenceDiscrepancy.Of(Logits(teacher, data[row]), Logits(student, data[row]), Measure.Mse), 1e-5 * scores[row]);
    }

    [Fact]
    public void A_model_does_not_differ_from_itself()
    {
        using var model = Tiny.Model();
        Tiny.WriteData(_folder["data"], Tiny.RandomSequences(2, 12), 12, 2);
        using var data = SampledData.Open(_folder["data"]);
        foreach (var measure in Enum.GetValues<Measure>())
            new Discrepancy(model, model, measure).Score(data.Batch([0, 1])).ShouldBe([0, 0], 1e-6);
    }

    [Fact]
    public void Scores_that_are_not_numbers_are_refused()
    {
        using Transformer teacher = Tiny.Model(1, dtype: ScalarType.Float32), student = Tiny.Model(2, dtype: ScalarType.Float32);
        student.Parameters().First().Value.fill_(double.NaN);
        Tiny.WriteData(_folder["data"], Tiny.RandomSequences(2, 12), 12, 2);
        using var data = SampledData.Open(_folder["data"]);
        Should.Throw<InvalidInputException>(() => new Discrepancy(teacher, student, Measure.Mse).Score(data.Batch([1]))).Message.ShouldContain("sequence 1");
    }

    public void Dispose() => _folder.Dispose();

    private static List<float[]> Logits(Transformer model, int[] sequence)
    {
        using var grad = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var logits = model.forward(torch.tensor(sequence.Select(token => (long)token).ToArray(), 1, sequence.Length)).ToArray<float>();
        return [.. logits.Chunk(model.Config.VocabularySize)];
    }
}
