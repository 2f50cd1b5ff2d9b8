using System.ComponentModel.DataAnnotations;
using Qbb.Recipes;

namespace Qbb.Registry;

/// <summary>Section <c>Registry</c> of the configuration.</summary>
public sealed class RegistryOptions : IValidatableObject
{
    public const string Section = "Registry";

    private const int LeastKey = 16;

    /// <summary>The gate of models that have none of their own and no policy with one.</summary>
    public Gate? Gate { get; set; }

    /// <summary>A policy that is there from the start, unless one of its name is there already.</summary>
    public DefaultPolicy? DefaultPolicy { get; set; }

    /// <summary>Hours that an uploaded file is kept while no version lists it yet.</summary>
    [Range(0.01, 10_000)]
    public double UploadHours { get; set; } = 24;

    /// <summary>Days that a deleted version can be restored before the collector lets its files go.</summary>
    [Range(0, 10_000)]
    public double DeletedDays { get; set; } = 7;

    /// <summary>Days that results of units are kept for later pipelines after they were last used.</summary>
    [Range(0, 10_000)]
    public double ResultDays { get; set; } = 7;

    /// <summary>Days that a failed or cancelled pipeline keeps what it made, so that a retry resumes from there.</summary>
    [Range(0, 10_000)]
    public double RetryDays { get; set; } = 7;

    /// <summary>Minutes that a blob is spared after it was put or found: somebody may be about to say what it is for.</summary>
    [Range(0, 100_000)]
    public double GraceMinutes { get; set; } = 60;

    /// <summary>Hours between two collections; 0 for never by itself.</summary>
    [Range(0, 10_000)]
    public double CollectHours { get; set; } = 24;

    /// <summary>What a request for a collection has to send as its bearer token; where there is none, this machine alone may ask.</summary>
    public string? CollectKey { get; set; }

    /// <summary>A file whose first line is the key, instead of <see cref="CollectKey"/>.</summary>
    public string? CollectKeyFile { get; set; }

    /// <summary>The key, wherever it stands; null for none.</summary>
    public string? ReadCollectKey() => CollectKeyFile is null ? CollectKey : File.ReadLines(CollectKeyFile).FirstOrDefault()?.Trim();

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (CollectKeyFile is not null && !File.Exists(CollectKeyFile))
            yield return new($"Registry:CollectKeyFile is {CollectKeyFile}, where there is no file");
        else if (ReadCollectKey() is { Length: < LeastKey })
            yield return new($"Registry:CollectKey must have at least {LeastKey} characters");
        foreach (var problem in Gate?.Problems() ?? [])
            yield return new($"Registry:Gate:{problem}");
        foreach (var problem in DefaultPolicy?.Problems() ?? [])
            yield return new($"Registry:DefaultPolicy: {problem}");
    }
}

/// <summary>Section <c>Registry:DefaultPolicy</c> of the configuration.</summary>
public sealed class DefaultPolicy
{
    public string Name { get; set; } = "default";

    /// <summary>Names of models.</summary>
    public string Models { get; set; } = "*";

    /// <summary>Recipes by name, as JSON.</summary>
    public Dictionary<string, string> Recipes { get; set; } = [];

    public Gate? Gate { get; set; }

    internal IEnumerable<string> Problems()
    {
        if (ModelName.ProblemOf(Name) is { } problem)
            yield return problem;
        if (Recipes.Count == 0)
            yield return "it has no recipes";
        foreach (var (name, json) in Recipes)
        {
            foreach (var wrong in RecipeCheck.Problems(json))
                yield return $"{name}: {wrong}";
        }
        foreach (var wrong in Gate?.Problems() ?? [])
            yield return wrong;
    }
}
