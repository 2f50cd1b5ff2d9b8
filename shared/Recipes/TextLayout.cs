namespace Qbb.Recipes;

/// <summary>How the rows of a text file become one text.</summary>
public enum TextLayout
{
    /// <summary>WikiText where the file looks like it, else as it is.</summary>
    Auto,

    /// <summary>The file as it is.</summary>
    Raw,

    /// <summary>As the data set's loader and every published perplexity have it: rows joined by two newlines.</summary>
    Wikitext,
}
