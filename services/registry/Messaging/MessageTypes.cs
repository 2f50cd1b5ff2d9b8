using Qbb.Contracts;

namespace Qbb.Registry.Messaging;

/// <summary>The messages that the registry sends, by the names that the outbox knows them by.</summary>
internal static class MessageTypes
{
    private static readonly Dictionary<string, Type> s_types = new[]
    {
        typeof(SampleSequences), typeof(AssembleData), typeof(DecomposeLayers), typeof(AssembleModel), typeof(ScoreSequences),
        typeof(FilterSequences), typeof(DistillRound), typeof(EvaluateWindows), typeof(PipelineCancelled),
    }.ToDictionary(type => type.Name);

    /// <summary>Those of them that ask a worker for something.</summary>
    public static IEnumerable<Type> Commands => s_types.Values.Where(type => type != typeof(PipelineCancelled));

    public static Type Of(string name) => s_types[name];
}
