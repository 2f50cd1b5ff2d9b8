using System.Text;
using Qbb.Registry.Mlflow.Routes;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>MLflow's filter strings: the examples of its documentation, what it refuses, and texts at random.</summary>
public sealed class MlflowFilterTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("metrics.rmse < 1 and params.model = 'tree'", "metrics.rmse Less 1; params.model Equal 'tree'")]
    [InlineData("tags.`mlflow.parentRunId` = \"abc\"", "tags.mlflow.parentRunId Equal 'abc'")]
    [InlineData("tags.mlflow.parentRunId != 'abc'", "tags.mlflow.parentRunId NotEqual 'abc'")]
    [InlineData("metrics.\"cross-entropy loss\" <= -2.5e-3", "metrics.cross-entropy loss LessOrEqual -0.0025")]
    [InlineData("params.model LIKE 'Gru%' AND attributes.run_name ilike '%x'", "params.model Like 'Gru%'; attributes.run_name ILike '%x'")]
    [InlineData("run_id IN ('a', \"b\") and status not in ('FAILED')", "run_id In 'a' 'b'; status NotIn 'FAILED'")]
    [InlineData("tags.k IS NULL and tags.l is not null", "tags.k IsNull; tags.l IsNotNull")]
    [InlineData("metrics.a==.5 and metrics.b>=1 and metrics.c<>2", "metrics.a Equal 0.5; metrics.b GreaterOrEqual 1; metrics.c NotEqual 2")]
    [InlineData("`key` = 'it is AND'", "key Equal 'it is AND'")]
    [InlineData("metrics.decompose/relativeError>0", "metrics.decompose/relativeError Greater 0")]
    [InlineData("  ", "")]
    public void Filters_are_read(string text, string expected) => string.Join("; ", MlflowFilter.Parse(text).Select(clause =>
        string.Join(' ', [$"{clause.Key}", $"{clause.Comparison}", .. clause.Values.Select(value => value.Text is { } words ? $"'{words}'" : FormattableString.Invariant($"{value.Number}"))]))).ShouldBe(expected);

    [Theory]
    [InlineData("metrics.a = 1 OR metrics.b = 2", "found 'OR' at position 15, expected AND")]
    [InlineData("(metrics.a = 1)", "found '(' at position 1, expected a key")]
    [InlineData("metrics.a", "ends where an operator is expected")]
    [InlineData("metrics.a = ", "ends where a value is expected")]
    [InlineData("metrics.a ~ 1", "found '~' at position 11, expected an operator")]
    [InlineData("params.a = 'x", "the quote at position 12 is never closed")]
    [InlineData("params.a = x", "found 'x' at position 12, expected a value")]
    [InlineData("params.a IN ()", "expected a value")]
    [InlineData("params.a IN ('a'", "ends where ) is expected")]
    [InlineData("params.'a' = 'b'", "expected a key after params.")]
    [InlineData("params.a NOT 'b'", "expected IN")]
    [InlineData("a = 'b' AND", "ends where a key is expected")]
    public void What_is_not_a_filter_is_refused_with_its_place(string text, string said) =>
        Should.Throw<MlflowRefusal>(() => MlflowFilter.Parse(text)).Message.ShouldContain(said);

    [Fact]
    public void Any_text_is_read_or_refused()
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        string[] pieces = ["metrics.", "params.", "a", "`b c`", "\"d\"", "'e'", "=", "!=", "<", "LIKE", "IN", "NOT", "IS", "NULL", "AND", "(", ")", ",", "1.5", "-2e3", ".", "-", "ü", "\0", " "];
        var (read, refused) = (0, 0);
        for (var round = 0; round < 20_000; round++)
        {
            var text = new StringBuilder();
            for (var piece = random.Next(1, 12); piece > 0; piece--)
                text.Append(pieces[random.Next(pieces.Length)]).Append(random.Next(2) == 0 ? " " : "");
            try
            {
                MlflowFilter.Parse($"{text}").Count.ShouldBeGreaterThanOrEqualTo(0);
                read++;
            }
            catch (MlflowRefusal)
            {
                refused++;
            }
        }
        (read > 0 && refused > 0).ShouldBeTrue($"{read} {refused}");
    }

    [Fact]
    public void Orders_and_pages_are_read_and_refused()
    {
        MlflowFilter.ParseOrder("metrics.`my key` DESC").ShouldBe((new FilterKey("metrics", "my key"), true));
        MlflowFilter.ParseOrder("start_time").ShouldBe((new FilterKey(null, "start_time"), false));
        Should.Throw<MlflowRefusal>(() => MlflowFilter.ParseOrder("start_time UP")).Message.ShouldContain("KEY ASC or KEY DESC");
        var (first, next) = MlflowPaging.Page([1, 2, 3], 2, 0);
        first.ShouldBe([1, 2]);
        next.ShouldBe("eyJvZmZzZXQiOiAyfQ==");
        MlflowPaging.Page([1, 2, 3], 2, MlflowPaging.OffsetOf(next)).Items.ShouldBe([3]);
        foreach (var token in (string[])["x", "e30=", "eyJvZmZzZXQiOiAtMX0=", "bnVsbA==", "WzFd"])
            Should.Throw<MlflowRefusal>(() => MlflowPaging.OffsetOf(token)).Message.ShouldStartWith("Invalid page token");
        foreach (var size in (int[])[0, -1, 1001])
            Should.Throw<MlflowRefusal>(() => MlflowPaging.SizeOf(size, 100, 1000)).Message.ShouldContain("'max_results'");
    }
}
