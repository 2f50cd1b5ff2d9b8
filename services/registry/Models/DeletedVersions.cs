using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Models;
using Qbb.Registry.Pages.Shared;

namespace Qbb.Registry.Pages;

/// <summary>Versions that were deleted and can still be had back.</summary>
internal static class DeletedVersions
{
    public static async Task<Markup> MakeAsync(Model model, RegistryContext context, DateTimeOffset now, CancellationToken cancellation)
    {
        var deleted = await context.Versions.AsNoTracking()
            .Where(version => version.ModelId == model.Id && version.DeletedAt != null && version.PurgedAt == null)
            .OrderBy(version => version.Number).Take(Paging.Usual).Select(version => new { version.Number, version.DeletedAt }).ToListAsync(cancellation);
        var items = deleted.Select(version => Markup.Of($"""
            <li>version {version.Number}, deleted {Numbers.Ago(version.DeletedAt, now)}
            <form method="post" action="/models/{model.Name}/versions/{version.Number}/restore"><button class="plain">Restore version {version.Number}</button></form></li>
            """));
        return deleted.Count == 0 ? Markup.Empty
            : Pieces.Section("Deleted", Markup.Of($"""<p>They can be restored until the collector has been.</p><ul class="plainlist">{items}</ul>"""));
    }
}
