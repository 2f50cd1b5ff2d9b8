using System.Globalization;

namespace Qbb.Cli.Terminal;

/// <summary>Numbers as people read them.</summary>
internal static class Units
{
    public static string Bytes(long bytes) => bytes switch
    {
        < 1000 => $"{bytes} B",
        < 1_000_000 => Format(bytes / 1e3, "kB"),
        < 1_000_000_000 => Format(bytes / 1e6, "MB"),
        _ => Format(bytes / 1e9, "GB"),
    };

    public static string Count(long count) => count switch
    {
        < 1000 => count.ToString(CultureInfo.InvariantCulture),
        < 1_000_000 => Format(count / 1e3, "k"),
        < 1_000_000_000 => Format(count / 1e6, "M"),
        _ => Format(count / 1e9, "G"),
    };

    private static string Format(double value, string unit) => value.ToString(value < 10 ? "0.00" : value < 100 ? "0.0" : "0", CultureInfo.InvariantCulture) + " " + unit;
}
