using System.Globalization;
using System.Text;

namespace Qbb.Inference.Templates;

/// <summary>Python's % for strings: %s, %r, %d, %i, %f, %e, %g, %x, %X, %o, %c and %%, with flags, width and precision.</summary>
internal static class Formatting
{
    public static string Apply(string format, IReadOnlyList<object?> arguments, RenderContext context, int line)
    {
        var made = new StringBuilder();
        var next = 0;
        for (var k = 0; k < format.Length; k++)
        {
            if (format[k] != '%')
            {
                made.Append(format[k]);
                continue;
            }
            var flags = k + 1;
            while (++k < format.Length && "-+ 0#".Contains(format[k]))
            {
            }
            var isLeft = format[flags..Math.Min(k, format.Length)].Contains('-');
            var fill = format[flags..Math.Min(k, format.Length)].Contains('0') && !isLeft ? '0' : ' ';
            var plus = format[flags..Math.Min(k, format.Length)] is var set && set.Contains('+') ? "+" : set.Contains(' ') ? " " : "";
            var width = Digits(format, ref k);
            int? precision = null;
            if (k < format.Length && format[k] == '.')
            {
                k++;
                precision = Digits(format, ref k);
            }
            if (k >= format.Length)
                throw new TemplateException("a format ends in the middle", line);
            context.Check(Math.Max(width, precision ?? 0) + made.Length, line);
            if (format[k] == '%')
            {
                made.Append('%');
                continue;
            }
            if (next >= arguments.Count)
                throw new TemplateException($"the format needs more than {arguments.Count} values", line);
            var text = One(format[k], arguments[next++], Math.Min(precision ?? -1, 100), plus, line);
            var sign = fill == '0' && text.Length > 0 && text[0] is '-' or '+' ? 1 : 0;
            made.Append(isLeft ? text.PadRight(width) : fill == '0' && format[k] is not ('s' or 'r' or 'c') ? text[..sign] + text[sign..].PadLeft(Math.Max(0, width - sign), '0') : text.PadLeft(width));
            context.Check(made.Length, line);
        }
        if (next < arguments.Count && !(next == 0 && arguments is [Mapping]))
            throw new TemplateException($"the format takes {next} of {arguments.Count} values", line);
        return $"{made}";
    }

    private static int Digits(string format, ref int k)
    {
        var from = k;
        while (k < format.Length && char.IsAsciiDigit(format[k]))
            k++;
        return k == from ? 0 : int.TryParse(format.AsSpan(from, k - from), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : int.MaxValue / 2;
    }

    private static string One(char kind, object? value, int precision, string plus, int line)
    {
        string Signed(string text, bool isNegative) => isNegative ? text : plus + text;
        switch (kind)
        {
            case 's':
                return precision >= 0 ? string.Concat(Values.Characters(Values.Text(value)).Take(precision)) : Values.Text(value);
            case 'r':
                return Values.Spelled(value);
            case 'c' when value is string text:
                return text;
        }
        if (!Numbers.IsNumber(value))
            throw new TemplateException($"%{kind} takes a number, not {Values.TypeOf(value)}", line);
        var real = Numbers.Real(value);
        var digits = precision < 0 ? 6 : precision;
        switch (kind)
        {
            case 'd' or 'i' or 'u':
                return Signed(value is double ? Math.Truncate(real).ToString("F0", CultureInfo.InvariantCulture) : Values.Spelled(value is bool flag ? flag ? 1L : 0L : value), real < 0);
            case 'x' or 'X' or 'o' or 'c' when value is long or bool:
                var whole = value is long number ? number : real == 1 ? 1 : 0;
                return kind == 'c' ? Rune.IsValid((int)Math.Clamp(whole, -1, int.MaxValue)) ? $"{new Rune((int)whole)}" : throw new TemplateException($"%c: {whole} is not a character", line)
                    : (whole < 0 ? "-" : "") + (kind == 'o' ? Convert.ToString(Math.Abs(whole), 8) : Math.Abs(whole).ToString(kind == 'x' ? "x" : "X", CultureInfo.InvariantCulture));
            case 'f' or 'F':
                return Signed(real.ToString($"F{digits}", CultureInfo.InvariantCulture), real < 0);
            case 'e' or 'E':
                return Signed(Exponent(real, digits, kind), real < 0);
            case 'g' or 'G':
                return Signed(General(real, Math.Max(1, digits), kind), real < 0);
            default:
                throw new TemplateException($"the format %{kind} is not known", line);
        }
    }

    private static string Exponent(double number, int digits, char kind)
    {
        var parts = number.ToString($"E{digits}", CultureInfo.InvariantCulture).Split('E');
        return $"{parts[0]}{kind}{parts[1][0]}{int.Parse(parts[1][1..], CultureInfo.InvariantCulture):00}";
    }

    private static string General(double number, int digits, char kind)
    {
        var exponent = number == 0 ? 0 : int.Parse(number.ToString($"E{digits - 1}", CultureInfo.InvariantCulture).Split('E')[1], CultureInfo.InvariantCulture);
        if (exponent >= -4 && exponent < digits)
        {
            var plain = number.ToString($"F{Math.Max(0, digits - 1 - exponent)}", CultureInfo.InvariantCulture);
            return plain.Contains('.') ? plain.TrimEnd('0').TrimEnd('.') : plain;
        }
        var parts = Exponent(number, digits - 1, kind == 'g' ? 'e' : 'E').Split(kind == 'g' ? 'e' : 'E');
        return $"{(parts[0].Contains('.') ? parts[0].TrimEnd('0').TrimEnd('.') : parts[0])}{(kind == 'g' ? 'e' : 'E')}{parts[1]}";
    }
}
