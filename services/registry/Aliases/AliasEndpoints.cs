using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Aliases;

/// <summary>Names that point to versions.</summary>
internal static class AliasEndpoints
{
    public static void MapAliases(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models/{name}/aliases").WithTags("aliases");
        group.MapGet("/", List).WithSummary("Lists a model's aliases.");
        group.MapGet("/{alias}", Get).WithSummary("Shows where an alias points.");
        group.MapPut("/{alias}", Put).WithSummary("Points an alias to a version. A champion that is set so stays until it is removed.").ProducesProblem(404).ProducesProblem(412);
        group.MapDelete("/{alias}", Delete).WithSummary("Removes an alias; the version stays.");

        var forms = routes.MapPages("/models/{name}/versions/{version:int}/aliases");
        forms.MapPost("", async (string name, int version, [FromForm] string? alias, [AsParameters] VersionServices services) =>
        {
            await Put(name, (alias ?? "").Trim(), new AliasChange(version), services);
            return VersionPage.See(name, version);
        });
        forms.MapPost("/remove", async (string name, int version, [FromForm] string? alias, [AsParameters] VersionServices services) =>
        {
            await Delete(name, alias ?? "", services);
            return VersionPage.See(name, version);
        });
    }

    private static async Task<Ok<IReadOnlyDictionary<string, int>>> List(string name, [AsParameters] VersionServices services)
    {
        var model = await services.Finder.ModelAsync(name, services.Cancellation);
        return TypedResults.Ok((await services.Views.OfAsync(model, services.Cancellation)).Aliases);
    }

    private static async Task<Results<Ok<AliasView>, StatusCodeHttpResult>> Get(string name, string alias, [AsParameters] VersionServices services)
    {
        var model = await services.Finder.ModelAsync(name, services.Cancellation);
        var there = await FindAsync(model, alias, services);
        return there?.Name == alias ? services.Tags.Ok(View(there)) : throw None(name, alias);
    }

    private static async Task<Ok<AliasView>> Put(string name, string alias, AliasChange change, [AsParameters] VersionServices services)
    {
        if (ModelName.ProblemOfAlias(alias) is { } problem)
            throw RefusedException.Invalid(problem);
        return TypedResults.Ok(await services.ChangeAsync(name, async model =>
        {
            var version = await services.Finder.VersionAsync(model, $"{change.Version}", services.Cancellation);
            var there = await FindAsync(model, alias, services);
            if (there is not null && there.Name != alias)
                throw RefusedException.Conflict($"{name} has the alias {there.Name}: aliases must differ by more than case");
            services.Tags.Require(there is null ? null : View(there));
            var now = services.Clock.GetUtcNow();
            if (there is null)
            {
                services.Context.Aliases.Add(new Alias { ModelId = model.Id, Name = alias, VersionId = version.Id, UpdatedAt = now, IsHeld = true });
            }
            else
            {
                (there.VersionId, there.UpdatedAt, there.IsHeld) = (version.Id, now, true);
                there.Revision++;
            }
            return new AliasView(alias, version.Number, now, Held: true);
        }));
    }

    private static Task<NoContent> Delete(string name, string alias, [AsParameters] VersionServices services) => services.ChangeAsync(name, async model =>
    {
        var there = await FindAsync(model, alias, services);
        if (there?.Name != alias)
            throw None(name, alias);
        services.Tags.Require(View(there));
        services.Context.Aliases.Remove(there);
        return TypedResults.NoContent();
    });

    /// <summary>An alias by its name, or one that differs by case alone.</summary>
    private static Task<Alias?> FindAsync(Model model, string alias, VersionServices services)
    {
        var lower = alias.ToLowerInvariant();
        return services.Context.Aliases.Include(row => row.Version)
            .FirstOrDefaultAsync(row => row.ModelId == model.Id && row.Name.ToLower() == lower && row.Version.DeletedAt == null, services.Cancellation);
    }

    private static RefusedException None(string name, string alias) => RefusedException.NotFound($"{name} has no alias {alias}");

    private static AliasView View(Alias alias) => new(alias.Name, alias.Version.Number, alias.UpdatedAt, alias.IsHeld);
}
