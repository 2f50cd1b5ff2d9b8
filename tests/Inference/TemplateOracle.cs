using System.Text.Json.Nodes;
using Jint;
using Qbb.Tests;

namespace Qbb.Inference.Tests;

/// <summary>npm's @huggingface/jinja, which renders chat templates in browsers, run by a JavaScript engine in this process.</summary>
internal sealed class TemplateOracle : IDisposable
{
    private static readonly string s_folder = Path.Combine(Reference.Root, "tests", "Inference", "node_modules", "@huggingface", "jinja", "dist");

    private readonly Engine _engine = new(options => options.EnableModules(s_folder).TimeoutInterval(TimeSpan.FromSeconds(30)));

    private TemplateOracle() => _engine.SetValue("Template", _engine.Modules.Import("./index.js").Get("Template"));

    /// <summary>Null where npm did not install it.</summary>
    public static TemplateOracle? Find() => Directory.Exists(s_folder) ? new() : null;

    public string Render(string template, JsonObject variables)
    {
        _engine.SetValue("template", template);
        _engine.SetValue("variables", variables.ToJsonString());
        return _engine.Evaluate("new Template(template).render(JSON.parse(variables))").AsString();
    }

    public void Dispose() => _engine.Dispose();
}
