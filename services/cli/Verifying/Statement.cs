using Qbb.Artifacts;

namespace Qbb.Cli.Verifying;

/// <summary>A unit of a statement.</summary>
/// <param name="Name">Such as decompose/0.</param>
/// <param name="Result">The digest that the statement says its result has.</param>
/// <param name="Notes">How it can be calculated again.</param>
/// <param name="Command">Null where the statement has none.</param>
internal sealed record StatedUnit(string Name, Digest Result, ProvenanceUnit Notes, IUnitCommand? Command);

/// <summary>A version's provenance statement, and whether it is sound in itself: nothing is fetched or calculated for that.</summary>
internal sealed class Statement
{
    private readonly ProvenanceStatement _statement;

    /// <exception cref="InvalidInputException">It cannot be read.</exception>
    public Statement(ProvenanceStatement statement)
    {
        _statement = statement;
        try
        {
            Units = [.. statement.Predicate.RunDetails.Byproducts.Where(product => product.Annotations is not null).Select(product => new StatedUnit(
                product.Name, DigestOf(product), product.Annotations!, product.Annotations!.Command is { } command ? UnitCommands.Read(command) : null))];
            Files = statement.Subject.ToDictionary(file => file.Name, DigestOf);
            Recipe = statement.Predicate.BuildDefinition.ExternalParameters.Recipe is { } recipe ? PipelineRecipe.Parse(recipe.ToJsonString()) : null;
        }
        catch (Exception error) when (error is FormatException or ArgumentException or KeyNotFoundException)
        {
            throw new InvalidInputException($"the provenance statement cannot be read: {error.Message}", "verify with the version of qbb that the registry runs", error);
        }
    }

    /// <summary>The version's files.</summary>
    public IReadOnlyDictionary<string, Digest> Files { get; }

    public IReadOnlyList<StatedUnit> Units { get; }

    /// <summary>Null of an upload.</summary>
    public PipelineRecipe? Recipe { get; }

    /// <summary>What contradicts itself, or the version: every digest that a unit starts from must be the base model, a part of the recipe, its text or another unit's result.</summary>
    public IEnumerable<string> Problems(VersionView version)
    {
        if (_statement.Type != ProvenanceStatement.StatementType || _statement.PredicateType != ProvenanceStatement.SlsaType)
            yield return $"the statement is of the unknown type {_statement.Type}, {_statement.PredicateType}";
        foreach (var file in version.Files ?? [])
        {
            if (!Files.TryGetValue(file.Name, out var stated) || stated != file.Digest)
                yield return $"{file.Name} is not in the statement as {file.Digest}";
        }
        var manifest = new ArtifactManifest((version.Files ?? []).Select(file => KeyValuePair.Create(file.Name, new ManifestEntry(file.Digest, file.Size)))).Digest;
        if (Files.Count != version.Files?.Count || manifest.Value != version.Manifest || _statement.Predicate.BuildDefinition.InternalParameters.Manifest != manifest)
            yield return "the files are not those of the version's manifest";
        if (Recipe is null)
            yield break;
        var known = _statement.Predicate.BuildDefinition.ResolvedDependencies.Select(DigestOf).Concat(Recipe.Parts().Select(part => PipelineRecipe.DigestOf(part.Part))).ToHashSet();
        if (Recipe.EvaluationText is { } text)
            known.Add(text);
        known.UnionWith(Units.Select(unit => unit.Result));
        foreach (var unit in Units.Where(unit => unit.Command is not null))
        {
            if (unit.Command!.Unit != unit.Notes.Unit)
                yield return $"{unit.Name}: its command has another key";
            foreach (var input in UnitCommands.InputsOf(unit.Command).Where(input => !known.Contains(input)))
                yield return $"{unit.Name} starts from {input}, which the statement does not explain";
        }
        if (Units.Count > 0 && Units.All(unit => unit.Result != manifest))
            yield return "no unit's result is the version";
    }

    private static Digest DigestOf(ProvenanceResource resource) => Digest.Parse(resource.Digest[ProvenanceStatement.Algorithm]);
}
