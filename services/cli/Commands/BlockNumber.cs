using System.Globalization;

namespace Qbb.Cli.Commands;

/// <summary>The number of the block in a tensor's name: the first part between dots that is a number.</summary>
internal static class BlockNumber
{
    public static int? Of(string name) => name.Split('.').Select(Parse).FirstOrDefault(n => n is not null);

    /// <summary>The name with {} in place of the number.</summary>
    public static string Blank(string name)
    {
        var parts = name.Split('.');
        var at = Array.FindIndex(parts, part => Parse(part) is not null);
        if (at >= 0)
            parts[at] = "{}";
        return string.Join('.', parts);
    }

    /// <summary>Sorted numbers as ranges: 0-3,5.</summary>
    public static string Ranges(int[] numbers)
    {
        var ranges = new List<string>();
        for (var start = 0; start < numbers.Length;)
        {
            var end = start;
            while (end + 1 < numbers.Length && numbers[end + 1] == numbers[end] + 1)
                end++;
            ranges.Add(end == start ? $"{numbers[start]}" : $"{numbers[start]}-{numbers[end]}");
            start = end + 1;
        }
        return string.Join(',', ranges);
    }

    private static int? Parse(string part) => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
}
