using System.Text.Json;

namespace Qbb.Registry.Pipelines.Machine;

/// <summary>Kinds, stages and states as people read them: assemble-model.</summary>
internal static class KindNames
{
    public static string Of<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.KebabCaseLower.ConvertName(value.ToString());
}
