using System.Reflection;

namespace Qbb.Registry.Models;

/// <summary>Which program this is, for lineage.</summary>
internal static class Tool
{
    private static readonly string[] s_informational =
        (typeof(Tool).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "").Split('+', 2);

    public static string Version => s_informational[0];

    /// <summary>The build puts the commit behind the version; null where it did not know it.</summary>
    public static string? Commit => s_informational.Length > 1 ? s_informational[1] : null;
}
