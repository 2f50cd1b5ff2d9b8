using Qbb.Checkpoints;
using Qbb.Evaluator.Scoring;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;
using Qbb.Tests;

namespace Qbb.Evaluator.Tests;

/// <summary>Multiple choice against a plain reference: one choice at a time, no padding, the whole row of logits.</summary>
public sealed class MultipleChoiceTests : IDisposable
{
    private static readonly string[] s_words = ["the", "cat", "sat", "on", "a", "mat", "by", "river", "and", "dog", "ran", "off"];
    private readonly TemporaryFolder _folder = new();
    private readonly ModelSource _source = ModelSource.Open(Reference.Path("gguf", "narrow-F16.gguf"));
    private readonly Transformer _model;
    private readonly Tokenizer _tokenizer;

    public MultipleChoiceTests() => (_model, _tokenizer) = (Transformer.Load(_source, torch.CPU, ScalarType.Float32), _source.LoadTokenizer());

    [Fact]
    public void Accuracies_and_their_errors_follow_their_definitions()
    {
        const int seed = 5;
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var random = new Random(seed);
        string Words(int count) => string.Join(' ', Enumerable.Range(0, count).Select(_ => s_words[random.Next(s_words.Length)]));
        // Contexts of many lengths, so that batches are padded; some end in a space, which goes to the choice.
        var questions = Enumerable.Range(0, 40).Select(k => new ChoiceQuestion(
            Words(1 + random.Next(12)) + (k % 3 == 0 ? " " : ""), [.. Enumerable.Range(0, 2 + random.Next(3)).Select(_ => (k % 3 == 0 ? "" : " ") + Words(1 + random.Next(4)))], 0))
            .Select(question => question with { Answer = random.Next(question.Choices.Count) }).ToList();
        var (plain, byByte) = (0, 0);
        foreach (var question in questions)
        {
            var sums = question.Choices.Select(choice => LogLikelihood(question.Context, choice)).ToArray();
            var normalized = sums.Zip(question.Choices, (sum, choice) => sum / System.Text.Encoding.UTF8.GetByteCount(choice.Trim())).ToArray();
            plain += Array.IndexOf(sums, sums.Max()) == question.Answer ? 1 : 0;
            byByte += Array.IndexOf(normalized, normalized.Max()) == question.Answer ? 1 : 0;
        }
        plain.ShouldNotBe(byByte, "the seed must tell the two apart");
        var score = MultipleChoice.Run(_model, _tokenizer, questions);
        score.Questions.ShouldBe(40);
        score.Accuracy.ShouldBe(plain / 40.0);
        score.NormalizedAccuracy.ShouldBe(byByte / 40.0);
        score.AccuracyError!.Value.ShouldBe(Error(plain, 40), 1e-12);
        score.NormalizedAccuracyError!.Value.ShouldBe(Error(byByte, 40), 1e-12);
        MultipleChoice.Run(_model, _tokenizer, [questions[0]]).AccuracyError.ShouldBeNull();
    }

    [Fact]
    public void A_choice_has_the_tokens_that_the_whole_has_beyond_the_context()
    {
        var (whole, scored) = MultipleChoice.Split(_tokenizer, "the cat sat", " on a mat", _model.Config, "");
        whole.ShouldBe(_tokenizer.Encode("the cat sat on a mat"));
        scored.ShouldBe(whole.Length - _tokenizer.Encode("the cat sat").Length);
        // White space at the end of a context is the choice's.
        MultipleChoice.Split(_tokenizer, "the cat sat ", "on a mat", _model.Config, "").Scored.ShouldBe(scored);
    }

    [Fact]
    public void A_context_that_is_too_long_loses_its_beginning()
    {
        var longest = _model.Config.MaxPositions;
        var question = new ChoiceQuestion(string.Join(' ', Enumerable.Repeat("the cat sat on a mat by the river", longest)), [" dog", " river"], 0);
        var score = MultipleChoice.Run(_model, _tokenizer, [question]);
        score.Truncated.ShouldBe(2);
    }

    [Fact]
    public void Lines_that_are_not_questions_are_refused_by_number()
    {
        void Refused(string line, string word)
        {
            var file = _folder.Write("task.jsonl", $$"""{"context": "a", "choices": [" b", " c"], "answer": 1, "id": 7}{{"\n\n"}}{{line}}""");
            var error = Should.Throw<InvalidInputException>(() => ChoiceQuestion.ReadAll(file));
            error.Message.ShouldContain("task.jsonl line 3");
            error.Message.ShouldContain(word);
        }
        Refused("nonsense", "is not a question");
        Refused("""{"context": "a", "choices": [" b"], "answer": 0}""", "two or more choices");
        Refused("""{"context": "a", "choices": [" b", ""], "answer": 0}""", "two or more choices");
        Refused("""{"context": "a", "choices": [" b", " c"]}""", "answer");
        Refused("""{"context": "a", "choices": [" b", " c"], "answer": 2}""", "answer is 2");
        ChoiceQuestion.ReadAll(_folder.Write("one.jsonl", """{"context": "a", "choices": [" b", " c"], "answer": 1}""")).Single().Answer.ShouldBe(1);
        Should.Throw<InvalidInputException>(() => MultipleChoice.Run(_model, _tokenizer, [new("the cat", [" ", ""], 0)])).Message.ShouldContain("question 1, choice 1 adds no token");
    }

    public void Dispose()
    {
        _model.Dispose();
        _source.Dispose();
        _folder.Dispose();
    }

    private double LogLikelihood(string context, string choice)
    {
        var (whole, start) = (_tokenizer.Encode(context + choice), _tokenizer.Encode(context.TrimEnd()).Length);
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var logits = _model.forward(torch.tensor(whole.Select(id => (long)id).ToArray(), 1, whole.Length)).to(ScalarType.Float64);
        var sum = 0.0;
        for (var k = start; k < whole.Length; k++)
        {
            var row = logits[0, k - 1].ToArray<double>();
            sum += row[whole[k]] - Math.Log(row.Sum(Math.Exp));
        }
        return sum;
    }

    private static double Error(int right, int of)
    {
        var values = Enumerable.Range(0, of).Select(k => k < right ? 1.0 : 0).ToArray();
        return Math.Sqrt(values.Sum(value => Math.Pow(value - values.Average(), 2)) / (of - 1)) / Math.Sqrt(of);
    }
}
