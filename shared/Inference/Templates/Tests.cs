namespace Qbb.Inference.Templates;

/// <summary>The tests that are known.</summary>
internal static class Tests
{
    public static IReadOnlyDictionary<string, Func<object?, Arguments.Call, object?>> All { get; } = new Dictionary<string, Func<object?, Arguments.Call, object?>>(StringComparer.Ordinal)
    {
        ["boolean"] = (value, call) => value is bool,
        ["callable"] = (value, call) => value is Function,
        ["defined"] = (value, call) => value is not Undefined,
        ["divisibleby"] = (value, call) => Values.AreEqual(Numbers.Apply("%", value, call.Get(0, "num"), call.Context, call.Line), 0L),
        ["eq"] = Compared("=="),
        ["equalto"] = Compared("=="),
        ["even"] = (value, call) => Values.AreEqual(Numbers.Apply("%", value, 2L, call.Context, call.Line), 0L),
        ["false"] = (value, call) => value is false,
        ["filter"] = (value, call) => value is string name && Filters.All.ContainsKey(name),
        ["float"] = (value, call) => value is double,
        ["ge"] = Compared(">="),
        ["greaterthan"] = Compared(">"),
        ["gt"] = Compared(">"),
        ["in"] = Compared("in"),
        ["integer"] = (value, call) => value is long,
        ["iterable"] = (value, call) => value is Sequence or Mapping or string or Undefined,
        ["le"] = Compared("<="),
        ["lessthan"] = Compared("<"),
        ["lower"] = (value, call) => Values.Text(value) is var text && text.Any(char.IsLetter) && !text.Any(char.IsUpper),
        ["lt"] = Compared("<"),
        ["mapping"] = (value, call) => value is Mapping,
        ["ne"] = Compared("!="),
        ["none"] = (value, call) => value is null,
        ["number"] = (value, call) => Numbers.IsNumber(value),
        ["odd"] = (value, call) => Values.AreEqual(Numbers.Apply("%", value, 2L, call.Context, call.Line), 1L),
        ["sameas"] = (value, call) => value is null or string or bool or long or double ? value?.GetType() == call.Get(0, "other")?.GetType() && Values.AreEqual(value, call.Get(0, "other")) : ReferenceEquals(value, call.Get(0, "other")),
        ["sequence"] = (value, call) => value is Sequence or Mapping or string or Undefined,
        ["string"] = (value, call) => value is string,
        ["test"] = (value, call) => value is string name && All!.ContainsKey(name),
        ["true"] = (value, call) => value is true,
        ["undefined"] = (value, call) => value is Undefined,
        ["upper"] = (value, call) => Values.Text(value) is var text && text.Any(char.IsLetter) && !text.Any(char.IsLower),
    };

    private static Func<object?, Arguments.Call, object?> Compared(string name) => (value, call) => Values.Compare(name, value, call.Get(0, "other"), call.Line);
}
