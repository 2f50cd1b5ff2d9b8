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
