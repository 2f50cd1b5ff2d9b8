using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Versions;

/// <summary>Writes a version's statement of provenance from its rows; the same rows give the same statement.</summary>
internal static class VersionStatement
{
    private const string Builder = "urn:qbb:registry";

    public static async Task<ProvenanceStatement> OfAsync(Guid id, VersionView version, RegistryContext context, CancellationToken cancellation)
    {
        var provenance = await context.Provenances.AsNoTracking().FirstOrDefaultAsync(row => row.VersionId == id, cancellation);
        return new ProvenanceStatement(
            ProvenanceStatement.StatementType, [.. version.Files!.Select(file => ProvenanceResource.Of(file.Name, file.Digest.Value))],
            ProvenanceStatement.SlsaType, new ProvenancePredicate(BuildOf(version, provenance), RunOf(version, provenance)));
    }

    private static ProvenanceBuild BuildOf(VersionView version, VersionProvenance? provenance)
    {
        var identity = new ProvenanceIdentity(version.Version, Digest.Parse(version.Manifest));
        if (version.Lineage is not { } lineage)
            return new(ProvenanceStatement.Upload, new ProvenanceRequest(version.Model), identity, []);
        return new(
            ProvenanceStatement.Quantization, new ProvenanceRequest(version.Model, JsonSerializer.SerializeToNode(lineage.Choices), lineage.RecipeName), identity,
            [
                .. provenance is null ? (ProvenanceResource[])[] : [ProvenanceResource.Of($"{lineage.Parent.Model}/{lineage.Parent.Version}", provenance.Base)],
                .. lineage.Data.Select(data => ProvenanceResource.Of($"data/{data.Key}", data.Value)),
            ]);
    }

    private static ProvenanceRun RunOf(VersionView version, VersionProvenance? provenance)
    {
        var parts = new Dictionary<string, string> { ["qbb"] = version.Lineage?.ToolVersion ?? Tool.Version };
        if ((version.Lineage is { } lineage ? lineage.Commit : Tool.Commit) is { } commit)
            parts["commit"] = commit;
        return new(
            new ProvenanceBuilder(Builder, parts),
            new ProvenanceInvocation(version.Lineage?.Pipeline?.ToString(), provenance?.StartedAt, provenance?.FinishedAt ?? version.CreatedAt),
            [
                .. (provenance?.Units ?? []).Select(unit => ProvenanceResource.Of($"{unit.Kind}/{unit.Index}", unit.Result, new ProvenanceUnit(
                    unit.Kind, unit.Index, Digest.Parse(unit.Key), unit.Command, unit.Size, unit.Environment,
                    unit.Report is null ? null : JsonSerializer.SerializeToNode(unit.Report, JsonSerializerOptions.Web) as JsonObject))),
            ]);
    }
}
