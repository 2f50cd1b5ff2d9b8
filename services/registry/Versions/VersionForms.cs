using Qbb.Registry.Models;
using static Qbb.Registry.Pages.Shared.Pieces;

namespace Qbb.Registry.Pages;

/// <summary>What people can change about a version.</summary>
internal static class VersionForms
{
    public static Markup Make(VersionView version)
    {
        var place = $"/models/{version.Model}/versions/{version.Version}";
        var aliases = version.Aliases.Select(alias => Markup.Of($"""
            <li>{Alias(alias)} <form method="post" action="{place}/aliases/remove"><input type="hidden" name="alias" value="{alias}">
            <button class="plain" aria-label="Remove the alias {alias}">Remove</button></form></li>
            """));
        var tags = version.Tags.Select(tag => Markup.Of($"""
            <li>{Tag(tag.Key, tag.Value)} <form method="post" action="{place}/tags/remove"><input type="hidden" name="key" value="{tag.Key}">
            <button class="plain" aria-label="Remove the tag {tag.Key}">Remove</button></form></li>
            """));
        return Section("Aliases and tags", Markup.Of($"""
            <div class="cards">
            <div class="card"><h3>Aliases</h3><ul class="plainlist">{aliases}</ul>
            <form method="post" action="{place}/aliases" class="fields">{NameField("alias", "Alias", "production")}
            <div><button>Point it here</button></div></form></div>
            <div class="card"><h3>Tags</h3><ul class="plainlist">{tags}</ul>
            <form method="post" action="{place}/tags" class="fields">{NameField("key", "Key", "team")}
            <div><label for="value">Value</label><input id="value" name="value" maxlength="256" placeholder="red"></div>
            <div><button>Set the tag</button></div></form></div>
            </div>
            {Deletion(version, place)}
            """), "aliases");
    }

    private static Markup Deletion(VersionView version, string place) => version.Aliases.Count > 0
        ? Markup.Of($"""<p class="quiet">A version that has aliases cannot be deleted.</p>""")
        : Markup.Of($"""
            <details><summary>Delete this version</summary>
            <form method="post" action="{place}/delete"><p>It can be restored on the model’s page until the collector has been.</p>
            <button>Delete version {version.Version}</button></form></details>
            """);
}
