namespace Qbb.Registry.Http;

/// <summary>The part of a list that is requested.</summary>
internal static class Paging
{
    public const int Usual = 50;
    public const int Most = 500;

    /// <exception cref="RefusedException">It is out of range.</exception>
    public static int LimitOf(int? limit) => limit is null ? Usual
        : limit is >= 1 and <= Most ? limit.Value
        : throw RefusedException.Invalid($"limit is {limit}, it must be 1 to {Most}");

    /// <summary>A page out of one row more than it has room for.</summary>
    public static Page<TView> Make<TRow, TView>(IReadOnlyList<TRow> rows, int limit, Func<TRow, TView> view, Func<TRow, string> cursor) =>
        new([.. rows.Take(limit).Select(view)], rows.Count > limit ? cursor(rows[limit - 1]) : null);
}
