using Qbb.Checkpoints;
using Qbb.Evaluator.Scoring;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Tests;

namespace Qbb.Evaluator.Tests;

public class ScorerTests
{
    private const int Context = 24;
    private static readonly int[] s_ids = [.. Enumerable.Range(0, 100).Select(k => (k * 37 + k * k * 11) % 256)];

    [Fact]
    public void Perplexity_divergence_and_agreement_follow_their_definitions()
    {
        using Fixture student = new("llama-mha"), teacher = new("llama-gqa-tied");
        double entropy = 0, divergence = 0;
        int positions = 0, agreements = 0;
        for (var window = 0; window < 4; window++)
        {
            var ids = s_ids.Skip(window * Context).Take(Context).ToArray();
            double[][] p = LogProbabilities(student.Model, ids), q = LogProbabilities(teacher.Model, ids);
            for (var k = 0; k + 1 < Context; k++)
            {
                entropy -= p[k][ids[k + 1]];
                divergence += q[k].Select((log, token) => Math.Exp(log) * (log - p[k][token])).Sum();
                agreements += Array.IndexOf(p[k], p[k].Max()) == Array.IndexOf(q[k], q[k].Max()) ? 1 : 0;
                positions++;
            }
        }
        foreach (var batch in new[] { 1, 3 })
        {
            var score = Scorer.Run(student.Model, s_ids, new ScoreOptions(Context, Batch: batch), teacher.Model);
            score.Windows.ShouldBe(4);
            score.Tokens.ShouldBe(4 * Context);
            score.Perplexity.ShouldBe(Math.Exp(entropy / positions), 1e-3);
            score.Kl!.Value.ShouldBe(divergence / positions, 1e-5);
            score.Top1!.Value.ShouldBe((double)agreements / positions, 1e-12);
        }
    }

    [Fact]
    public void A_model_agrees_with_itself()
    {
        using Fixture model = new("gpt2");
        var score = Scorer.Run(model.Model, s_ids, new ScoreOptions(Context, Windows: 2), model.Model);
        score.Windows.ShouldBe(2);
        score.Kl!.Value.ShouldBe(0, 1e-6);
        score.Top1.ShouldBe(1);
    }

    [Fact]
    public void Texts_and_options_that_cannot_be_scored_are_refused()
    {
        using Fixture model = new("llama-mha");
        void Refused(int[] ids, ScoreOptions options, string word) =>
            Should.Throw<InvalidInputException>(() => Scorer.Run(model.Model, ids, options)).Message.ShouldContain(word);
        Refused(s_ids, new ScoreOptions(101), "100 tokens");
        Refused(s_ids, new ScoreOptions(1), "context");
        Refused(s_ids, new ScoreOptions(8, 0), "windows");
        Refused([.. s_ids, 256], new ScoreOptions(8), "256");
    }

    [Fact]
    public void Scoring_stops_when_cancelled()
    {
        using Fixture model = new("llama-mha");
        using var cancel = new CancellationTokenSource();
        Should.Throw<OperationCanceledException>(() => Scorer.Run(model.Model, s_ids, new ScoreOptions(8),
            progress: new Cancelling(cancel), cancel: cancel.Token));
    }

    private static double[][] LogProbabilities(Transformer model, int[] ids)
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var logits = model.forward(torch.tensor(ids.Select(i => (long)i).ToArray(), 1, ids.Length)).ToArray<float>();
        return [.. logits.Chunk(model.Config.VocabularySize).Select(row =>
        {
            var total = Math.Log(row.Sum(x => Math.Exp(x)));
            return row.Select(x => x - total).ToArray();
        })];
    }

    private sealed class Cancelling(CancellationTokenSource source) : IProgress<ScoreProgress>
    {
        public void Report(ScoreProgress value) => source.Cancel();
    }

    private sealed class Fixture : IDisposable
    {
        private readonly ModelSource _source;

        public Fixture(string name)
        {
            _source = ModelSource.Open(Reference.Path("architectures", name));
            Model = Transformer.Load(_source, torch.CPU, ScalarType.Float32);
        }

        public Transformer Model { get; }

        public void Dispose()
        {
            Model.Dispose();
            _source.Dispose();
        }
    }
}
