using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Unicode;

namespace Qbb.Registry.Pages;

/// <summary>A piece of HTML that is safe to put into a page.</summary>
internal readonly record struct Markup(string Text)
{
    public static readonly Markup Empty = new("");

    /// <summary>HTML of a template; what stands in braces is encoded unless it is markup itself.</summary>
    public static Markup Of(MarkupHandler template) => template.ToMarkup();

    public static Markup Join(IEnumerable<Markup> parts) => new(string.Concat(parts.Select(part => part.Text)));

    public override string ToString() => Text;
}

/// <summary>Builds <see cref="Markup"/>: text of the template as it is, everything else encoded.</summary>
[InterpolatedStringHandler]
internal readonly struct MarkupHandler(int literalLength, int formattedCount)
{
    // Letters of all scripts as they are; what means something in HTML is encoded always.
    private static readonly HtmlEncoder s_encoder = HtmlEncoder.Create(UnicodeRanges.All);
    private readonly StringBuilder _html = new(literalLength + 16 * formattedCount);

    public void AppendLiteral(string text) => _html.Append(text);

    public void AppendFormatted(Markup markup) => _html.Append(markup.Text);

    public void AppendFormatted(IEnumerable<Markup> parts)
    {
        foreach (var part in parts)
            _html.Append(part.Text);
    }

    public void AppendFormatted(string? text) => _html.Append(s_encoder.Encode(text ?? ""));

    public void AppendFormatted<T>(T value, string? format = null)
        where T : IFormattable => AppendFormatted(value is Enum name ? Wire.NameOf(name) : value.ToString(format, CultureInfo.InvariantCulture));

    public Markup ToMarkup() => new(_html.ToString());
}
