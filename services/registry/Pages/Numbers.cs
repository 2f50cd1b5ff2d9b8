using System.Globalization;

namespace Qbb.Registry.Pages;

/// <summary>Numbers and times as people read them.</summary>
internal static class Numbers
{
    public static string Bytes(long bytes) => bytes switch
    {
        < 1000 => $"{bytes} B",
        < 1_000_000 => Short(bytes / 1e3, "kB"),
        < 1_000_000_000 => Short(bytes / 1e6, "MB"),
        _ => Short(bytes / 1e9, "GB"),
    };

    public static string Count(long count) => count.ToString("#,0", CultureInfo.InvariantCulture);

    public static string Percent(double share, string format = "0") => Format(100 * share, format) + " %";

    /// <summary>45 s, 3 min 20 s, 2 h 05 min.</summary>
    public static string Duration(double seconds) => TimeSpan.FromSeconds(Math.Round(Math.Max(0, seconds))) switch
    {
        { TotalMinutes: < 1 } time => $"{time.Seconds} s",
        { TotalHours: < 1 } time => $"{time.Minutes} min {time.Seconds:00} s",
        { TotalDays: < 1 } time => $"{time.Hours} h {time.Minutes:00} min",
        var time => $"{time.Days} d {time.Hours:00} h",
    };

    /// <summary>How long ago something was, with the moment itself for programs and on hovering.</summary>
    public static Markup Ago(DateTimeOffset? time, DateTimeOffset now) => time is { } at
        ? Markup.Of($"""<time datetime="{at.UtcDateTime:yyyy-MM-ddTHH:mm:ssZ}" title="{Moment(at)}">{AgoText(now - at)}</time>""")
        : Markup.Empty;

    public static Markup Time(DateTimeOffset? time) => time is { } at
        ? Markup.Of($"""<time datetime="{at.UtcDateTime:yyyy-MM-ddTHH:mm:ssZ}">{Moment(at)}</time>""")
        : Markup.Empty;

    public static string Format(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    private static string Moment(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture) + " UTC";

    private static string AgoText(TimeSpan past) => past switch
    {
        { TotalSeconds: < 60 } => "just now",
        { TotalMinutes: < 60 } => $"{(int)past.TotalMinutes} min ago",
        { TotalHours: < 24 } => $"{(int)past.TotalHours} h ago",
        { TotalDays: < 2 } => "yesterday",
        _ => $"{(int)past.TotalDays} days ago",
    };

    private static string Short(double value, string unit) => Format(value, value < 10 ? "0.00" : value < 100 ? "0.0" : "0") + " " + unit;
}
